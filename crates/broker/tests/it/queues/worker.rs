//! Workers that are killed between their work and their acknowledgement.

use super::*;
use std::collections::BTreeMap;
use tramline_broker::{Options, Place, Unit};
use tramline_types::Header;

const MESSAGES: u64 = 300;
const KILLS: u32 = 100;

/// Where a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    BeforeItsWork,
    AfterItsWork,
    AfterItsAcknowledgement,
}

/// A worker's life: the broker, what it has seen of each message, and how often it died.
struct World {
    node: Node,
    random: u64,
    places: BTreeMap<String, Place>,
    /// How often each had been delivered before its last delivery. A crash may overtake the note
    /// of a delivery: nothing is known then.
    counts: BTreeMap<String, u32>,
    kills: u32,
}

impl World {
    async fn start() -> Self {
        let node = Node::start().await;
        let (places, counts) = (BTreeMap::new(), BTreeMap::new());
        let world = Self { node, random: 0x9e37_79b9_7f4a_7c15, places, counts, kills: 0 };
        let queue = queue(&world.node, QueueSettings::default()).await;
        let items = (0..MESSAGES).map(|n| {
            let mut item = item(&queue, &n.to_string(), persistent());
            let value = Some(format!("id-{n}").into());
            item.message.headers.push(Header { name: "message-id".into(), value });
            item
        });
        for result in world.node.broker.enqueue(items.collect()).await.await {
            assert_eq!(result, Ok(()));
        }
        world
    }

    fn queue(&self, text: &str) -> Arc<Queue> {
        self.node.broker.queue(&name(text)).unwrap()
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn next_death(&mut self) -> Option<(u64, Death)> {
        let deaths = [Death::BeforeItsWork, Death::AfterItsWork, Death::AfterItsAcknowledgement];
        let which = usize::try_from(self.random(3)).unwrap();
        (self.kills < KILLS).then(|| (self.random(3), deaths[which]))
    }

    /// The id of a message, which is the same at each delivery, as its place is.
    fn recognise(&mut self, delivery: &Delivery) -> String {
        let header = delivery.message.headers.iter().find(|header| header.name == "message-id");
        let id = String::from_utf8(header.unwrap().value.clone().unwrap().to_vec()).unwrap();
        assert_eq!(*self.places.entry(id.clone()).or_insert(delivery.place), delivery.place);
        if let Some(before) = self.counts.insert(id.clone(), delivery.deliveries) {
            assert!(delivery.redelivered, "{id}");
            assert!(delivery.deliveries > before, "{id}: {before}, {}", delivery.deliveries);
        }
        id
    }

    /// The worker's connection is lost, or the whole broker dies.
    async fn kill(&mut self) {
        self.kills += 1;
        if self.random(4) == 0 {
            let store = Arc::new(self.node.store.reopen().start());
            self.node = Node::over(store, Options::default()).await;
            self.counts.clear();
        } else {
            self.queue("jobs").release_all(HERE);
        }
    }
}

#[tokio::test]
async fn an_effect_keyed_by_the_message_id_is_applied_once() {
    let mut world = World::start().await;
    let (mut effects, mut attempts) = (BTreeMap::<String, u32>::new(), 0);
    loop {
        let queue = world.queue("jobs");
        let death = world.next_death();
        let got = get(&queue, 3, HELD).await;
        if got.is_empty() {
            break;
        }
        for (n, delivery) in (0..).zip(&got) {
            let dies = |when| death == Some((n, when));
            let id = world.recognise(delivery);
            if dies(Death::BeforeItsWork) {
                break;
            }
            attempts += 1;
            effects.entry(id).or_insert_with(|| attempts);
            if dies(Death::AfterItsWork) {
                break;
            }
            let settling = queue.settle(&[(delivery.token, Outcome::Accepted)]);
            assert!(settling.await.is_empty());
            if dies(Death::AfterItsAcknowledgement) {
                break;
            }
        }
        if death.is_some() {
            world.kill().await;
        }
    }
    assert_eq!(world.kills, KILLS);
    assert_eq!(effects.len() as u64, MESSAGES);
    assert!(u64::from(attempts) > MESSAGES, "some work was done again: {attempts}");
    let counts = world.queue("jobs").counts();
    assert_eq!((counts.ready, counts.locked), (0, 0));
}

#[tokio::test]
async fn an_effect_in_the_same_commit_happens_once_without_a_key() {
    let mut world = World::start().await;
    let settings = QueueSettings::default();
    world.node.broker.declare_queue(&name("results"), settings).await.unwrap();
    loop {
        let (queue, results) = (world.queue("jobs"), world.queue("results"));
        let death = world.next_death();
        let got = get(&queue, 3, HELD).await;
        if got.is_empty() {
            break;
        }
        for (n, delivery) in (0..).zip(&got) {
            let id = world.recognise(delivery);
            if death == Some((n, Death::BeforeItsWork)) {
                break;
            }
            let unit = Unit {
                publishes: vec![item(&results, &id, persistent())],
                settles: vec![(queue.clone(), vec![(delivery.token, Outcome::Accepted)])],
                result: None,
            };
            let unit = world.node.broker.commit_unit(unit).await.unwrap();
            if death == Some((n, Death::AfterItsWork)) {
                // Nobody knows whether it is durable.
                drop(unit);
                break;
            }
            assert_eq!(unit.await, [Ok(())]);
        }
        if death.is_some() {
            world.kill().await;
        }
    }
    assert_eq!(world.kills, KILLS);
    let mut results = texts(&get(&world.queue("results"), 9999, HELD).await);
    results.sort_unstable();
    let mut wanted: Vec<String> = (0..MESSAGES).map(|n| format!("id-{n}")).collect();
    wanted.sort_unstable();
    assert_eq!(results, wanted);
}

//! Looking at messages, and moving them back.

use super::*;
use tramline_broker::{
    Error, MessageFilter, MessageState, Peek, QueueError, Redrive, RedriveCount, RedriveState,
    RedriveStatus,
};
use tramline_store::LogStore;
use tramline_types::ExchangeName;

const PAGE: Peek = Peek { from: None, n_max: 3, bytes_max: 1 << 20 };

async fn declare(node: &Node, text: &str, settings: QueueSettings) -> Arc<Queue> {
    node.broker.declare_queue(&name(text), settings).await.unwrap().0
}

fn to_dead() -> QueueSettings {
    QueueSettings {
        dead_letter_exchange: ExchangeName::parse("").ok(),
        dead_letter_routing_key: Some("dead".to_owned()),
        ..QueueSettings::default()
    }
}

async fn die(queue: &Arc<Queue>, n: usize) {
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    let got = get(queue, n, HELD).await;
    assert_eq!(got.len(), n);
    queue.settle(&all(&got, &rejected)).await;
    eventually(|| queue.counts().transferring == 0).await;
}

fn to_other(per_second: Option<u32>) -> Redrive {
    Redrive { to: Some(name("to")), per_second, ..Redrive::default() }
}

async fn over(node: &Node, queue: &Arc<Queue>) -> RedriveStatus {
    loop {
        let status = node.broker.redrives(queue).remove(0);
        if !matches!(status.state, RedriveState::Running | RedriveState::Cancelling) {
            return status;
        }
        node.clock.advance(Duration::from_millis(10));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_message_that_is_not_done_can_be_looked_at() {
    let node = Node::start().await;
    for settings in [QueueSettings::default(), transient()] {
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a", "b", "c", "d"]).await;
        let late =
            EnqueueOptions { deliver_at: Some(node.now().plus_millis(1000)), ..persistent() };
        put_with(&node, &queue, &["e"], late).await;
        let got = get(&queue, 3, HELD).await;
        queue.settle(&[(got[0].token, Outcome::Accepted), (got[1].token, Outcome::Deferred)]).await;
        let first = queue.peek(PAGE).await.unwrap();
        let second = queue.peek(Peek { from: first.next, ..PAGE }).await.unwrap();
        assert_eq!(second.next, None);
        let seen: Vec<_> = first
            .messages
            .iter()
            .chain(&second.messages)
            .map(|it| (it.message.as_ref().unwrap().value.clone().unwrap(), it.look.state))
            .collect();
        let wanted = [
            ("b", MessageState::Deferred),
            ("c", MessageState::Locked),
            ("d", MessageState::Ready),
            ("e", MessageState::Delayed),
        ];
        assert_eq!(seen, wanted.map(|(text, state)| (text.into(), state)));
        assert!(second.messages[0].look.until.is_some());
        let counts = queue.counts();
        assert_eq!((counts.ready, counts.locked, counts.deferred), (1, 1, 1), "nothing changed");
        let places: Vec<_> = first.messages.iter().map(|it| it.look.place).collect();
        let recalled = queue.recall(&places, HELD).await.unwrap();
        assert_eq!(texts(&recalled), ["b"], "the others are not deferred");
        assert!(queue.settle(&all(&recalled, &Outcome::Accepted)).await.is_empty());
        node.broker.delete_queue(&queue, Default::default()).await.unwrap();
    }
}

#[tokio::test]
async fn dead_messages_go_back_to_where_they_died() {
    let node = Node::start().await;
    let (one, two) =
        (declare(&node, "one", to_dead()).await, declare(&node, "two", to_dead()).await);
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    put(&node, &one, &["a", "b"]).await;
    put(&node, &two, &["c"]).await;
    put(&node, &dead, &["never died"]).await;
    die(&one, 2).await;
    die(&two, 1).await;
    let status = node.broker.start_redrive(&dead, Redrive::default()).await.unwrap();
    assert_eq!((status.total, status.state), (4, RedriveState::Running));
    let status = over(&node, &dead).await;
    assert_eq!(status.state, RedriveState::Completed);
    assert_eq!((status.moved, status.left_behind), (3, 1));
    let back = get(&one, 9, HELD).await;
    assert_eq!(texts(&back), ["a", "b"]);
    assert_eq!((back[0].message.key.clone(), back[0].deliveries), (None, 0));
    assert_eq!(texts(&get(&two, 9, HELD).await), ["c"]);
    let left = get(&dead, 9, HELD).await;
    assert_eq!(texts(&left), ["never died"]);
    assert_eq!(left[0].deliveries, 0, "it was not delivered to anybody");
}

#[tokio::test]
async fn a_redrive_keeps_its_pace_and_can_be_ended() {
    let node = Node::start().await;
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    let to = declare(&node, "to", QueueSettings::default()).await;
    let values: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    put(&node, &dead, &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let redrive = to_other(Some(10));
    let id = node.broker.start_redrive(&dead, redrive.clone()).await.unwrap().id;
    let again = node.broker.start_redrive(&dead, redrive.clone()).await;
    assert!(matches!(again, Err(Error::Queue(QueueError::InUse(_)))));
    let itself = Redrive { to: Some(name("dead")), ..redrive };
    assert!(node.broker.start_redrive(&dead, itself).await.is_err());
    for second in 1..=3_u64 {
        let at_most = second * 10;
        eventually(|| {
            node.clock.advance(Duration::from_millis(1));
            to.counts().ready >= at_most - 5
        })
        .await;
        assert!(to.counts().ready <= at_most + 5);
    }
    assert!(node.broker.cancel_redrive(&dead, id + 99).await.unwrap().is_none());
    let status = node.broker.cancel_redrive(&dead, id).await.unwrap().unwrap();
    assert_eq!(status.state, RedriveState::Cancelling);
    let status = over(&node, &dead).await;
    assert_eq!(status.state, RedriveState::Cancelled);
    assert!(status.moved < 60, "{status:?}");
    assert_eq!(dead.counts().ready + to.counts().ready, 100, "each is in one of both");
    assert_eq!(to.counts().ready, status.moved);
    assert_eq!(dead.counts().locked, 0);
}

#[tokio::test]
async fn a_target_at_its_bound_ends_a_redrive_and_nothing_is_lost() {
    let node = Node::start().await;
    let bounded = QueueSettings {
        length_max: Some(1),
        overflow: tramline_broker::Overflow::RejectPublish,
        ..QueueSettings::default()
    };
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    let to = declare(&node, "to", bounded).await;
    put(&node, &dead, &["a", "b"]).await;
    let redrive = to_other(None);
    node.broker.start_redrive(&dead, redrive).await.unwrap();
    let status = over(&node, &dead).await;
    assert!(matches!(status.state, RedriveState::Failed(_)), "{status:?}");
    assert_eq!((dead.counts().ready, to.counts().ready), (2, 0));
}

async fn restarted(node: &Node) -> (Node, Arc<Queue>, Arc<Queue>) {
    let store = Arc::new(node.store.reopen().start());
    let node = Node::over(store, Options::default()).await;
    let (dead, to) = (name("dead"), name("to"));
    let queues = (node.broker.queue(&dead).unwrap(), node.broker.queue(&to).unwrap());
    (node, queues.0, queues.1)
}

#[tokio::test]
async fn a_redrive_goes_on_after_a_restart_where_it_was() {
    let node = Node::start().await;
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    let to = declare(&node, "to", QueueSettings::default()).await;
    let values: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    put(&node, &dead, &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let redrive = to_other(Some(10));
    let begun = node.broker.start_redrive(&dead, redrive.clone()).await.unwrap();
    eventually(|| {
        node.clock.advance(Duration::from_millis(1));
        to.counts().ready >= 20
    })
    .await;
    let (node, dead, to) = restarted(&node).await;
    let status = node.broker.redrives(&dead).remove(0);
    assert_eq!((status.id, &status.state), (begun.id, &RedriveState::Running));
    assert_eq!((status.to, status.per_second, status.total), (redrive.to, Some(10), 60));
    assert!((20..60).contains(&status.moved), "{}", status.moved);
    assert_eq!(to.counts().ready, status.moved, "they were counted as they moved");
    let status = over(&node, &dead).await;
    assert_eq!((status.state, status.moved), (RedriveState::Completed, 60));
    assert_eq!((dead.counts().ready, to.counts().ready), (0, 60));
    assert_eq!(texts(&get(&to, 99, HELD).await), values);
    let (node, dead, _) = restarted(&node).await;
    let status = node.broker.redrives(&dead).remove(0);
    assert_eq!((status.state, status.moved), (RedriveState::Completed, 60));
    let again = to_other(None);
    assert!(node.broker.start_redrive(&dead, again).await.unwrap().id > begun.id);
}

#[tokio::test]
async fn a_redrive_that_was_cancelled_does_not_go_on() {
    let node = Node::start().await;
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    declare(&node, "to", QueueSettings::default()).await;
    put(&node, &dead, &["a", "b", "c", "d"]).await;
    let redrive = to_other(Some(1));
    let id = node.broker.start_redrive(&dead, redrive).await.unwrap().id;
    node.broker.cancel_redrive(&dead, id).await.unwrap().unwrap();
    let (node, dead, to) = restarted(&node).await;
    assert_eq!(node.broker.redrives(&dead).remove(0).state, RedriveState::Cancelled);
    assert_eq!(dead.counts().ready + to.counts().ready, 4);
    let left = dead.counts().ready;
    for _ in 0..100 {
        node.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(dead.counts().ready, left);
}

#[tokio::test]
async fn what_is_stored_of_redrives_goes_with_their_queue_and_beyond_the_last_ten() {
    let node = Node::start().await;
    let dead = declare(&node, "dead", QueueSettings::default()).await;
    declare(&node, "to", QueueSettings::default()).await;
    for n in 0..12_u64 {
        put(&node, &dead, &["a"]).await;
        let redrive = to_other(None);
        node.broker.start_redrive(&dead, redrive).await.unwrap();
        over(&node, &dead).await;
        let stored = node.store.scan(b"redrive/").len();
        assert_eq!(stored, 2 * usize::try_from(n + 1).unwrap().min(10));
    }
    node.broker.delete_queue(&dead, Default::default()).await.unwrap();
    assert!(node.store.scan(b"redrive/").is_empty());
}

/// A queue with dead messages of two queues, every third one rejected.
async fn with_dead(node: &Node) -> [Arc<Queue>; 3] {
    let (one, two) = (declare(node, "one", to_dead()).await, declare(node, "two", to_dead()).await);
    let dead = declare(node, "dead", QueueSettings::default()).await;
    declare(node, "to", QueueSettings::default()).await;
    for (queue, values) in
        [(&one, ["a", "b", "c"]), (&two, ["d", "e", "f"]), (&one, ["g", "h", "i"])]
    {
        put(node, queue, &values).await;
        die(queue, 3).await;
    }
    put(node, &dead, &["never died"]).await;
    [one, two, dead]
}

fn died_in(queue: &str) -> MessageFilter {
    MessageFilter { died_in: Some(queue.to_owned()), ..MessageFilter::default() }
}

#[tokio::test]
async fn a_redrive_of_some_leaves_the_others_as_they_are() {
    let node = Node::start().await;
    let [one, two, dead] = with_dead(&node).await;
    let held = get(&dead, 1, HELD).await;
    assert_eq!(texts(&held), ["a"]);
    let filter = died_in("one");
    let redrive = Redrive { filter: filter.clone(), ..Redrive::default() };
    let count = node.broker.count_redrive(&dead, &redrive).await.unwrap();
    assert_eq!(count, RedriveCount { moves: 5, left_behind: 0 });
    assert_eq!(dead.counts().ready, 9, "nothing has changed");
    node.broker.start_redrive(&dead, redrive).await.unwrap();
    let status = over(&node, &dead).await;
    assert_eq!((status.state, status.moved), (RedriveState::Completed, 5));
    assert_eq!((status.filter, status.left_behind), (filter, 0));
    assert_eq!(texts(&get(&one, 9, HELD).await), ["b", "c", "g", "h", "i"]);
    assert_eq!(two.counts().ready, 0);
    let left = get(&dead, 9, HELD).await;
    assert_eq!(texts(&left), ["d", "e", "f", "never died"]);
    assert!(left.iter().all(|delivery| !delivery.redelivered && delivery.deliveries == 0));
    let everything = node.broker.count_redrive(&dead, &Redrive::default()).await.unwrap();
    assert_eq!(everything, RedriveCount::default(), "somebody has all of them");
    dead.settle(&all(&left, &Outcome::Released { count: false, delay_ms: None })).await;
    let everything = node.broker.count_redrive(&dead, &Redrive::default()).await.unwrap();
    assert_eq!(everything, RedriveCount { moves: 3, left_behind: 1 });
    // Those that were received are counted as delivered no more than before.
    assert!(dead.settle(&all(&held, &Outcome::Accepted)).await.is_empty());
    let (node, dead, _) = restarted(&node).await;
    assert_eq!(dead.counts().ready, 4);
    assert_eq!(node.broker.queue(&name("one")).unwrap().counts().ready, 5);
}

#[tokio::test]
async fn a_redrive_of_some_goes_on_after_a_restart_with_what_it_is_about() {
    let node = Node::start().await;
    let [.., dead] = with_dead(&node).await;
    let filter = MessageFilter { reason: Some("rejected".to_owned()), ..died_in("one") };
    let redrive = Redrive { filter: filter.clone(), ..to_other(Some(10)) };
    node.broker.start_redrive(&dead, redrive).await.unwrap();
    let to = node.broker.queue(&name("to")).unwrap();
    eventually(|| {
        node.clock.advance(Duration::from_millis(1));
        to.counts().ready >= 2
    })
    .await;
    let (node, dead, to) = restarted(&node).await;
    let status = node.broker.redrives(&dead).remove(0);
    assert_eq!((&status.state, &status.filter), (&RedriveState::Running, &filter));
    let status = over(&node, &dead).await;
    assert_eq!((status.state, status.moved), (RedriveState::Completed, 6));
    assert_eq!(texts(&get(&to, 9, HELD).await), ["a", "b", "c", "g", "h", "i"]);
    assert_eq!(dead.counts().ready, 4);
}

#[tokio::test]
async fn what_dies_again_during_a_redrive_of_some_stays() {
    let node = Node::start().await;
    let [one, .., dead] = with_dead(&node).await;
    // Those that come back are refused at once, and would go round for ever.
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    node.clock.advance(Duration::from_secs(1));
    let redrive = Redrive { per_second: Some(10), filter: died_in("one"), ..Redrive::default() };
    node.broker.start_redrive(&dead, redrive).await.unwrap();
    let status = loop {
        node.clock.advance(Duration::from_millis(10));
        tokio::task::yield_now().await;
        let got = get(&one, 9, HELD).await;
        one.settle(&all(&got, &rejected)).await;
        let status = node.broker.redrives(&dead).remove(0);
        if status.state != RedriveState::Running {
            break status;
        }
    };
    assert_eq!((status.state, status.moved), (RedriveState::Completed, 6));
}

#[tokio::test]
async fn a_redrive_of_some_keeps_the_order_of_groups() {
    let node = Node::start().await;
    let settings = QueueSettings { ordered_groups: true, ..QueueSettings::default() };
    let dead = declare(&node, "dead", settings.clone()).await;
    let to = declare(&node, "to", settings).await;
    let group = EnqueueOptions { group: Some("g".into()), ..persistent() };
    put_with(&node, &dead, &["a", "b", "c", "d"], group).await;
    let got = get(&dead, 1, HELD).await;
    assert!(get(&dead, 1, HELD).await.is_empty(), "the others wait for their group");
    dead.settle(&all(&got, &Outcome::Released { count: false, delay_ms: None })).await;
    let since = MessageFilter { since: Some(node.now()), ..MessageFilter::default() };
    node.broker.start_redrive(&dead, Redrive { filter: since, ..to_other(None) }).await.unwrap();
    assert_eq!(over(&node, &dead).await.moved, 4);
    let mut seen = Vec::new();
    while let [delivery] = &get(&to, 1, HELD).await[..] {
        seen.extend(texts(std::slice::from_ref(delivery)));
        to.settle(&[(delivery.token, Outcome::Accepted)]).await;
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    let counts = dead.counts();
    assert_eq!((counts.ready, counts.blocked, counts.locked), (0, 0, 0));
}

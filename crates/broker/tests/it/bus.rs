//! The realtime bus, with receivers that take as much as the test lets them.

use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};
use tramline_broker::{
    Broker, ChannelBinding, ChannelEnd, ChannelEvent, ChannelForm, ChannelPattern, ChannelPosition,
    ChannelSettings, Content, Flushed, NewPublication, NewReceiver, Options, Outlet, Receipt,
    ReceiverHandle, SlowConsumer, Subscribe, Subscribed,
};
use tramline_types::{ChannelName, TopicName};

use crate::support::{Node, batch_at};

/// One line for each event.
static FORM: ChannelForm = ChannelForm { slot: 0, encode };

fn encode(event: &ChannelEvent<'_>) -> Bytes {
    let line = match event {
        ChannelEvent::Message { publication, retained } => {
            let data = String::from_utf8_lossy(&publication.data);
            let mark = if *retained { "~" } else { "" };
            format!("{mark}{}={data}\n", publication.channel)
        }
        ChannelEvent::Subscribed { pattern, subscribed, .. } => {
            format!("+{pattern} {:?}\n", subscribed.recovered)
        }
        ChannelEvent::Dropped(count) => format!("dropped {count}\n"),
        ChannelEvent::Joined(channel, member) => format!("{channel} joined {:?}\n", member.client),
        ChannelEvent::Left(channel, member) => format!("{channel} left {:?}\n", member.client),
    };
    line.into()
}

/// A socket with so much room.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<(Vec<u8>, usize)>>);

impl Outlet for Socket {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut socket = self.0.lock();
        let (taken, room) = &mut *socket;
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        let count = bytes.len().min(*room);
        taken.extend_from_slice(&bytes[..count]);
        *room -= count;
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}

struct Listener {
    handle: ReceiverHandle,
    socket: Socket,
}

impl Listener {
    fn new(broker: &Broker, room: usize) -> Self {
        Self::named(broker, room, None)
    }

    fn named(broker: &Broker, room: usize, client: Option<&str>) -> Self {
        let client = client.map(Into::into);
        let options = NewReceiver { form: &FORM, client, connection: None };
        let handle = broker.receiver(options).unwrap();
        let socket = Socket::default();
        socket.0.lock().1 = room;
        handle.receiver().open(Box::new(socket.clone()));
        Self { handle, socket }
    }

    fn subscribe(&self, to: &str) -> Subscribed {
        self.recover(to, None)
    }

    fn recover(&self, to: &str, after: Option<ChannelPosition>) -> Subscribed {
        let pattern = ChannelPattern::parse(to).unwrap();
        self.handle.subscribe(Subscribe { pattern: &pattern, after, request: None }).unwrap()
    }

    /// What it got since this was asked last.
    fn got(&self) -> String {
        let taken = std::mem::take(&mut self.socket.0.lock().0);
        String::from_utf8(taken).unwrap()
    }

    /// Gets everything that waits.
    fn drain(&self) -> String {
        self.socket.0.lock().1 = usize::MAX;
        assert_eq!(self.handle.receiver().flush(), Flushed::Idle);
        self.got()
    }
}

fn publication(channel: &str, data: &str) -> NewPublication {
    NewPublication {
        channel: ChannelName::parse(channel).unwrap(),
        key: None,
        content: Content::Text,
        data: Bytes::from(data.to_owned()),
        retain: false,
    }
}

async fn publish(broker: &Broker, channel: &str, data: &str) -> Receipt {
    broker.publish_on_channel(publication(channel, data)).await.unwrap()
}

/// Takes a channel's last value away.
async fn publish_empty(broker: &Broker, channel: &str) {
    broker.publish_on_channel(publication(channel, "")).await.unwrap();
}

async fn set(broker: &Broker, prefix: &str, settings: ChannelSettings) {
    broker.set_channel_settings(prefix, Some(settings)).await.unwrap();
}

fn history(size: usize) -> ChannelSettings {
    ChannelSettings { history_size: size, ..Default::default() }
}

#[tokio::test]
async fn everyone_who_listens_gets_a_publication_once() {
    let Node { broker, .. } = Node::start().await;
    let (one, other) = (Listener::new(&broker, 999), Listener::new(&broker, 999));
    for pattern in ["a/b", "a/*", "a/**"] {
        one.subscribe(pattern);
    }
    other.subscribe("c");
    let receipt = publish(&broker, "a/b", "1").await;
    assert_eq!((receipt.delivered, receipt.waiting, receipt.dropped), (1, 0, 0));
    assert_eq!(one.got(), "+a/b None\n+a/* None\n+a/** None\na/b=1\n");
    assert_eq!(other.got(), "+c None\n");

    assert!(one.handle.unsubscribe(&ChannelPattern::parse("a/**").unwrap()));
    assert!(!one.handle.unsubscribe(&ChannelPattern::parse("a/**").unwrap()));
    assert_eq!(publish(&broker, "a/b/c", "2").await.delivered, 0);
    drop(one);
    assert_eq!(publish(&broker, "a/b", "3").await.delivered, 0);
    assert_eq!(broker.list_receivers().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_get_publications_in_their_order_whoever_writes() {
    let Node { broker, .. } = Node::start().await;
    let listeners: Vec<_> = (0..2999).map(|_| Listener::new(&broker, usize::MAX)).collect();
    let slow = Listener::new(&broker, 10);
    for listener in listeners.iter().chain([&slow]) {
        listener.subscribe("c");
    }
    for data in ["1", "2", "3"] {
        let receipt = publish(&broker, "c", data).await;
        assert_eq!((receipt.delivered, receipt.waiting, receipt.dropped), (2999, 1, 0));
    }
    for listener in &listeners {
        assert_eq!(listener.got(), "+c None\nc=1\nc=2\nc=3\n");
    }
    assert_eq!(slow.drain(), "+c None\nc=1\nc=2\nc=3\n");
}

#[tokio::test]
async fn a_slow_receiver_holds_nobody_and_is_told_what_it_lost() {
    let Node { broker, .. } = Node::start().await;
    let settings = ChannelSettings { buffer_bytes: 1024, ..Default::default() };
    set(&broker, "", settings).await;
    let (slow, fast) = (Listener::new(&broker, 8), Listener::new(&broker, usize::MAX));
    slow.subscribe("c");
    fast.subscribe("c");
    let data = "x".repeat(500);
    let first = publish(&broker, "c", &data).await;
    assert_eq!((first.delivered, first.waiting), (1, 1));
    for _ in 0..4 {
        publish(&broker, "c", &data).await;
    }
    assert_eq!(fast.got().matches("c=").count(), 5);
    let figures = slow.handle.receiver().figures();
    assert_eq!(figures.dropped, 3);
    assert!(figures.bytes_waiting <= 1024, "{figures:?}");
    assert_eq!(broker.channel_figures()[0].1.dropped, 3);
    let rest = slow.drain();
    assert!(rest.starts_with("+c None\ndropped 3\nc=xxx"), "{}", &rest[..40]);
    assert_eq!(rest.matches("c=").count(), 2);
}

/// Counts the writes to a socket that takes a byte at a time.
struct Trickle {
    socket: Socket,
    tries: Arc<Mutex<u64>>,
}

impl Outlet for Trickle {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        *self.tries.lock() += 1;
        self.socket.try_write(pieces)
    }
}

#[tokio::test]
async fn a_receiver_that_takes_a_byte_at_a_time_costs_publishers_no_write() {
    let Node { broker, .. } = Node::start().await;
    let options = NewReceiver { form: &FORM, client: None, connection: None };
    let slow = broker.receiver(options).unwrap();
    let (socket, tries) = (Socket::default(), Arc::new(Mutex::new(0)));
    let outlet = Trickle { socket: socket.clone(), tries: Arc::clone(&tries) };
    slow.receiver().open(Box::new(outlet));
    let pattern = ChannelPattern::parse("c").unwrap();
    slow.subscribe(Subscribe { pattern: &pattern, after: None, request: None }).unwrap();
    let fast = Listener::new(&broker, usize::MAX);
    fast.subscribe("c");
    fast.got();
    for turn in 0..50 {
        // Its own task finds room for one byte.
        socket.0.lock().1 = 1;
        assert_eq!(slow.receiver().flush(), Flushed::Blocked);
        let before = *tries.lock();
        for _ in 0..10 {
            let data = turn.to_string();
            let receipt = publish(&broker, "c", &data).await;
            assert_eq!((receipt.delivered, receipt.waiting), (1, 1));
            assert_eq!(fast.got(), format!("c={data}\n"));
        }
        assert_eq!(*tries.lock(), before, "publishers leave a full socket alone");
    }
}

#[tokio::test]
async fn a_receiver_is_cut_off_where_that_is_set() {
    let Node { broker, .. } = Node::start().await;
    let slow_consumer = SlowConsumer::Disconnect;
    set(&broker, "c", ChannelSettings { slow_consumer, buffer_bytes: 1024, ..Default::default() })
        .await;
    let slow = Listener::new(&broker, 0);
    slow.subscribe("c");
    for _ in 0..3 {
        publish(&broker, "c", &"x".repeat(600)).await;
    }
    slow.handle.receiver().woken().await;
    assert_eq!(slow.handle.receiver().flush(), Flushed::CutOff);
    slow.handle.receiver().end("bye".into());
    publish(&broker, "c", "more").await;
    assert_eq!(slow.drain(), "bye", "nothing of what waited, and nothing more");
    let figures = broker.channel_figures();
    let of = figures.iter().find(|(prefix, _)| prefix == "c").unwrap().1;
    assert_eq!((of.published, of.delivered, of.cut_off), (4, 1, 1));
}

#[tokio::test]
async fn a_receiver_in_the_middle_of_a_message_gets_it_whole_before_the_last_word() {
    let Node { broker, .. } = Node::start().await;
    let slow_consumer = SlowConsumer::Disconnect;
    set(&broker, "", ChannelSettings { slow_consumer, buffer_bytes: 1024, ..Default::default() })
        .await;
    let slow = Listener::new(&broker, 20);
    slow.subscribe("c");
    let data = "x".repeat(600);
    for _ in 0..3 {
        publish(&broker, "c", &data).await;
    }
    slow.handle.receiver().end("bye".into());
    assert_eq!(slow.drain(), format!("+c None\nc={data}\nbye"));
}

/// What a listener gets next.
async fn shown(listener: &Listener) -> String {
    let got = async {
        loop {
            let got = listener.got();
            if !got.is_empty() {
                return got;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), got).await.unwrap()
}

#[tokio::test]
async fn what_comes_after_a_binding_or_a_start_is_shown() {
    let node = Node::start().await;
    let from = || ChannelEnd::Topic("t".to_owned());
    let binding =
        |channel: &str| ChannelBinding::Show { from: from(), channel: channel.to_owned() };
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["before"])).await.unwrap();
    let listener = Listener::new(&node.broker, usize::MAX);
    listener.subscribe("**");
    listener.got();
    node.broker.bind_channel(binding("live")).await.unwrap();
    node.publish(&topic, batch_at(node.now(), &["1"])).await.unwrap();
    assert_eq!(shown(&listener).await, "live=1\n");

    node.broker.unbind_channel(binding("live")).await.unwrap();
    node.publish(&topic, batch_at(node.now(), &["between"])).await.unwrap();
    node.broker.bind_channel(binding("live")).await.unwrap();
    node.publish(&topic, batch_at(node.now(), &["2"])).await.unwrap();
    assert_eq!(shown(&listener).await, "live=2\n");

    let again = Node::over(node.store.clone(), Options::default()).await;
    let listener = Listener::new(&again.broker, usize::MAX);
    listener.subscribe("**");
    listener.got();
    let name = TopicName::parse("t").unwrap();
    let topic = again.broker.topic(&name).unwrap();
    again.publish(&topic, batch_at(again.now(), &["3"])).await.unwrap();
    assert_eq!(shown(&listener).await, "live=3\n");

    again.broker.delete_topic(&name).await.unwrap();
    let topic = again.topic("t", &[]).await;
    again.publish(&topic, batch_at(again.now(), &["4"])).await.unwrap();
    // The follower looks for it a second later.
    while again.clock.deadline_next().is_none() {
        tokio::task::yield_now().await;
    }
    let passes = async {
        loop {
            again.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        got = shown(&listener) => assert_eq!(got, "live=4\n"),
        () = passes => {}
    }
}

#[tokio::test]
async fn the_latest_of_each_key_waits_where_that_is_set() {
    let Node { broker, .. } = Node::start().await;
    let slow_consumer = SlowConsumer::Conflate;
    set(&broker, "c", ChannelSettings { slow_consumer, ..Default::default() }).await;
    let slow = Listener::new(&broker, 0);
    slow.subscribe("c");
    for (key, data) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        let new = NewPublication { key: Some(key.into()), ..publication("c", data) };
        broker.publish_on_channel(new).await.unwrap();
    }
    assert_eq!(slow.drain(), "+c None\nc=2\nc=4\n");
    assert_eq!(slow.handle.receiver().figures().conflated, 2);
}

#[tokio::test]
async fn who_comes_back_gets_what_he_missed_or_is_told_that_something_is_missing() {
    let Node { broker, clock, .. } = Node::start().await;
    set(&broker, "h", history(3)).await;
    let here = Listener::new(&broker, usize::MAX);
    let start = here.subscribe("h/**").position;
    for (channel, data) in [("h/a", "1"), ("h/b", "2"), ("other", "x"), ("h/a", "3")] {
        publish(&broker, channel, data).await;
    }
    let back = |to: &str, after| {
        let listener = Listener::new(&broker, usize::MAX);
        let recovered = listener.recover(to, Some(after)).recovered;
        (recovered, listener.got().split_once('\n').unwrap().1.to_owned())
    };
    let all = (Some(true), "h/a=1\nh/b=2\nh/a=3\n".to_owned());
    assert_eq!(back("h/**", start), all, "in order, over channels");
    assert_eq!(back("h/a", start), (Some(true), "h/a=1\nh/a=3\n".to_owned()));
    assert_eq!(back("h/none", start), (Some(true), String::new()));
    assert_eq!(back("other", start), (Some(false), String::new()), "it has no history");
    assert_eq!(back("**", start).0, Some(false));
    let elsewhere = ChannelPosition { epoch: start.epoch ^ 1, ..start };
    assert_eq!(back("h/a", elsewhere), (Some(false), String::new()));

    for data in ["4", "5"] {
        publish(&broker, "h/a", data).await;
    }
    assert_eq!(back("h/a", start), (Some(false), "h/a=3\nh/a=4\nh/a=5\n".to_owned()));
    clock.advance(Duration::from_secs(61));
    let new = publish(&broker, "h/a", "6").await.position;
    assert_eq!(back("h/a", start), (Some(false), "h/a=6\n".to_owned()));
    assert_eq!(back("h/b", start).0, Some(true), "it was not looked at yet");
    assert_eq!(back("h/a", new), (Some(true), String::new()));
    let (last, position) = broker.channel_history(&ChannelName::parse("h/a").unwrap(), 10);
    assert_eq!((last.len(), position), (1, new));
}

#[tokio::test]
async fn last_values_come_first_and_survive_a_restart() {
    let Node { broker, clock, store } = Node::start().await;
    set(&broker, "r", ChannelSettings { retain: true, ..Default::default() }).await;
    for (channel, data) in [("r/a", "1"), ("r/a", "2"), ("r/b", "3"), ("x", "4")] {
        publish(&broker, channel, data).await;
    }
    let kept = NewPublication { retain: true, ..publication("x", "5") };
    broker.publish_on_channel(kept).await.unwrap();
    let gone = publication("r/b", "");
    broker.publish_on_channel(gone).await.unwrap();
    let again = Broker::start(store, Arc::new(clock), Options::default()).await.unwrap();
    for broker in [&broker, &again] {
        let late = Listener::new(broker, usize::MAX);
        late.subscribe("**");
        assert_eq!(late.got(), "+** None\n~r/a=2\n~x=5\n");
        assert!(broker.channel_settings()["r"].retain);
    }
}

#[tokio::test]
async fn who_comes_gets_all_last_values_however_many_there_are() {
    let Node { broker, .. } = Node::start().await;
    for slow_consumer in [SlowConsumer::Disconnect, SlowConsumer::DropNewest] {
        let settings = ChannelSettings {
            slow_consumer,
            retain: true,
            buffer_bytes: 1024,
            ..Default::default()
        };
        set(&broker, "c", settings).await;
        let data = "x".repeat(600);
        for n in 0..5 {
            publish(&broker, &format!("c/{n}"), &data).await;
        }
        let listener = Listener::new(&broker, 0);
        listener.subscribe("c/**");
        // It has taken nothing yet, and what comes now is not too much for it.
        publish(&broker, "c/5", "live").await;
        let last: String = (0..5).map(|n| format!("~c/{n}={data}\n")).collect();
        assert_eq!(listener.drain(), format!("+c/** None\n{last}c/5=live\n"));
        listener.handle.receiver().end("bye".into());
        publish_empty(&broker, "c/5").await;
    }
}

#[tokio::test]
async fn a_last_value_for_which_there_is_no_memory_is_told_and_counted() {
    let Node { broker, .. } = Node::start().await;
    set(&broker, "c", ChannelSettings { retain: true, ..Default::default() }).await;
    for n in 0..5 {
        publish(&broker, &format!("c/{n}"), &"x".repeat(30_000)).await;
    }
    let mut all = broker.budgets().answers.share();
    all.charge(usize::MAX / 2);
    let listener = Listener::new(&broker, 0);
    listener.subscribe("c/**");
    assert!(listener.drain().ends_with("\ndropped 2\n"), "64 KiB are everybody's");
    let figures = broker.channel_figures();
    assert_eq!(figures.iter().find(|(prefix, _)| prefix == "c").unwrap().1.dropped, 2);
}

#[tokio::test]
async fn who_comes_and_goes_is_told_where_that_is_set() {
    let Node { broker, .. } = Node::start().await;
    set(&broker, "room", ChannelSettings { presence: true, ..Default::default() }).await;
    let ann = Listener::named(&broker, usize::MAX, Some("ann"));
    ann.subscribe("room/1");
    let watcher = Listener::new(&broker, usize::MAX);
    watcher.subscribe("room/*");
    let bob = Listener::named(&broker, usize::MAX, Some("bob"));
    bob.subscribe("room/1");
    let (members, count) = broker.channel_members(&ChannelName::parse("room/1").unwrap());
    let names: Vec<_> = members.iter().map(|member| member.client.as_deref()).collect();
    assert_eq!((names, count), (vec![Some("ann"), Some("bob")], 2));
    drop(bob);
    let moves = "room/1 joined Some(\"bob\")\nroom/1 left Some(\"bob\")\n";
    assert_eq!(ann.got(), format!("+room/1 None\n{moves}"));
    assert_eq!(watcher.got(), format!("+room/* None\n{moves}"));
}

#[tokio::test]
async fn limits_hold() {
    let Node { broker, .. } = Node::start().await;
    let large = "x".repeat(tramline_types::limits::PUBLICATION_BYTES_MAX + 1);
    assert!(broker.publish_on_channel(publication("c", &large)).await.is_err());
    let listener = Listener::new(&broker, usize::MAX);
    for number in 0..tramline_types::limits::RECEIVER_SUBSCRIPTIONS_MAX {
        listener.subscribe(&format!("c/{number}"));
    }
    let pattern = ChannelPattern::parse("one/more").unwrap();
    let more = Subscribe { pattern: &pattern, after: None, request: None };
    assert!(listener.handle.subscribe(more).is_err());
    assert!(broker.set_channel_settings("a/*", Some(ChannelSettings::default())).await.is_err());
}

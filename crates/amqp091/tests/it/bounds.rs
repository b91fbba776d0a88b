//! What a client may make the broker hold, and what prefetch counts.

use crate::support::{Incoming, Node, publish};
use std::{sync::Arc, time::Duration};
use tramline_broker::{MemoryOptions, Mode, NewTopic, Options};
use tramline_testkit::FakeClock;
use tramline_types::TopicName;
use tramline_wire_amqp091::{
    Method, Table, Value, Writer,
    method::{access, basic, queue},
};

fn get(queue: &str) -> basic::Get {
    basic::Get { queue: queue.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_answered_no_further() {
    const MESSAGES: u32 = 64;
    let node = Node::start().await;
    let (mut silent, mut other) = (node.client().await, node.client().await);
    other.declare("q", false).await;
    for _ in 0..MESSAGES {
        other.send(&publish("q", &vec![7; 1024 * 1024])).await;
    }
    let mut gets = Writer::new();
    (0..MESSAGES).for_each(|_| Method::from(get("q")).encode_into(&mut gets, 1));
    other.declare("q", false).await;
    silent.send(gets.as_slice()).await;
    let mut left = MESSAGES;
    for _ in 0..1000 {
        let declare = queue::Declare { queue: "q".to_owned(), passive: true, ..Default::default() };
        let Method::QueueDeclareOk(ok) = other.call(1, declare).await else { panic!("no count") };
        left = ok.message_count;
    }
    assert!(left < MESSAGES, "some were got");
    assert!(left > 0, "what the sockets do not take is not got");
    for _ in 0..MESSAGES {
        let Method::BasicGetOk(_) = silent.method().await else { panic!("no message") };
        let Incoming::Header(mut size) = silent.next().await else { panic!("no header") };
        while size > 0 {
            let Incoming::Body(part) = silent.next().await else { panic!("no body") };
            size -= u64::try_from(part.len()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_channel_may_use_any_number_of_queues_in_turn() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut first = None;
    for n in 0..200 {
        let name = format!("q{n}");
        client.declare(&name, false).await;
        client.send(&publish(&name, b"m")).await;
        let Method::BasicGetOk(got) = client.call(1, get(&name)).await else { panic!("no get") };
        client.next().await;
        client.next().await;
        if n % 50 == 0 {
            first.get_or_insert(got.delivery_tag);
        } else {
            client
                .send_method(1, basic::Ack { delivery_tag: got.delivery_tag, multiple: false })
                .await;
        }
    }
    let reject = basic::Nack { delivery_tag: 0, multiple: true, requeue: true };
    client.send_method(1, reject).await;
    for n in 0..200 {
        let again = client.call(1, get(&format!("q{n}"))).await;
        let is_back = matches!(again, Method::BasicGetOk(_));
        assert_eq!(is_back, n % 50 == 0, "q{n}: {again:?}");
        if is_back {
            client.next().await;
            client.next().await;
        }
    }
}

#[tokio::test]
async fn a_channels_prefetch_counts_what_its_consumers_have_to_settle() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for queue in ["asked", "consumed", "free"] {
        client.declare(queue, false).await;
        client.send(&publish(queue, queue.as_bytes()).repeat(2)).await;
    }
    let qos = basic::Qos { prefetch_count: 1, global: true, ..Default::default() };
    assert!(matches!(client.call(1, qos).await, Method::BasicQosOk(_)));
    assert!(matches!(client.call(1, get("asked")).await, Method::BasicGetOk(_)));
    client.next().await;
    client.next().await;
    client.consume("consumed", false).await;
    assert_eq!(client.delivery().await.2, b"consumed", "what was asked for does not count");
    client.consume("free", true).await;
    for _ in 0..2 {
        assert_eq!(client.delivery().await.2, b"free", "what is not to be settled does not count");
    }
    client.send_method(1, basic::Ack { delivery_tag: 2, multiple: false }).await;
    assert_eq!(client.delivery().await.2, b"consumed");
}

#[tokio::test]
async fn a_binding_whose_argument_equals_nothing_goes_with_its_queue() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for _ in 0..3 {
        client.declare("q", true).await;
        for _ in 0..2 {
            let bind = queue::Bind {
                queue: "q".to_owned(),
                exchange: "amq.headers".to_owned(),
                arguments: Table(vec![("a".to_owned(), Value::F64(f64::NAN))]),
                ..Default::default()
            };
            assert!(matches!(client.call(1, bind).await, Method::QueueBindOk(_)));
        }
        let delete = queue::Delete { queue: "q".to_owned(), ..Default::default() };
        assert!(matches!(client.call(1, delete).await, Method::QueueDeleteOk(_)));
    }
}

#[tokio::test]
async fn on_a_full_disk_publishes_are_refused_and_consumers_go_on() {
    let node = Node::start().await;
    let (mut client, mut consumer) = (node.client().await, node.client().await);
    client.declare("q", true).await;
    client.confirm().await;
    client.send(&publish("q", b"before")).await;
    assert!(matches!(client.method().await, Method::BasicAck(_)));
    node.store.set_full(true);
    client.send(&publish("q", b"refused")).await;
    assert!(matches!(client.method().await, Method::ConnectionBlocked(_)));
    let Method::BasicNack(nack) = client.method().await else { panic!("not refused") };
    assert_eq!(nack.delivery_tag, 2);
    consumer.consume("q", false).await;
    assert_eq!(consumer.delivery().await.2, b"before");
    consumer.send_method(1, basic::Ack { delivery_tag: 1, multiple: false }).await;
    node.store.set_full(false);
    assert!(matches!(client.method().await, Method::ConnectionUnblocked(_)));
    client.send(&publish("q", b"after")).await;
    assert!(matches!(client.method().await, Method::BasicAck(_)));
    assert_eq!(consumer.delivery().await.2, b"after");
}

#[tokio::test]
async fn who_announces_and_does_not_send_makes_way_for_others() {
    const BYTES: usize = 1024 * 1024;
    let clock = Arc::new(FakeClock::new());
    let memory = MemoryOptions { received_bytes: BYTES, ..MemoryOptions::default() };
    let options = Options { memory, ..Options::default() };
    let node = Node::start_with(Arc::<FakeClock>::clone(&clock), options).await;
    let mut others = [node.client().await, node.client().await, node.client().await];
    let mut last = node.client().await;
    last.declare("q", false).await;
    last.confirm().await;
    let body = vec![7; BYTES];
    let content = publish("q", &body);
    // The first is within the budget, the second gets all its rest beyond it, the third waits.
    for (client, sent) in others.iter_mut().zip([BYTES * 9 / 10, BYTES / 2, BYTES / 2]) {
        client.send(&content[..sent]).await;
    }
    let held = || node.broker.budgets().received.used() >= BYTES;
    while !held() {
        tokio::task::yield_now().await;
    }
    last.send(&content).await;
    let mut confirmed = Box::pin(last.method());
    let confirm = loop {
        let waited = tokio::time::timeout(Duration::from_millis(20), &mut confirmed).await;
        match waited {
            Ok(confirm) => break confirm,
            Err(_) => clock.advance(Duration::from_secs(1)),
        }
    };
    assert!(matches!(confirm, Method::BasicAck(_)));
    drop(confirmed);
    let mut closed = 0;
    for client in &mut others {
        closed += usize::from(client.is_closed_now().await);
    }
    assert!(closed > 0, "who held room and sent nothing is hung up on");
}

#[tokio::test]
async fn a_name_that_a_topic_has_is_no_name_for_a_queue() {
    let node = Node::start().await;
    let new = NewTopic {
        name: TopicName::parse("taken").unwrap(),
        partitions: None,
        replication_factor: None,
        settings: Vec::new(),
        mode: Mode::Apply,
    };
    node.broker.create_topic(new).await.unwrap();
    let mut client = node.client().await;
    let ticket = client.call(1, access::Request::default()).await;
    assert_eq!(ticket, access::RequestOk { ticket: 1 }.into(), "asked for by old clients");
    let declare = queue::Declare { queue: "taken".to_owned(), durable: true, ..Default::default() };
    let Method::ChannelClose(close) = client.call(1, declare).await else { panic!("not a close") };
    assert_eq!(close.reply_code, 406);
}

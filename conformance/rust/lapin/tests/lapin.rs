//! lapin, the client for Rust, against the real binary.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind,
};
use tramline_conformance_broker::{Addresses, Broker};

const LIMIT: Duration = Duration::from_secs(60);

type Outcome<T> = lapin::Result<T>;

async fn connect_to(addresses: &Addresses) -> Connection {
    let uri = format!("amqp://guest:guest@{}/%2f", addresses.amqp);
    Connection::connect(&uri, ConnectionProperties::default()).await.expect("it connects")
}

async fn connect() -> Connection {
    connect_to(Broker::shared()).await
}

/// A channel, and its connection, which ends with it.
async fn channel() -> (Connection, Channel) {
    let connection = connect().await;
    let channel = connection.create_channel().await.expect("it opens");
    (connection, channel)
}

fn name() -> ShortString {
    format!("t-{}", uuid::Uuid::new_v4()).into()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let fields: BTreeMap<ShortString, AMQPValue> =
        fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    fields.into()
}

async fn declare_with(channel: &Channel, arguments: FieldTable) -> ShortString {
    let name = name();
    let declared = channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments);
    declared.await.expect("it is declared");
    name
}

async fn declare(channel: &Channel) -> ShortString {
    declare_with(channel, FieldTable::default()).await
}

async fn exchange(channel: &Channel, kind: ExchangeKind) -> ShortString {
    let name = name();
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared =
        channel.exchange_declare(name.clone(), kind, options, FieldTable::default()).await;
    declared.expect("it is declared");
    name
}

async fn bind(channel: &Channel, queue: &ShortString, from: &ShortString, key: &str) {
    let (queue, from) = (queue.clone(), from.clone());
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue, from, key.into(), options, arguments).await.expect("it is bound");
}

async fn publish_with(
    channel: &Channel,
    to: (&ShortString, &str),
    body: &[u8],
    properties: BasicProperties,
) -> Confirmation {
    let (from, key) = (to.0.clone(), to.1.into());
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm = channel.basic_publish(from, key, options, body, properties).await;
    confirm.expect("it is sent").await.expect("it is confirmed")
}

async fn send(channel: &Channel, queue: &ShortString, bodies: &[&str]) {
    for body in bodies {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let to = (&ShortString::from(""), queue.as_str());
        publish_with(channel, to, body.as_bytes(), persistent).await;
    }
}

async fn get(channel: &Channel, queue: &ShortString, no_ack: bool) -> BasicGetMessage {
    let deadline = Instant::now() + LIMIT;
    loop {
        let got = channel.basic_get(queue.clone(), BasicGetOptions { no_ack }).await;
        if let Some(message) = got.expect("it is answered") {
            return message;
        }
        assert!(Instant::now() < deadline, "no message in {queue}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn drain(channel: &Channel, queue: &ShortString) -> Vec<String> {
    let mut bodies = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(got) = channel.basic_get(queue.clone(), options).await.expect("an answer") {
        bodies.push(body(&got.delivery));
    }
    bodies
}

fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.data.to_vec()).expect("text")
}

async fn consume(channel: &Channel, queue: &ShortString, no_ack: bool) -> Consumer {
    let options = BasicConsumeOptions { no_ack, ..Default::default() };
    let consumer = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
    consumer.await.expect("it consumes")
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(LIMIT, consumer.next()).await;
    next.expect("a delivery").expect("it goes on").expect("no error")
}

async fn nothing(consumer: &mut Consumer) {
    let next = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
    assert!(next.is_err(), "{next:?}");
}

fn code<T>(refused: Outcome<T>) -> u16 {
    let Err(error) = refused else { panic!("it is not refused") };
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_id(),
        other => panic!("not refused: {other:?}"),
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn properties_and_headers_come_back_as_they_were_sent() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    let list = FieldArray::from(vec![AMQPValue::LongInt(1), text("two")]);
    let headers = table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-32)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(-64)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(2.25)),
        ("text", text("käse")),
        ("list", AMQPValue::FieldArray(list)),
        ("table", AMQPValue::FieldTable(table([("deep", AMQPValue::Void)]))),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
    ]);
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(3)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("message".into())
        .with_timestamp(1_700_000_000)
        .with_type("type".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    publish_with(&channel, (&"".into(), queue.as_str()), b"body", sent.clone()).await;
    let got = get(&channel, &queue, true).await;
    assert_eq!(got.delivery.properties, sent);
    assert_eq!(body(&got.delivery), "body");
}

#[tokio::test]
async fn bodies_of_every_size() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    for size in [0, 1, 131_063, 131_064, 131_065, 5_000_000] {
        let sent: Vec<u8> = (0..size).map(|at: u32| at.to_le_bytes()[0]).collect();
        let to = (&ShortString::from(""), queue.as_str());
        publish_with(&channel, to, &sent, BasicProperties::default()).await;
        assert!(*get(&channel, &queue, true).await.delivery.data == *sent, "{size} bytes");
    }
}

#[tokio::test]
async fn confirms_and_what_no_queue_takes() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut confirms = Vec::new();
    for body in numbers(0..500) {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let published =
            channel.basic_publish("".into(), queue.clone(), options, body.as_bytes(), properties);
        confirms.push(published.await.unwrap());
    }
    for confirm in confirms {
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
    }
    assert_eq!(drain(&channel, &queue).await, numbers(0..500));
    let to = (&ShortString::from(""), "nobody");
    let lost = publish_with(&channel, to, b"lost", BasicProperties::default()).await;
    let Confirmation::Ack(Some(returned)) = lost else { panic!("{lost:?}") };
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!(body(&returned.delivery), "lost");
}

#[tokio::test]
async fn a_full_queue_refuses_or_drops_its_head() {
    let (_connection, channel) = channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let length = ("x-max-length", AMQPValue::LongInt(1));
    let refusing = [length.clone(), ("x-overflow", text("reject-publish"))];
    let refusing = declare_with(&channel, table(refusing)).await;
    let to = (&ShortString::from(""), refusing.as_str());
    assert!(publish_with(&channel, to, b"a", BasicProperties::default()).await.is_ack());
    assert!(publish_with(&channel, to, b"b", BasicProperties::default()).await.is_nack());
    let dropping = declare_with(&channel, table([length])).await;
    send(&channel, &dropping, &["a", "b"]).await;
    assert_eq!(drain(&channel, &dropping).await, ["b"]);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let ((_one, channel), (_two, other)) = (channel().await, channel().await);
    let (source, target) = (declare(&channel).await, declare(&channel).await);
    send(&channel, &source, &["work"]).await;
    channel.tx_select().await.unwrap();
    let work = get(&channel, &source, false).await;
    send(&channel, &target, &["result"]).await;
    channel.tx_rollback().await.unwrap();
    send(&channel, &target, &["result"]).await;
    work.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    assert_eq!(drain(&other, &target).await, Vec::<String>::new());
    channel.tx_commit().await.unwrap();
    channel.close(200, "".into()).await.unwrap();
    assert_eq!(drain(&other, &target).await, ["result"]);
    assert_eq!(drain(&other, &source).await, Vec::<String>::new());
}

#[tokio::test]
async fn exchanges_of_every_kind() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    let direct = exchange(&channel, ExchangeKind::Direct).await;
    let fanout = exchange(&channel, ExchangeKind::Fanout).await;
    let topic = exchange(&channel, ExchangeKind::Topic).await;
    bind(&channel, &queue, &direct, "a").await;
    bind(&channel, &queue, &fanout, "").await;
    bind(&channel, &queue, &topic, "x.*.#").await;
    for key in ["a", "x", "x.1", "x.1.2"] {
        for (of, sent) in [(&direct, "d"), (&fanout, "f"), (&topic, "t")] {
            publish_with(&channel, (of, key), sent.as_bytes(), Default::default()).await;
        }
    }
    assert_eq!(drain(&channel, &queue).await, ["d", "f", "f", "f", "t", "f", "t"]);
    let (unbound, from) = (queue.clone(), fanout.clone());
    channel.queue_unbind(unbound, from, "".into(), FieldTable::default()).await.unwrap();
    publish_with(&channel, (&fanout, ""), b"not", Default::default()).await;
    assert_eq!(drain(&channel, &queue).await, Vec::<String>::new());
}

#[tokio::test]
async fn headers_exchanges() {
    let (_connection, channel) = channel().await;
    let from = exchange(&channel, ExchangeKind::Headers).await;
    let a = ("a", AMQPValue::LongInt(1));
    let b = ("b", text("x"));
    for (how, expected) in [("all", vec!["both"]), ("any", vec!["both", "one"])] {
        let queue = declare(&channel).await;
        let arguments = table([("x-match", text(how)), a.clone(), b.clone()]);
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.clone(), from.clone(), "".into(), options, arguments)
            .await
            .unwrap();
        let with = |headers| BasicProperties::default().with_headers(headers);
        let both = with(table([a.clone(), b.clone()]));
        publish_with(&channel, (&from, ""), b"both", both).await;
        publish_with(&channel, (&from, ""), b"one", with(table([a.clone()]))).await;
        publish_with(&channel, (&from, ""), b"none", with(table([]))).await;
        assert_eq!(drain(&channel, &queue).await, expected);
    }
}

#[tokio::test]
async fn exchanges_lead_to_exchanges_and_to_the_alternate() {
    let (_connection, channel) = channel().await;
    let (first, rest) = (
        exchange(&channel, ExchangeKind::Topic).await,
        exchange(&channel, ExchangeKind::Fanout).await,
    );
    let second = name();
    let arguments = table([("alternate-exchange", text(rest.as_str()))]);
    let options = ExchangeDeclareOptions::default();
    channel
        .exchange_declare(second.clone(), ExchangeKind::Direct, options, arguments)
        .await
        .unwrap();
    let (queue, others) = (declare(&channel).await, declare(&channel).await);
    let (to, from, options) = (second.clone(), first.clone(), ExchangeBindOptions::default());
    channel.exchange_bind(to, from, "x.#".into(), options, FieldTable::default()).await.unwrap();
    bind(&channel, &queue, &second, "x.1").await;
    bind(&channel, &others, &rest, "").await;
    for key in ["x.1", "x.2", "y"] {
        publish_with(&channel, (&first, key), key.as_bytes(), Default::default()).await;
    }
    assert_eq!(drain(&channel, &queue).await, ["x.1"]);
    assert_eq!(drain(&channel, &others).await, ["x.2"]);
    let (to, from, options) = (second.clone(), first.clone(), ExchangeUnbindOptions::default());
    channel.exchange_unbind(to, from, "x.#".into(), options, FieldTable::default()).await.unwrap();
    channel.exchange_delete(second, ExchangeDeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn deliveries_come_in_order_and_are_settled() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    let mut consumer = consume(&channel, &queue, false).await;
    let bodies = numbers(0..200);
    send(&channel, &queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for expected in &bodies {
        let delivery = next(&mut consumer).await;
        assert_eq!((&body(&delivery), delivery.redelivered), (expected, false));
        if expected.ends_with("99") {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
        }
    }
    channel.close(200, "".into()).await.unwrap();
    let (_connection, channel) = self::channel().await;
    assert_eq!(drain(&channel, &queue).await, Vec::<String>::new());
}

#[tokio::test]
async fn nack_reject_and_recover() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    send(&channel, &queue, &["a", "b", "c"]).await;
    let (a, b) = (get(&channel, &queue, false).await, get(&channel, &queue, false).await);
    get(&channel, &queue, false).await;
    a.delivery.acker.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
    b.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await.unwrap();
    for expected in ["a", "c"] {
        let got = get(&channel, &queue, true).await;
        assert_eq!((body(&got.delivery).as_str(), got.delivery.redelivered), (expected, true));
    }
}

#[tokio::test]
async fn prefetch() {
    let (_connection, channel) = channel().await;
    let queue = declare(&channel).await;
    send(&channel, &queue, &["a", "b", "c"]).await;
    channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, &queue, false).await;
    let first = next(&mut consumer).await;
    next(&mut consumer).await;
    nothing(&mut consumer).await;
    first.acker.ack(BasicAckOptions::default()).await.unwrap();
    assert_eq!(body(&next(&mut consumer).await), "c");
}

#[tokio::test]
async fn consumers_are_cancelled_from_either_side() {
    let ((_one, channel), (_two, other)) = (channel().await, channel().await);
    let queue = declare(&channel).await;
    let mut consumer = consume(&channel, &queue, false).await;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.unwrap();
    assert!(consumer.next().await.is_none());
    let mut consumer = consume(&channel, &queue, false).await;
    other.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
    let end = tokio::time::timeout(LIMIT, consumer.next()).await;
    assert!(end.expect("it is told").is_none_or(|end| end.is_err()));
    declare(&channel).await;
}

#[tokio::test]
async fn exclusive_single_active_and_prior_consumers() {
    let ((_one, channel), (_two, other)) = (channel().await, channel().await);
    let queue = declare(&channel).await;
    let exclusive = BasicConsumeOptions { exclusive: true, ..Default::default() };
    let none = FieldTable::default;
    let _alone = channel.basic_consume(queue.clone(), "".into(), exclusive, none()).await.unwrap();
    let refused = other.basic_consume(queue.clone(), "".into(), Default::default(), none()).await;
    assert_eq!(code(refused), 403);
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    let queue = declare_with(&channel, table([single])).await;
    let mut active = consume(&channel, &queue, true).await;
    let mut waiting = consume(&channel, &queue, true).await;
    send(&channel, &queue, &["a"]).await;
    assert_eq!(body(&next(&mut active).await), "a");
    nothing(&mut waiting).await;
    channel.basic_cancel(active.tag(), BasicCancelOptions::default()).await.unwrap();
    send(&channel, &queue, &["b"]).await;
    assert_eq!(body(&next(&mut waiting).await), "b");
}

#[tokio::test]
async fn direct_reply_to() {
    let ((_one, client), (_two, server)) = (channel().await, channel().await);
    let requests = declare(&server).await;
    let mut served = consume(&server, &requests, true).await;
    let mut replies = consume(&client, &"amq.rabbitmq.reply-to".into(), true).await;
    for id in numbers(0..20) {
        let request = BasicProperties::default()
            .with_reply_to("amq.rabbitmq.reply-to".into())
            .with_correlation_id(id.clone().into());
        let to = (&ShortString::from(""), requests.as_str());
        publish_with(&client, to, id.as_bytes(), request).await;
        let request = next(&mut served).await;
        let address = request.properties.reply_to().clone().expect("an address");
        let id = request.properties.correlation_id().clone().expect("an id");
        let reply = BasicProperties::default().with_correlation_id(id.clone());
        let to = (&ShortString::from(""), address.as_str());
        publish_with(&server, to, &request.data, reply).await;
        let reply = next(&mut replies).await;
        assert_eq!(reply.properties.correlation_id(), &Some(id.clone()));
        assert_eq!(body(&reply), id.as_str());
    }
}

#[tokio::test]
async fn queues_are_counted_purged_and_deleted() {
    let (_connection, channel) = channel().await;
    let options = QueueDeclareOptions::exclusive();
    let named = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
    assert!(named.name().as_str().starts_with("amq.gen-"));
    let queue = declare(&channel).await;
    send(&channel, &queue, &["a", "b"]).await;
    let passive = QueueDeclareOptions::durable().passive();
    let found = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await.unwrap();
    assert_eq!((found.message_count(), found.consumer_count()), (2, 0));
    let purged = channel.queue_purge(queue.clone(), QueuePurgeOptions::default()).await.unwrap();
    assert_eq!(purged, 2);
    send(&channel, &queue, &["c"]).await;
    let deleted = channel.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
    assert_eq!(deleted, 1);
}

#[tokio::test]
async fn priorities_and_time_to_live() {
    let (_connection, channel) = channel().await;
    let queue = declare_with(&channel, table([("x-max-priority", AMQPValue::LongInt(5))])).await;
    for priority in [0, 5, 3] {
        let properties = BasicProperties::default().with_priority(priority);
        let to = (&ShortString::from(""), queue.as_str());
        publish_with(&channel, to, priority.to_string().as_bytes(), properties).await;
    }
    assert_eq!(drain(&channel, &queue).await, ["5", "3", "0"]);
    let expiring = BasicProperties::default().with_expiration("1".into());
    publish_with(&channel, (&"".into(), queue.as_str()), b"m", expiring).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(drain(&channel, &queue).await, Vec::<String>::new());
}

#[tokio::test]
async fn dead_letters_say_where_and_why_they_died() {
    let (_connection, channel) = channel().await;
    let dead = declare(&channel).await;
    let (to, key) = ("x-dead-letter-exchange", "x-dead-letter-routing-key");
    let queue = declare_with(&channel, table([(to, text("")), (key, text(dead.as_str()))])).await;
    send(&channel, &queue, &["m"]).await;
    let got = get(&channel, &queue, false).await;
    got.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    let letter = get(&channel, &dead, true).await;
    let headers = letter.delivery.properties.headers().clone().expect("headers");
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else {
        panic!("{headers:?}")
    };
    let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else { panic!("{deaths:?}") };
    let field = |name: &str| death.inner().get(name).cloned();
    assert_eq!(field("reason"), Some(text("rejected")));
    assert_eq!(field("queue"), Some(text(queue.as_str())));
    assert_eq!(field("count"), Some(AMQPValue::LongLongInt(1)));
}

#[tokio::test]
async fn what_is_refused_has_its_code() {
    let connection = connect().await;
    let open = || async { connection.create_channel().await.expect("the connection goes on") };
    let none = FieldTable::default;
    let queue = declare(&open().await).await;
    let passive = QueueDeclareOptions::durable().passive();
    assert_eq!(code(open().await.queue_declare(name(), passive, none()).await), 404);
    assert_eq!(code(open().await.basic_get(name(), BasicGetOptions::default()).await), 404);
    assert_eq!(code(open().await.queue_purge(name(), QueuePurgeOptions::default()).await), 404);
    for (from, expected) in [(name(), 404), ("".into(), 403)] {
        let options = QueueBindOptions::default();
        let bound = open().await.queue_bind(queue.clone(), from, "k".into(), options, none()).await;
        assert_eq!(code(bound), expected);
    }
    let durable = QueueDeclareOptions::durable;
    let reserved = open().await.queue_declare("amq.mine".into(), durable(), none()).await;
    assert_eq!(code(reserved), 403);
    let other = open().await.queue_declare(queue, QueueDeclareOptions::default(), none()).await;
    assert_eq!(code(other), 406);
    let kind = ExchangeKind::Custom("odd".to_owned());
    let odd = open().await.exchange_declare(name(), kind, Default::default(), none()).await;
    assert_eq!(code(odd), 406);
    let wrong = table([("x-message-ttl", text("soon"))]);
    assert_eq!(code(open().await.queue_declare(name(), durable(), wrong).await), 406);
    connection.update_secret("guest".into(), "it was time".into()).await.unwrap();
    let uri = format!("amqp://guest:wrong@{}/%2f", Broker::shared().amqp);
    let refused = Connection::connect(&uri, ConnectionProperties::default()).await;
    assert_eq!(code(refused), 403);
    let uri = format!("amqp://guest:guest@{}/elsewhere", Broker::shared().amqp);
    let refused = Connection::connect(&uri, ConnectionProperties::default()).await;
    assert_eq!(code(refused), 530);
}

async fn durable_state_is_intact(how: &str) {
    let mut broker = Broker::start();
    let connection = connect_to(broker.addresses()).await;
    let channel = connection.create_channel().await.unwrap();
    let (from, queue) = (exchange(&channel, ExchangeKind::Topic).await, declare(&channel).await);
    bind(&channel, &queue, &from, "a.#").await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for body in numbers(0..200) {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        assert!(publish_with(&channel, (&from, "a.b"), body.as_bytes(), persistent).await.is_ack());
    }
    get(&channel, &queue, false).await;
    broker.restart(how);
    let connection = connect_to(broker.addresses()).await;
    let channel = connection.create_channel().await.unwrap();
    assert_eq!(drain(&channel, &queue).await, numbers(0..200));
    publish_with(&channel, (&from, "a.c"), b"routed", Default::default()).await;
    assert_eq!(body(&get(&channel, &queue, true).await.delivery), "routed");
}

#[tokio::test]
async fn durable_state_is_intact_after_a_clean_stop() {
    durable_state_is_intact("stop").await;
}

#[tokio::test]
async fn durable_state_is_intact_after_kill_9() {
    durable_state_is_intact("kill").await;
}

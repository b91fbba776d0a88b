use super::*;
use crate::error::Refusal;
use bytes::Bytes;
use tramline_broker::{Overflow, QueueDurability, QueueKind};
use tramline_types::ConnectionId;
use tramline_wire_amqp091::{Properties, ReplyCode, hot::Publish, method::queue};

fn declare(arguments: Vec<(&str, Field)>) -> queue::Declare {
    let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    queue::Declare {
        queue: "q".to_owned(),
        durable: true,
        arguments: Table(arguments),
        ..queue::Declare::default()
    }
}

fn settings(declare: &queue::Declare) -> Result<tramline_broker::QueueSettings, Refusal> {
    queue_settings(declare, ConnectionId(7))
}

#[test]
fn arguments_of_a_queue_become_its_settings() {
    let settings = settings(&declare(vec![
        ("x-message-ttl", Field::I32(60_000)),
        ("x-expires", Field::I64(1)),
        ("x-max-length", Field::U8(10)),
        ("x-overflow", Field::text("reject-publish")),
        ("x-dead-letter-exchange", Field::text("")),
        ("x-dead-letter-routing-key", Field::text("dead")),
        ("x-max-priority", Field::I16(5)),
        ("x-single-active-consumer", Field::Bool(true)),
        ("x-queue-mode", Field::text("lazy")),
    ]))
    .unwrap();
    assert_eq!((settings.message_ttl_ms, settings.expires_ms), (Some(60_000), Some(1)));
    assert_eq!((settings.length_max, settings.overflow), (Some(10), Overflow::RejectPublish));
    assert!(settings.dead_letter_exchange.unwrap().is_default());
    assert_eq!(settings.dead_letter_routing_key.as_deref(), Some("dead"));
    assert_eq!((settings.priority_max, settings.single_active_consumer), (5, true));
    assert_eq!((settings.kind, settings.deliveries_max), (QueueKind::Classic, None));
}

#[test]
fn quorum_queues_have_a_delivery_limit_of_twenty_unless_told_otherwise() {
    let quorum = ("x-queue-type", Field::text("quorum"));
    let limit = |more: Vec<(&str, Field)>| {
        let arguments = [vec![quorum.clone()], more].concat();
        settings(&declare(arguments)).unwrap().deliveries_max
    };
    assert_eq!(limit(vec![]), Some(21), "the first delivery is not counted");
    assert_eq!(limit(vec![("x-delivery-limit", Field::I32(3))]), Some(4));
    assert_eq!(limit(vec![("x-delivery-limit", Field::I32(-1))]), None);
}

#[test]
fn exclusive_queues_belong_to_their_connection_and_live_in_memory() {
    let exclusive = queue::Declare { exclusive: true, ..declare(vec![]) };
    let settings = settings(&exclusive).unwrap();
    assert_eq!(settings.owner, Some(ConnectionId(7)));
    assert_eq!(settings.durability, QueueDurability::Transient);
}

#[test]
fn wrong_arguments_are_told_by_name() {
    for (name, value) in [
        ("x-message-ttl", Field::I32(-1)),
        ("x-message-ttl", Field::text("1")),
        ("x-expires", Field::I32(0)),
        ("x-overflow", Field::text("explode")),
        ("x-max-priority", Field::I32(256)),
        ("x-queue-type", Field::text("stream")),
        ("x-single-active-consumer", Field::I32(1)),
        ("x-dead-letter-strategy", Field::text("maybe")),
        ("x-dead-letter-routing-key", Field::text("without an exchange")),
    ] {
        let refusal = settings(&declare(vec![(name, value)])).unwrap_err();
        assert_eq!(refusal.code, ReplyCode::PreconditionFailed);
        let start = format!("invalid arg '{name}' for queue 'q' in vhost '/'");
        assert!(refusal.text.starts_with(&start), "{}", refusal.text);
    }
    let quorum = declare(vec![("x-queue-type", Field::text("quorum"))]);
    let transient = queue::Declare { durable: false, ..quorum };
    assert!(settings(&transient).unwrap_err().text.contains("invalid property 'durable'"));
}

fn publish(properties: &Properties<'_>, table: &Table) -> tramline_types::Message {
    let (exchange, routing_key) = (Bytes::from_static(b"ex"), Bytes::from_static(b"key"));
    let raw = Bytes::from(properties.to_bytes());
    let body = Bytes::from_static(b"body");
    let (message, _) = published(Published {
        exchange: &exchange,
        routing_key: &routing_key,
        raw: &raw,
        table,
        body,
        with_text: true,
    })
    .unwrap();
    message
}

#[test]
fn a_message_keeps_what_came_and_shows_it_as_text() {
    let table = Table(vec![
        ("text".to_owned(), Field::text("a")),
        ("number".to_owned(), Field::I32(-7)),
        ("nothing".to_owned(), Field::Void),
        ("list".to_owned(), Field::Array(vec![Field::Void])),
        ("priority".to_owned(), Field::text("mine")),
    ]);
    let properties = Properties {
        content_type: Some(b"text/plain"),
        message_id: Some(b"\xff"),
        priority: Some(3),
        ..Properties::default()
    };
    let message = publish(&properties, &table);
    let headers: Vec<(&str, Option<&[u8]>)> = message
        .headers
        .iter()
        .map(|header| (str::from_utf8(&header.name).unwrap(), header.value.as_deref()))
        .collect();
    let compact = [b"\x02ex".as_slice(), &properties.to_bytes()].concat();
    let expected: [(&str, Option<&[u8]>); 6] = [
        ("amqp091", Some(&compact)),
        ("content-type", Some(b"text/plain")),
        ("priority", Some(b"3")),
        ("text", Some(b"a")),
        ("number", Some(b"-7")),
        ("nothing", None),
    ];
    assert_eq!(headers, expected);
    assert_eq!(message.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(message.value.as_deref(), Some(&b"body"[..]));
}

#[test]
fn further_routing_keys_come_from_cc_and_bcc() {
    let list = |keys: &[&str]| Field::Array(keys.iter().map(|key| Field::text(key)).collect());
    let table = Table(vec![("CC".to_owned(), list(&["a", "b"])), ("BCC".to_owned(), list(&["c"]))]);
    let expected = Keys { more: vec![b"a".into(), b"b".into(), b"c".into()], blind: true };
    assert_eq!(keys(&table), Ok(expected));
    for wrong in [Field::text("a"), Field::Array(vec![Field::I32(1)])] {
        let table = Table(vec![("CC".to_owned(), wrong)]);
        assert_eq!(keys(&table).unwrap_err().code, ReplyCode::PreconditionFailed);
    }
}

#[test]
fn a_body_over_several_frames_is_joined_and_may_not_be_longer_than_announced() {
    let frames = Bytes::from_static(b"exkey");
    let publish = Publish { exchange: "", routing_key: "", mandatory: false, immediate: false };
    let mut content = Content::new(&frames, &publish);
    assert!(content.push(Bytes::from_static(b"early")).is_err(), "before its header");
    content.set_header(Bytes::new(), 6);
    for part in ["ab", "cd"] {
        content.push(Bytes::from_static(part.as_bytes())).unwrap();
        assert!(!content.is_complete());
    }
    assert!(content.push(Bytes::from_static(b"efg")).is_err());
    content.push(Bytes::from_static(b"ef")).unwrap();
    assert!(content.is_complete());
    assert_eq!(content.finish().2, &b"abcdef"[..]);
}

#[test]
fn values_are_compared_by_what_they_mean() {
    assert_eq!(value(&Field::I8(5)), value(&Field::I64(5)));
    assert_eq!(value(&Field::Binary(vec![1])), Value::Other(b'x', vec![0, 0, 0, 1, 1]));
    assert_ne!(value(&Field::Bool(true)), value(&Field::I8(1)));
}

#[test]
fn a_number_that_is_none_equals_itself_and_there_is_one_zero() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.5] {
        let table = |field| arguments(&Table(vec![("a".to_owned(), field)]));
        assert!(table(Field::F64(number)).is_equivalent(&table(Field::F64(number))));
    }
    assert_eq!(value(&Field::F64(-0.0)), value(&Field::F32(0.0)));
    assert_eq!(format!("{:?}", value(&Field::F64(-0.0))), "Double(0.0)");
}

#[test]
fn more_further_keys_than_the_limit_are_refused() {
    let list = |n| Field::Array(vec![Field::text("k"); n]);
    let table = |n| Table(vec![("CC".to_owned(), list(n)), ("BCC".to_owned(), list(1))]);
    assert_eq!(keys(&table(999)).unwrap().more.len(), 1000);
    assert_eq!(keys(&table(1000)).unwrap_err().code, ReplyCode::PreconditionFailed);
}

#[test]
fn a_message_does_not_hold_the_read_that_it_came_in() {
    let read = Bytes::from(vec![0; 1024]);
    let (raw, key, body) = (read.slice(..2), read.slice(2..9), read.slice(9..20));
    let (message, _) = published(Published {
        exchange: b"",
        routing_key: &key,
        raw: &raw,
        table: &Table::new(),
        body,
        with_text: true,
    })
    .unwrap();
    drop((raw, key));
    assert!(read.is_unique());
    assert_eq!((message.key.unwrap().len(), message.value.unwrap().len()), (7, 11));
}

#[test]
fn a_content_that_goes_on_later_holds_its_own_bytes_alone() {
    let read = Bytes::from(b"ex-key-properties-part".to_vec());
    let (exchange, routing_key) =
        (str::from_utf8(&read[..2]).unwrap(), str::from_utf8(&read[3..6]).unwrap());
    let publish = Publish { exchange, routing_key, mandatory: false, immediate: false };
    let mut content = Content::new(&read, &publish);
    content.detach();
    assert!(read.is_unique());
    content.set_header(read.slice(7..17), 8);
    content.push(read.slice(18..)).unwrap();
    assert_eq!((content.missing(), read.is_unique()), (4, false));
    content.detach();
    assert!(read.is_unique());
    content.push(read.slice(18..)).unwrap();
    assert!(content.bytes() >= 2 + 3 + 10 + 8);
    let (address, properties, body) = content.finish();
    assert_eq!((address.exchange(), address.routing_key()), (&b"ex"[..], &b"key"[..]));
    assert_eq!((properties, body), (Bytes::from("properties"), Bytes::from("partpart")));
}

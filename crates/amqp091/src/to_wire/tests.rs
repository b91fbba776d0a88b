use super::*;
use bytes::Bytes;

fn header(name: &'static str, value: impl Into<Bytes>) -> Header {
    Header { name: Bytes::from_static(name.as_bytes()), value: Some(value.into()) }
}

fn message(headers: Vec<Header>) -> Message {
    Message { key: Some(Bytes::from_static(b"key")), headers, ..Message::default() }
}

#[test]
fn what_an_amqp_client_sent_goes_out_as_it_came() {
    let raw = Properties { delivery_mode: Some(2), ..Properties::default() }.to_bytes();
    let compact = [b"\x02ex".as_slice(), &raw].concat();
    let message = message(vec![header("amqp091", compact), header("text", "for others")]);
    let outgoing = outgoing(&message, Shown::default());
    assert_eq!(outgoing.origin(), Origin { exchange: b"ex", routing_key: b"key" });
    assert!(matches!(outgoing.properties, Cow::Borrowed(bytes) if bytes == raw));
}

#[test]
fn deaths_and_deliveries_join_the_headers() {
    let table = Table(vec![("mine".to_owned(), Value::I32(1))]);
    let mut headers = Writer::new();
    table.encode_into(&mut headers);
    let raw = Properties {
        headers: Some(headers.as_slice()),
        expiration: Some(b"10"),
        ..Properties::default()
    };
    let compact = [b"\x02ex".as_slice(), &raw.to_bytes()].concat();
    let deaths = r#"[
        {"queue":"b","reason":"rejected","count":1,"exchange":"dlx","routing-keys":["key"],
         "time":1700000001,"to":"again"},
        {"queue":"a","reason":"expired","count":2,"exchange":"ex","routing-keys":["key","cc"],
         "time":1700000000,"original-expiration":"10","first":true}
    ]"#;
    let message = message(vec![header("amqp091", compact), header("dead-letter", deaths)]);
    let outgoing = outgoing(&message, Shown { deliveries: Some(3), is_foreign: true });
    assert_eq!(outgoing.origin().exchange, b"again");
    let properties = Properties::decode(&outgoing.properties).unwrap();
    assert_eq!(properties.expiration, None);
    let table = properties.table().unwrap();
    let text = |name: &str| table.get(name).and_then(Value::as_text).unwrap_or("-");
    assert_eq!(table.get("mine"), Some(&Value::I32(1)));
    assert_eq!(table.get("x-delivery-count"), Some(&Value::I64(3)));
    assert_eq!((text("x-first-death-queue"), text("x-last-death-queue")), ("a", "b"));
    assert_eq!(
        (text("x-first-death-reason"), text("x-last-death-reason")),
        ("expired", "rejected")
    );
    assert_eq!((text("x-first-death-exchange"), text("x-last-death-exchange")), ("ex", "dlx"));
    let Some(Value::Array(entries)) = table.get("x-death") else { panic!("no x-death") };
    let Value::Table(first) = &entries[1] else { panic!("no table") };
    assert_eq!(first.get("count"), Some(&Value::I64(2)));
    assert_eq!(first.get("time"), Some(&Value::Timestamp(1_700_000_000)));
    assert_eq!(first.get("original-expiration"), Some(&Value::text("10")));
    let keys = Value::Array(vec![Value::text("key"), Value::text("cc")]);
    assert_eq!(first.get("routing-keys"), Some(&keys));
}

#[test]
fn messages_of_other_protocols_get_properties_from_their_headers() {
    let message = message(vec![
        header("content-type", "application/json"),
        header("correlation-id", vec![b'x'; 300]),
        header("trace", "abc"),
        Header { name: Bytes::from_static(b"null"), value: None },
        Header { name: Bytes::from_static(b"\xff"), value: None },
    ]);
    let outgoing = outgoing(&message, Shown::default());
    let properties = Properties::decode(&outgoing.properties).unwrap();
    assert_eq!(properties.content_type, Some(&b"application/json"[..]));
    assert_eq!(properties.correlation_id, None, "longer than a short string");
    assert_eq!(properties.delivery_mode, Some(2));
    let expected =
        Table(vec![("trace".to_owned(), Value::text("abc")), ("null".to_owned(), Value::Void)]);
    assert_eq!(properties.table(), Ok(expected));
}

#[test]
fn a_damaged_compact_header_is_as_none() {
    for damaged in [&b""[..], b"\x05ex", b"\x00", b"\x00\x00"] {
        let message = message(vec![header("amqp091", Bytes::copy_from_slice(damaged))]);
        let outgoing = outgoing(&message, Shown::default());
        assert!(Properties::decode(&outgoing.properties).is_ok());
    }
}

#[test]
fn what_another_protocols_client_wrote_into_the_compact_header_is_checked() {
    let sound = Properties { headers: Some(b"\x01aV"), ..Properties::default() }.to_bytes();
    let cases: [(&[u8], &[u8], bool); 4] = [
        (b"ex", &sound, true),
        (b"\xff\xff", &sound, false),
        (b"ex", b"\x20\x00\x00\x00\x00\x03\x01a?", false),
        (b"ex", b"\x80\x00", false),
    ];
    for (exchange, properties, is_kept) in cases {
        let compact = [b"\x02", exchange, properties].concat();
        let message = message(vec![header("amqp091", compact)]);
        let foreign = outgoing(&message, Shown { is_foreign: true, ..Shown::default() });
        assert_eq!(foreign.origin().exchange == b"ex", is_kept);
        assert_eq!(*foreign.properties == *properties, is_kept);
        assert_eq!(Properties::check(&foreign.properties), Ok(()));
        let own = outgoing(&message, Shown::default());
        assert_eq!(*own.properties, *properties, "what this front-end wrote is not looked at");
    }
}

#[test]
fn a_key_of_any_bytes_becomes_a_text_that_fits() {
    let long = format!("{}\u{e4}", "k".repeat(254));
    for (key, expected) in [
        (b"plain".to_vec(), "plain".to_owned()),
        (b"a\xff".to_vec(), "a\u{fffd}".to_owned()),
        (long.clone().into_bytes(), "k".repeat(254)),
    ] {
        let message = Message { key: Some(key.into()), ..Message::default() };
        let outgoing = outgoing(&message, Shown { is_foreign: true, ..Shown::default() });
        assert_eq!(outgoing.origin().routing_key, expected.as_bytes());
    }
}

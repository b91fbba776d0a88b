use super::*;
use crate::from_wire::message::{Digested, Sent, stored};
use bytes::Bytes;
use tramline_types::Header;

fn sent() -> Message {
    let json = r#"{
        "MessageBody": "hello",
        "MessageAttributes": {
            "city": {"DataType": "String", "StringValue": "Any City"},
            "n.x": {"DataType": "Number.int", "StringValue": "05"},
            "raw": {"DataType": "Binary.png", "BinaryValue": "AAH/"},
            "text": {"DataType": "Binary", "BinaryValue": "YWJj"},
            "priority": {"DataType": "String", "StringValue": "mine"}
        }
    }"#;
    let mut sent: Sent = serde_json::from_str(json).unwrap();
    let compact = Compact { id: "the-id".to_owned(), ..Compact::default() };
    stored(sent.check().unwrap(), compact)
}

#[test]
fn attributes_come_back_with_their_types() {
    let message = sent();
    let out = outgoing(&message);
    let seen: Vec<_> = out
        .attributes
        .iter()
        .map(|(name, typed)| (name.as_str(), typed.data_type.as_str(), typed.value.as_bytes()))
        .collect();
    let wanted: [(&str, &str, &[u8]); 5] = [
        ("city", "String", b"Any City"),
        ("n.x", "Number.int", b"05"),
        ("priority", "String", b"mine"),
        ("raw", "Binary.png", &[0, 1, 255]),
        ("text", "Binary", b"abc"),
    ];
    assert_eq!(seen, wanted);
    assert_eq!((&*out.body, out.compact.id.as_str()), ("hello", "the-id"));
    // What the engine goes by is not the application's to write.
    assert!(header(&message, b"priority").is_none());
    assert_eq!(header(&message, b"message-id"), Some(&b"the-id"[..]));
}

#[test]
fn a_message_of_another_protocol_has_its_headers_as_attributes() {
    let header = |name: &'static str, value: &'static [u8]| Header {
        name: Bytes::from_static(name.as_bytes()),
        value: Some(Bytes::from_static(value)),
    };
    let headers = vec![
        header("content-type", b"text/plain"),
        header("raw", b"\xff"),
        header("amqp091", b"\0\0"),
        header("no name", b"x"),
        header("empty", b""),
        header("content-type", b"again"),
    ];
    let value = Some(Bytes::from_static(b"a\xffb"));
    let message = Message { headers, value, ..Message::default() };
    let out = outgoing(&message);
    let seen: Vec<_> =
        out.attributes.iter().map(|(n, t)| (n.as_str(), t.data_type.as_str())).collect();
    assert_eq!(seen, [("body-encoding", "String"), ("content-type", "String"), ("raw", "Binary")]);
    assert_eq!(out.body, "Yf9i");
}

#[test]
fn a_kept_digest_is_of_its_own_body_alone() {
    let body = "x".repeat(5000);
    let kept = Digested::of(body.as_bytes(), &md5(body.as_bytes())).unwrap();
    assert_eq!(kept.clone().for_body(body.as_bytes()), Some(md5(body.as_bytes())));
    assert_eq!(kept.for_body(body.replace('x', "y").as_bytes()), None);
    assert_eq!(Digested::of(b"short", "x"), None);
}

#[test]
fn digests_are_those_of_aws() {
    assert_eq!(hex(&[0, 0x9f, 0xf0, 255]), "009ff0ff");
    assert_eq!(md5(b"hello"), "5d41402abc4b2a76b9719d911017c592");
    let text = |text: &str| TypedValue::Text(text.to_owned());
    let number = Typed { data_type: "Number".to_owned(), value: text("1493147359900") };
    assert_eq!(
        md5_of_attributes([("timestamp", &number)]).as_deref(),
        Some("235c5c510d26fb653d073faed50ae77c")
    );
    assert_eq!(md5_of_attributes([]), None);
}

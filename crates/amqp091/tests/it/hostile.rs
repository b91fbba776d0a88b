//! Bad input: the protocol's error, and that connection alone pays.

use crate::support::{Client, Incoming, Node, publish};
use tramline_wire_amqp091::{
    FrameKind, Method, PROTOCOL_HEADER, Table, Value, Writer,
    method::{basic, channel, queue},
};

#[tokio::test]
async fn another_protocol_is_told_what_is_spoken() {
    let node = Node::start().await;
    let mut stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"AMQP\0\x01\0\0").await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
    assert_eq!(answer, PROTOCOL_HEADER);
}

#[tokio::test]
async fn a_frame_above_64_kib_before_the_log_in_ends_the_connection() {
    let node = Node::start().await;
    let mut client = Client::connect(node.address).await;
    assert!(matches!(client.method().await, Method::ConnectionStart(_)));
    client.send(&[FrameKind::Method.code(), 0, 0, 0, 1, 0, 0]).await;
    assert!(matches!(client.next().await, Incoming::End));
}

#[tokio::test]
async fn frames_out_of_place_close_the_connection_with_their_code() {
    let node = Node::start().await;
    let cases: [(&[u8], u16); 5] = [
        (b"\x03\0\x01\0\0\0\x01x\xce", 505),
        (b"\x01\0\x01\0\0\0\x04\0\x3c\0\x50\xce", 502),
        (b"\x01\0\x01\0\0\0\x04\0\x3c\0\x6f!", 501),
        (b"\x01\0\x07\0\0\0\x04\0\x3c\0\x6f\xce", 504),
        (b"\x01\0\x01\0\x10\0\0", 501),
    ];
    for (bytes, code) in cases {
        let mut client = node.client().await;
        client.send(bytes).await;
        assert_eq!(client.closed_with().await.0, code, "{bytes:?}");
    }
    let mut bystander = node.client().await;
    bystander.declare("fine", false).await;
}

#[tokio::test]
async fn tables_that_lie_about_their_length_close_the_connection() {
    let node = Node::start().await;
    for table in [b"\x01aS\xff\xff\xff\xff".as_slice(), b"\x01aA\xff\xff\xff\xffV", b"\x01a?"] {
        let mut client = node.client().await;
        let mut writer = Writer::new();
        let declare = queue::Declare::default();
        Method::from(declare).encode_into(&mut writer, 1);
        let mut bytes = writer.into_bytes();
        let (size_at, end) = (bytes.len() - 5, bytes.len() - 1);
        let length = u32::try_from(table.len()).unwrap();
        bytes.splice(size_at..end, [&length.to_be_bytes(), table].concat());
        let size = u32::from_be_bytes(bytes[3..7].try_into().unwrap()) + length;
        bytes[3..7].copy_from_slice(&size.to_be_bytes());
        client.send(&bytes).await;
        assert_eq!(client.closed_with().await.0, 502);
    }
}

#[tokio::test]
async fn a_body_that_is_only_announced_takes_nothing_and_too_large_a_one_is_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut frames = publish("q", b"");
    let announced = frames.len() - 3 - 1 - 8;
    frames[announced..announced + 8].copy_from_slice(&(1u64 << 40).to_be_bytes());
    client.send(&frames).await;
    let Method::ChannelClose(close) = client.method().await else { panic!("not a close") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (406, 60, 40));
    client.send_method(1, channel::CloseOk {}).await;
    client.call(1, channel::Open::default()).await;
    client.declare("again", false).await;
}

#[tokio::test]
async fn an_error_of_a_channel_leaves_the_connection() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let arguments = Table(vec![("x-message-ttl".to_owned(), Value::I32(-1))]);
    let declare = queue::Declare { queue: "q".to_owned(), arguments, ..Default::default() };
    let Method::ChannelClose(close) = client.call(1, declare).await else { panic!("not a close") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (406, 50, 10));
    // What was sent before the close was seen is dropped.
    client.send_method(1, basic::Ack { delivery_tag: 7, multiple: false }).await;
    client.send_method(1, channel::CloseOk {}).await;
    client.call(1, channel::Open::default()).await;
    client.declare("q", true).await;
}

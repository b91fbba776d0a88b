//! What is published comes out, in order, once, and to whoever reads.

use crate::support::{Node, publish};
use tramline_wire_amqp091::{
    Method,
    method::{basic, channel},
};

#[tokio::test]
async fn a_thousand_publishes_in_one_write_are_confirmed_and_delivered_in_order() {
    let node = Node::start().await;
    let (mut publisher, mut consumer) = (node.client().await, node.client().await);
    publisher.declare("q", true).await;
    publisher.confirm().await;
    consumer.consume("q", false).await;
    let bodies: Vec<Vec<u8>> = (0..1000).map(|n| format!("{n}").into_bytes()).collect();
    let frames: Vec<u8> = bodies.iter().flat_map(|body| publish("q", body)).collect();
    publisher.send(&frames).await;
    let mut confirmed = 0;
    while confirmed < 1000 {
        let Method::BasicAck(ack) = publisher.method().await else { panic!("not a confirm") };
        assert!(ack.multiple || ack.delivery_tag == confirmed + 1);
        confirmed = ack.delivery_tag;
    }
    for (n, expected) in (1..).zip(&bodies) {
        let (tag, redelivered, body) = consumer.delivery().await;
        assert_eq!((tag, redelivered, &body), (n, false, expected));
    }
    consumer.send_method(1, basic::Ack { delivery_tag: 1000, multiple: true }).await;
    let closed = consumer.call(1, channel::Close::default()).await;
    assert!(matches!(closed, Method::ChannelCloseOk(_)));
}

#[tokio::test]
async fn what_is_out_returns_marked_when_its_channel_closes() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.declare("q", true).await;
    client.consume("q", false).await;
    client.send(&publish("q", b"m")).await;
    assert_eq!(client.delivery().await, (1, false, b"m".to_vec()));
    client.call(1, channel::Close::default()).await;
    client.call(1, channel::Open::default()).await;
    client.consume("q", false).await;
    assert_eq!(client.delivery().await, (1, true, b"m".to_vec()));
}

#[tokio::test]
async fn a_consumer_that_never_reads_leaves_the_rest_to_others() {
    const MESSAGES: usize = 300;
    let node = Node::start().await;
    let (mut silent, mut other) = (node.client().await, node.client().await);
    silent.declare("q", true).await;
    silent.consume("q", true).await;
    other.confirm().await;
    let body = vec![7; 100_000];
    let frames: Vec<u8> = (0..MESSAGES).flat_map(|_| publish("q", &body)).collect();
    other.send(&frames).await;
    let mut confirmed = 0;
    while confirmed < u64::try_from(MESSAGES).unwrap() {
        let Method::BasicAck(ack) = other.method().await else { panic!("not a confirm") };
        confirmed = ack.delivery_tag;
    }
    other.consume("q", true).await;
    for _ in 0..MESSAGES / 3 {
        assert_eq!(other.delivery().await.2, body);
    }
}

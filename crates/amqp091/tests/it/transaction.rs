//! Transactions: what waits for a commit, and what a commit leaves alone.

use crate::support::{Client, Incoming, Node, publish};
use tramline_wire_amqp091::{
    Method,
    method::{basic, channel, queue, tx},
};

async fn transactional(node: &Node) -> Client {
    let mut client = node.client().await;
    assert!(matches!(client.call(1, tx::Select {}).await, Method::TxSelectOk(_)));
    client
}

/// Gets one message; its number.
async fn get(client: &mut Client, queue: &str) -> Option<u64> {
    let get = basic::Get { queue: queue.to_owned(), ..Default::default() };
    match client.call(1, get).await {
        Method::BasicGetOk(got) => {
            assert!(matches!(client.next().await, Incoming::Header(1)));
            assert!(matches!(client.next().await, Incoming::Body(_)));
            Some(got.delivery_tag)
        }
        Method::BasicGetEmpty(_) => None,
        other => panic!("neither a message nor none: {other:?}"),
    }
}

async fn filled(node: &Node, queue: &str, messages: usize) {
    let mut client = node.client().await;
    client.declare(queue, true).await;
    client.send(&publish(queue, b"m").repeat(messages)).await;
    client.declare(queue, true).await;
}

async fn ready(client: &mut Client, queue: &str) -> u32 {
    let declare = queue::Declare { queue: queue.to_owned(), passive: true, ..Default::default() };
    match client.call(1, declare).await {
        Method::QueueDeclareOk(ok) => ok.message_count,
        other => panic!("no count: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_settled_and_not_committed_is_not_recovered() {
    let node = Node::start().await;
    filled(&node, "q", 2).await;
    let mut client = transactional(&node).await;
    let tag = get(&mut client, "q").await.unwrap();
    get(&mut client, "q").await.unwrap();
    client.send_method(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    let recovered = client.call(1, basic::Recover { requeue: true }).await;
    assert!(matches!(recovered, Method::BasicRecoverOk(_)));
    assert_eq!(ready(&mut client, "q").await, 1);
    assert!(matches!(client.call(1, tx::Commit {}).await, Method::TxCommitOk(_)));
    client.call(1, channel::Close::default()).await;
    client.call(1, channel::Open::default()).await;
    assert_eq!(ready(&mut client, "q").await, 1, "the other one was committed");
}

#[tokio::test]
async fn a_commit_does_without_a_queue_that_is_gone() {
    let node = Node::start().await;
    filled(&node, "gone", 1).await;
    filled(&node, "kept", 1).await;
    let mut client = transactional(&node).await;
    for queue in ["gone", "kept"] {
        let tag = get(&mut client, queue).await.unwrap();
        client.send_method(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    }
    let delete = queue::Delete { queue: "gone".to_owned(), ..Default::default() };
    assert!(matches!(client.call(1, delete).await, Method::QueueDeleteOk(_)));
    assert!(matches!(client.call(1, tx::Commit {}).await, Method::TxCommitOk(_)));
    client.call(1, channel::Close::default()).await;
    client.call(1, channel::Open::default()).await;
    assert_eq!(ready(&mut client, "kept").await, 0);
}

#[tokio::test]
async fn a_channel_that_closes_gives_back_what_it_settled_without_a_commit() {
    let node = Node::start().await;
    filled(&node, "q", 1).await;
    let mut client = transactional(&node).await;
    let tag = get(&mut client, "q").await.unwrap();
    client.send_method(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    client.call(1, channel::Close::default()).await;
    client.call(1, channel::Open::default()).await;
    assert_eq!(ready(&mut client, "q").await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_gives_back_what_it_would_have_settled() {
    let node = Node::start().await;
    filled(&node, "q", 1).await;
    let mut client = transactional(&node).await;
    let tag = get(&mut client, "q").await.unwrap();
    client.send_method(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    client.send(&publish("q", b"n")).await;
    node.store.set_full(true);
    let Method::ChannelClose(close) = client.call(1, tx::Commit {}).await else {
        panic!("not a close")
    };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (406, 90, 20));
    client.send_method(1, channel::CloseOk {}).await;
    client.call(1, channel::Open::default()).await;
    assert_eq!(ready(&mut client, "q").await, 1);
}

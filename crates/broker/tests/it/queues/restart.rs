//! What a restart keeps.

use super::*;
use tramline_broker::Options;

async fn restarted(node: Node) -> Node {
    node.broker.close().await;
    let store = Arc::new(node.store.reopen().start());
    Node::over(store, Options::default()).await
}

#[tokio::test]
async fn what_was_not_settled_is_delivered_again_marked() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings { priority_max: 1, ..QueueSettings::default() }).await;
    put(&node, &queue, &["a", "b", "c", "d", "e"]).await;
    let high = EnqueueOptions { priority: 1, ..persistent() };
    put_with(&node, &queue, &["h"], high).await;
    let got = get(&queue, 5, HELD).await;
    assert_eq!(texts(&got), ["h", "a", "b", "c", "d"]);
    queue.settle(&[(got[0].token, Outcome::Accepted), (got[2].token, Outcome::Accepted)]).await;
    queue.settle(&[(got[3].token, RELEASED)]).await;
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(queue.counts().ready, 4);
    let again = get(&queue, 9, HELD).await;
    assert_eq!(texts(&again), ["a", "c", "d", "e"]);
    let marks: Vec<_> = again.iter().map(|it| (it.redelivered, it.deliveries)).collect();
    assert_eq!(marks, [(true, 1), (true, 1), (true, 1), (false, 0)]);
    assert_eq!(queue.settle(&all(&got, &Outcome::Accepted)).lost().len(), 5, "tokens of before");
    assert!(queue.settle(&all(&again, &Outcome::Accepted)).await.is_empty());
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(queue.counts().ready, 0);
    put(&node, &queue, &["f"]).await;
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["f"]);
}

#[tokio::test]
async fn tokens_are_not_given_twice_by_starts_on_a_full_disk() {
    let node = Node::start().await;
    let jobs = queue(&node, QueueSettings::default()).await;
    put(&node, &jobs, &["a"]).await;
    node.broker.close().await;
    let (mut store, mut tokens) = (node.store, Vec::new());
    for _ in 0..3 {
        store = Arc::new(store.reopen().start());
        store.set_full(true);
        node.clock.advance(Duration::from_millis(1));
        let clock = Arc::new(node.clock.clone());
        let broker = Broker::start(store.clone(), clock, Options::default()).await.unwrap();
        let got = get(&broker.queue(&name("jobs")).unwrap(), 1, HELD).await;
        assert!(!tokens.contains(&got[0].token), "{tokens:?}");
        tokens.push(got[0].token);
    }
}

#[tokio::test]
async fn settings_and_names_are_kept_and_transient_queues_are_not() {
    let node = Node::start().await;
    let settings = QueueSettings { message_ttl_ms: Some(7), ..QueueSettings::default() };
    queue(&node, settings.clone()).await;
    node.broker.declare_queue(&name("gone"), transient()).await.unwrap();
    let node = restarted(node).await;
    assert_eq!(*node.broker.queue(&name("jobs")).unwrap().settings(), settings);
    assert!(node.broker.queue(&name("gone")).is_err());
}

#[tokio::test]
async fn many_steps_are_kept_over_checkpoints() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    let values: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for chunk in values.chunks(500) {
        put(&node, &queue, chunk).await;
    }
    let got = get(&queue, 3000, HELD).await;
    assert_eq!(got.len(), 3000);
    // One at a time, out of order: thousands of deltas.
    for delivery in got.iter().skip(1).step_by(2).rev() {
        queue.settle(&[(delivery.token, Outcome::Accepted)]);
    }
    for _ in 0..20 {
        let again: Vec<_> = got.iter().step_by(2).take(1).collect();
        queue.settle(&[(again[0].token, RELEASED)]);
    }
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    let again = texts(&get(&queue, 3000, HELD).await);
    let wanted: Vec<&str> = values.iter().copied().step_by(2).collect();
    assert_eq!(again, wanted);
}

#[tokio::test]
async fn what_was_settled_before_a_restart_takes_nothing_of_a_bound() {
    let node = Node::start().await;
    let settings = QueueSettings {
        bytes_max: Some(100),
        overflow: tramline_broker::Overflow::RejectPublish,
        ..QueueSettings::default()
    };
    let queue = queue(&node, settings).await;
    for _ in 0..5 {
        put(&node, &queue, &["0123456789"; 10]).await;
        let got = get(&queue, 10, HELD).await;
        assert!(queue.settle(&all(&got, &Outcome::Accepted)).await.is_empty());
    }
    put(&node, &queue, &["0123456789"; 4]).await;
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    put(&node, &queue, &["0123456789"; 6]).await;
    assert!(try_put(&node, &queue, "0").await.is_err(), "the bound holds");
    assert_eq!(get(&queue, 99, HELD).await.len(), 10);
}

//! Messages that are kept after they are done, and put in again.

use super::*;
use tramline_broker::{MessageFilter, Replay};

const KEEP_MS: u64 = 64_000;

fn keeping() -> QueueSettings {
    QueueSettings { retention_after_settle_ms: Some(KEEP_MS), ..QueueSettings::default() }
}

async fn work_off(queue: &Arc<Queue>) -> Vec<String> {
    let got = get(queue, 5_000, HELD).await;
    assert!(queue.settle(&all(&got, &Outcome::Accepted)).await.is_empty());
    texts(&got)
}

async fn again(node: &Node, queue: &Arc<Queue>, replay: Replay) -> u64 {
    node.broker.replay(queue, &replay).await.unwrap()
}

fn dry() -> Replay {
    Replay { dry_run: true, ..Replay::default() }
}

#[tokio::test]
async fn what_is_done_is_kept_for_its_time_and_put_in_again() {
    let node = Node::start().await;
    let queue = queue(&node, keeping()).await;
    let values: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    let mortal = EnqueueOptions { ttl_ms: Some(1_000), ..persistent() };
    put_with(&node, &queue, &values.iter().map(String::as_str).collect::<Vec<_>>(), mortal).await;
    assert_eq!(work_off(&queue).await, values);
    put(&node, &queue, &["waits"]).await;
    node.clock.advance(Duration::from_millis(KEEP_MS / 2));
    assert_eq!(again(&node, &queue, dry()).await, 3_000);
    assert_eq!(queue.counts().ready, 1);
    assert_eq!(again(&node, &queue, Replay::default()).await, 3_000);
    let got = work_off(&queue).await;
    assert_eq!((got[0].as_str(), &got[1..]), ("waits", &values[..]));
    // They are kept as the first ones are: 6,001 by now.
    assert_eq!(again(&node, &queue, dry()).await, 6_001);
    node.clock.advance(Duration::from_millis(KEEP_MS / 2 + KEEP_MS / 32));
    until_kept(&node, &queue, 3_001).await;
    node.clock.advance(Duration::from_millis(KEEP_MS));
    until_kept(&node, &queue, 0).await;
}

/// Waits until so many can be put in again.
async fn until_kept(node: &Node, queue: &Arc<Queue>, n: u64) {
    for _ in 0..10_000 {
        if again(node, queue, dry()).await == n {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} are kept, not {n}", again(node, queue, dry()).await);
}

#[tokio::test]
async fn some_are_put_into_another_queue_also_after_a_restart() {
    let node = Node::start().await;
    let jobs = queue(&node, keeping()).await;
    node.broker.declare_queue(&name("to"), QueueSettings::default()).await.unwrap();
    put(&node, &jobs, &["a", "b"]).await;
    work_off(&jobs).await;
    node.clock.advance(Duration::from_millis(10));
    let since = Some(node.now());
    put(&node, &jobs, &["c", "d"]).await;
    assert_eq!(work_off(&jobs).await, ["c", "d"]);
    put(&node, &jobs, &["e"]).await;
    let store = Arc::new(node.store.reopen().start());
    let node = Node::over(store, Options::default()).await;
    let (jobs, to) =
        (node.broker.queue(&name("jobs")).unwrap(), node.broker.queue(&name("to")).unwrap());
    let filter = MessageFilter { since, ..MessageFilter::default() };
    let replay = Replay { to: Some(name("to")), filter, dry_run: false };
    assert_eq!(again(&node, &jobs, replay).await, 2);
    assert_eq!(texts(&get(&to, 9, HELD).await), ["c", "d"]);
    assert_eq!(texts(&get(&jobs, 9, HELD).await), ["e"]);
}

#[tokio::test]
async fn a_queue_that_keeps_nothing_has_nothing_to_put_in_again() {
    let node = Node::start().await;
    let in_memory = QueueSettings { durability: QueueDurability::Transient, ..keeping() };
    assert!(node.broker.declare_queue(&name("memory"), in_memory).await.is_err());
    let queue = queue(&node, keeping()).await;
    let values: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    put(&node, &queue, &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    work_off(&queue).await;
    let keep = |keep_ms: Option<u64>| {
        node.broker.alter_queue(&queue, move |it| it.retention_after_settle_ms = keep_ms)
    };
    keep(None).await.unwrap();
    assert!(node.broker.replay(&queue, &dry()).await.is_err());
    assert!(get(&queue, 1, HELD).await.is_empty());
    keep(Some(KEEP_MS)).await.unwrap();
    assert_eq!(again(&node, &queue, dry()).await, 0, "they went at once");
}

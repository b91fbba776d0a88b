//! Results that units record.

use super::*;
use tramline_broker::{Error, QueueError, Unit};
use tramline_store::LogStore;
use tramline_types::limits::{RESULT_BYTES_MAX, RESULT_TTL};

async fn record(node: &Node, id: &'static str, result: &[u8]) -> Result<(), Error> {
    let result = Some((id.into(), result.to_vec().into()));
    node.broker.commit_unit(Unit { result, ..Unit::default() }).await?.await;
    Ok(())
}

fn results(node: &Node) -> [Option<Vec<u8>>; 2] {
    [b"a", b"b"].map(|id| node.broker.result(id).map(Vec::from))
}

#[tokio::test]
async fn a_result_is_kept_for_its_time_over_a_restart_and_no_longer() {
    let node = Node::start().await;
    record(&node, "a", b"1").await.unwrap();
    node.clock.advance(RESULT_TTL / 2);
    record(&node, "a", b"2").await.unwrap();
    record(&node, "b", b"3").await.unwrap();
    assert_eq!(results(&node), [Some(b"1".to_vec()), Some(b"3".to_vec())]);
    let store = Arc::new(node.store.reopen().start());
    // Its clock begins where that of the first did.
    let node = Node::over(store, Options::default()).await;
    assert_eq!(results(&node), [Some(b"1".to_vec()), Some(b"3".to_vec())]);
    node.clock.advance(RESULT_TTL);
    assert_eq!(results(&node), [None, Some(b"3".to_vec())]);
    let stored = || {
        // The time for it comes now and then.
        node.clock.advance(Duration::from_secs(1));
        node.store.scan(b"result/").len()
    };
    eventually(|| stored() == 1).await;
    record(&node, "a", b"4").await.unwrap();
    assert_eq!(results(&node), [Some(b"4".to_vec()), Some(b"3".to_vec())]);
    node.broker.delete_result(b"a").await.unwrap();
    node.clock.advance(RESULT_TTL);
    eventually(|| stored() == 0).await;
}

#[tokio::test]
async fn a_result_above_the_limit_is_refused_and_nothing_happens() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    put(&node, &queue, &["m"]).await;
    let got = get(&queue, 1, HELD).await;
    let unit = Unit {
        publishes: Vec::new(),
        settles: vec![(queue.clone(), all(&got, &Outcome::Accepted))],
        result: Some(("a".into(), vec![0; RESULT_BYTES_MAX].into())),
    };
    let refused = node.broker.commit_unit(unit).await;
    assert!(matches!(refused.err(), Some(Error::Queue(QueueError::LimitExceeded(_)))));
    assert_eq!(queue.counts().locked, 1);
}

#[tokio::test]
async fn a_result_that_is_there_is_told_when_it_is_durable() {
    let (store, broker) = stepped().await;
    let unit =
        |text: &'static str| Unit { result: Some(("id".into(), text.into())), ..Unit::default() };
    let first = broker.commit_unit(unit("first")).await.unwrap();
    let mut again = broker.commit_unit(unit("again")).await.unwrap();
    assert!(futures_util::future::poll_immediate(&mut again).await.is_none());
    store.step_all();
    tokio::join!(first, again);
    assert_eq!(broker.result(b"id").as_deref(), Some(&b"first"[..]));
}

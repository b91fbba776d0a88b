//! A queue's state is larger than one commit may be.

use super::*;
use tramline_store::LogStore;

/// Of one commit: more than a part of a checkpoint takes, less than two.
const COMMIT_BYTES_MAX: usize = 1_300_000;
const BATCH: usize = 5_000;
const BATCHES: usize = 20;

fn with_id(queue: &Arc<Queue>, id: usize) -> Enqueue {
    let deduplication_id = Some(id.to_string().into_bytes().into());
    item(queue, "", EnqueueOptions { deduplication_id, ..persistent() })
}

/// The bytes of the only checkpoint of more than one part, and of what was logged after it.
fn state(store: &MemoryStore) -> Option<(usize, usize)> {
    let store = store.reopen();
    store.logs().into_iter().find_map(|log| {
        let state = store.take_state(log).unwrap();
        let checkpoint = state.checkpoint.filter(|checkpoint| checkpoint.len() >= 1 << 20)?;
        let is_part = |delta: &&bytes::Bytes| delta[0] == 0x80;
        let sum =
            |deltas: Vec<&bytes::Bytes>| deltas.iter().map(|delta| delta.len()).sum::<usize>();
        let (parts, deltas): (Vec<_>, Vec<_>) = state.deltas.iter().partition(is_part);
        Some((checkpoint.len() + sum(parts), sum(deltas)))
    })
}

async fn check_ids(store: &MemoryStore, last: usize) {
    let node = Node::over(Arc::new(store.reopen().start()), Options::default()).await;
    // What was not finished is gone.
    eventually(|| node.store.logs().len() == 2).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    let ready = queue.counts().ready;
    assert_eq!(ready, u64::try_from(last).unwrap());
    let again = [0, 1, last / 2, last - 1].map(|id| with_id(&queue, id));
    let results = node.broker.enqueue(again.into_iter().collect()).await.await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(queue.counts().ready, ready, "every id is known");
    put(&node, &queue, &["x"]).await;
    assert_eq!(queue.counts().ready, ready + 1);
}

#[tokio::test]
async fn a_large_state_is_stored_in_parts_and_a_crash_between_them_loses_nothing() {
    let (store, broker) = stepped().await;
    store.set_commit_bytes_max(COMMIT_BYTES_MAX);
    let settings = QueueSettings { deduplication_ms: Some(1 << 40), ..QueueSettings::default() };
    let queue_name = name("jobs");
    let queue = stepping(&store, broker.declare_queue(&queue_name, settings)).await.unwrap().0;
    let (mut crashes, mut largest) = (0, 0);
    for batch in 0..BATCHES {
        let ids = batch * BATCH..(batch + 1) * BATCH;
        drop(broker.enqueue(ids.map(|id| with_id(&queue, id)).collect()).await);
        while store.step() {
            // A third log is there while a checkpoint is written.
            if store.reopen().logs().len() > 2 {
                crashes += 1;
                check_ids(&store, (batch + 1) * BATCH).await;
            }
        }
        if let Some((checkpoint, deltas)) = state(&store) {
            largest = largest.max(checkpoint);
            assert!(deltas < 3 * checkpoint, "{deltas} after a checkpoint of {checkpoint}");
        }
    }
    assert!(largest > COMMIT_BYTES_MAX, "{largest}");
    assert!(crashes >= 2, "{crashes}");
    check_ids(&store, BATCHES * BATCH).await;
}

//! Time to live, bounds of length, timed locks, delays.

use super::*;
use tramline_broker::{DeleteOnly, Overflow};

#[tokio::test]
async fn messages_expire_by_their_own_and_the_queues_time() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, QueueSettings { message_ttl_ms: Some(1000), ..base }).await;
        let short = EnqueueOptions { ttl_ms: Some(10), ..persistent() };
        put_with(&node, &queue, &["short"], short).await;
        put(&node, &queue, &["long"]).await;
        node.clock.advance(Duration::from_millis(10));
        eventually(|| queue.counts().ready == 1).await;
        assert_eq!(texts(&get(&queue, 1, HELD).await), ["long"]);
        queue.release_all(HERE);
        node.clock.advance(Duration::from_millis(990));
        eventually(|| queue.counts().ready == 0).await;
        assert_eq!(queue.counts().dropped, 2);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn at_a_bound_the_oldest_go() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, QueueSettings { length_max: Some(3), ..base }).await;
        put(&node, &queue, &["a", "b", "c", "d", "e"]).await;
        put(&node, &queue, &["f"]).await;
        assert_eq!(queue.counts().ready, 3);
        assert_eq!(texts(&get(&queue, 9, HELD).await), ["d", "e", "f"]);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn at_a_bound_the_newest_are_refused_where_the_queue_says_so() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let overflow = Overflow::RejectPublish;
        let queue = queue(&node, QueueSettings { bytes_max: Some(4), overflow, ..base }).await;
        let items = ["aa", "bb", "c", ""].map(|value| item(&queue, value, persistent()));
        let results = node.broker.enqueue(items.into()).await.await;
        assert_eq!(results, [Ok(()), Ok(()), Err(EnqueueError::Overflow), Ok(())]);
        assert_eq!(try_put(&node, &queue, "c").await, Err(EnqueueError::Overflow));
        assert_eq!(texts(&get(&queue, 1, Lock::None).await), ["aa"]);
        assert_eq!(try_put(&node, &queue, "c").await, Ok(()));
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_timed_lock_ends_and_is_extended() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, base).await;
        put(&node, &queue, &["a", "b"]).await;
        let (consumer, bell) = attach(&queue, Lock::Timed(Duration::from_secs(30)));
        let got = consumer.receive(9, 100).unwrap();
        assert_eq!(texts(&got), ["a", "b"]);
        node.clock.advance(Duration::from_secs(20));
        queue.extend(got[1].token, Duration::from_secs(30)).unwrap();
        node.clock.advance(Duration::from_secs(10));
        eventually(|| bell.rings() == 1).await;
        let again = consumer.receive(9, 100).unwrap();
        assert_eq!(texts(&again), ["a"]);
        assert_eq!(again[0].deliveries, 1);
        assert!(queue.extend(got[0].token, Duration::from_secs(1)).is_err(), "of another lock");
        assert_eq!(queue.settle(&all(&got, &Outcome::Accepted)).lost(), [got[0].token]);
        drop(consumer);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_delayed_message_comes_in_its_time_and_place() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, base).await;
        let (consumer, bell) = attach(&queue, HELD);
        assert!(consumer.receive(9, 100).unwrap().is_empty());
        let later = tramline_types::Timestamp::from_millis(node.now().as_millis() + 5000);
        let options = EnqueueOptions { deliver_at: Some(later), ..persistent() };
        put_with(&node, &queue, &["later"], options).await;
        put(&node, &queue, &["now"]).await;
        assert_eq!((queue.counts().ready, queue.counts().delayed), (1, 1));
        eventually(|| bell.rings() == 1).await;
        assert_eq!(texts(&consumer.receive(9, 100).unwrap()), ["now"]);
        node.clock.advance(Duration::from_millis(4999));
        assert!(consumer.receive(9, 100).unwrap().is_empty());
        let rings = bell.rings();
        node.clock.advance(Duration::from_millis(1));
        eventually(|| bell.rings() > rings).await;
        let got = consumer.receive(9, 100).unwrap();
        assert_eq!(texts(&got), ["later"]);
        assert!(!got[0].redelivered && got[0].deliveries == 0);
        drop(consumer);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[test]
fn what_ends_before_it_is_durable_holds_nobody_up() {
    let (done, is_done) = std::sync::mpsc::channel();
    // On a thread of its own: a timer that never waits would hold this one up for ever.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(MemoryStore::stepped());
            let clock = FakeClock::new();
            let starting =
                Broker::start(store.clone(), Arc::new(clock.clone()), Options::default());
            let broker = stepping(&store, starting).await.unwrap();
            let settings = QueueSettings::default();
            let jobs = name("jobs");
            let declared = broker.declare_queue(&jobs, settings);
            let queue = stepping(&store, declared).await.unwrap().0;
            let short = EnqueueOptions { ttl_ms: Some(10), ..persistent() };
            let enqueuing = broker.enqueue(vec![item(&queue, "short", short)]).await;
            for _ in 0..20 {
                clock.advance(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
            assert!(!enqueuing.is_ready());
            stepping(&store, async {
                while queue.counts().dropped == 0 {
                    clock.advance(Duration::from_millis(1));
                    tokio::task::yield_now().await;
                }
            })
            .await;
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("time goes on");
}

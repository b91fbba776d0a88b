//! Declaring, putting, getting, settling.

use super::*;
use tramline_broker::{Created, DeleteOnly, Error, QueueError};

#[tokio::test]
async fn messages_come_in_order_and_are_gone_when_accepted() {
    let node = Node::start().await;
    for settings in [QueueSettings::default(), transient()] {
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a", "b", "c"]).await;
        assert_eq!(queue.counts().ready, 3);
        let got = get(&queue, 2, HELD).await;
        assert_eq!(texts(&got), ["a", "b"]);
        assert!(got.iter().all(|delivery| !delivery.redelivered && delivery.deliveries == 0));
        assert_eq!((queue.counts().ready, queue.counts().locked), (1, 2));
        assert!(queue.settle(&all(&got, &Outcome::Accepted)).await.is_empty());
        assert_eq!(queue.settle(&all(&got, &Outcome::Accepted)).await.len(), 2, "once only");
        assert_eq!(texts(&get(&queue, 9, Lock::None).await), ["c"]);
        let counts = queue.counts();
        assert_eq!((counts.ready, counts.locked), (0, 0));
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_released_message_returns_to_its_place() {
    let node = Node::start().await;
    for settings in [QueueSettings::default(), transient()] {
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a", "b", "c"]).await;
        let got = get(&queue, 2, HELD).await;
        queue.settle(&[(got[0].token, RELEASED)]).await;
        let again = get(&queue, 9, HELD).await;
        assert_eq!(texts(&again), ["a", "c"]);
        assert!(again[0].redelivered && again[0].deliveries == 1);
        assert!(!again[1].redelivered);
        assert_ne!(again[0].token, got[0].token);
        assert_eq!(again[0].place, got[0].place);
        assert_eq!(queue.settle(&[(got[0].token, Outcome::Accepted)]).lost(), [got[0].token]);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_hungry_consumer_is_woken_once() {
    let node = Node::start().await;
    for settings in [QueueSettings::default(), transient()] {
        let queue = queue(&node, settings).await;
        let (consumer, bell) = attach(&queue, HELD);
        assert!(consumer.receive(10, 1000).unwrap().is_empty());
        assert_eq!(bell.rings(), 0);
        put(&node, &queue, &["a"]).await;
        eventually(|| bell.rings() == 1).await;
        put(&node, &queue, &["b"]).await;
        assert_eq!(texts(&consumer.receive(10, 1000).unwrap()), ["a", "b"]);
        assert_eq!(bell.rings(), 1, "once until it receives");
        put(&node, &queue, &["c"]).await;
        eventually(|| bell.rings() == 2).await;
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
        assert!(matches!(consumer.receive(1, 1), Err(Error::Queue(QueueError::Deleted(_)))));
    }
}

#[tokio::test]
async fn nothing_is_shown_before_it_is_durable() {
    let (store, broker) = stepped().await;
    let queue_name = name("jobs");
    let declared = broker.declare_queue(&queue_name, QueueSettings::default());
    let queue = stepping(&store, declared).await.unwrap().0;
    let (consumer, bell) = attach(&queue, HELD);
    let enqueuing = broker.enqueue(vec![item(&queue, "a", persistent())]).await;
    assert!(consumer.receive(1, 100).unwrap().is_empty());
    assert!(!enqueuing.is_ready());
    store.step_all();
    assert!(enqueuing.is_ready());
    assert_eq!(bell.rings(), 1);
    assert_eq!(texts(&consumer.receive(1, 100).unwrap()), ["a"]);
}

#[tokio::test]
async fn what_a_connection_held_returns_counted() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a", "b"]).await;
    let other = Lock::Connection(ConnectionId(2));
    assert_eq!(texts(&get(&queue, 1, HELD).await), ["a"]);
    assert_eq!(texts(&get(&queue, 1, other).await), ["b"]);
    queue.release_all(HERE);
    let again = get(&queue, 9, HELD).await;
    assert_eq!(texts(&again), ["a"]);
    assert_eq!((again[0].redelivered, again[0].deliveries), (true, 1));
}

#[tokio::test]
async fn a_declaration_again_must_be_the_same() {
    let node = Node::start().await;
    let settings = QueueSettings { length_max: Some(5), ..QueueSettings::default() };
    let (first, created) = node.broker.declare_queue(&name("q"), settings.clone()).await.unwrap();
    assert_eq!(created, Created::Yes);
    let (second, created) = node.broker.declare_queue(&name("q"), settings.clone()).await.unwrap();
    assert_eq!((created, first.id()), (Created::No, second.id()));
    let other = QueueSettings { length_max: None, ..settings };
    let refused = node.broker.declare_queue(&name("q"), other).await.err().unwrap();
    assert!(
        matches!(refused, Error::Queue(QueueError::Inequivalent { setting: "length_max", .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn a_name_belongs_to_a_topic_or_a_queue() {
    let node = Node::start().await;
    node.topic("t", &[]).await;
    let taken = node.broker.declare_queue(&name("t"), QueueSettings::default()).await.err();
    assert!(matches!(taken, Some(Error::Queue(QueueError::NameTaken(_, "topic")))));
    queue(&node, QueueSettings::default()).await;
    let taken = node.try_topic("jobs", &[]).await.err();
    assert!(matches!(taken, Some(Error::Queue(QueueError::NameTaken(_, "queue")))));
}

#[tokio::test]
async fn an_exclusive_queue_is_its_connections_and_goes_with_it() {
    let node = Node::start().await;
    let settings = QueueSettings { owner: Some(HERE), ..QueueSettings::default() };
    let queue = queue(&node, settings).await;
    let other = QueueSettings { owner: Some(ConnectionId(2)), ..QueueSettings::default() };
    let locked = node.broker.declare_queue(&name("jobs"), other).await.err();
    assert!(matches!(locked, Some(Error::Queue(QueueError::Locked(_)))));
    assert!(queue.check_owner(Some(HERE)).is_ok());
    node.broker.connection_closed(HERE).await;
    assert!(node.broker.queue(&name("jobs")).is_err());
}

#[tokio::test]
async fn deleting_heeds_users_and_messages() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a"]).await;
    let (consumer, _bell) = attach(&queue, HELD);
    let only = DeleteOnly { if_unused: true, if_empty: true };
    let refused = node.broker.delete_queue(&queue, only).await.err();
    assert!(matches!(refused, Some(Error::Queue(QueueError::InUse(_)))));
    drop(consumer);
    let refused = node.broker.delete_queue(&queue, only).await.err();
    assert!(matches!(refused, Some(Error::Queue(QueueError::NotEmpty(_)))));
    assert_eq!(queue.purge().await.unwrap(), 1);
    node.broker.delete_queue(&queue, only).await.unwrap();
    assert!(node.broker.queue(&name("jobs")).is_err());
}

#[tokio::test]
async fn a_queue_is_not_empty_while_what_it_was_sent_is_not_durable_yet() {
    let (store, broker) = stepped().await;
    let queue_name = name("jobs");
    let declared = broker.declare_queue(&queue_name, QueueSettings::default());
    let queue = stepping(&store, declared).await.unwrap().0;
    let enqueuing = broker.enqueue(vec![item(&queue, "a", persistent())]).await;
    let only = DeleteOnly { if_unused: false, if_empty: true };
    assert_eq!(queue.counts().ready, 0, "it is not durable");
    let refused = broker.delete_queue(&queue, only).await.err();
    assert!(matches!(refused, Some(Error::Queue(QueueError::NotEmpty(_)))), "{refused:?}");
    assert_eq!(stepping(&store, enqueuing).await, [Ok(())]);
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["a"]);
}

#[tokio::test]
async fn a_queue_that_is_deleted_takes_no_other_queues_messages_with_it() {
    let node = Node::start().await;
    let gone = queue(&node, QueueSettings::default()).await;
    let kept = node.broker.declare_queue(&name("kept"), QueueSettings::default()).await.unwrap().0;
    put(&node, &gone, &["a"]).await;
    node.broker.delete_queue(&gone, DeleteOnly::default()).await.unwrap();
    let both = || {
        let targets = [gone.clone(), kept.clone()].into_iter().collect();
        Enqueue { targets, message: message("both"), options: persistent() }
    };
    let items = vec![item(&kept, "one", persistent()), item(&gone, "none", persistent()), both()];
    let results = node.broker.enqueue(items).await.await;
    assert_eq!(results, [Ok(()), Err(EnqueueError::Deleted), Ok(())]);
    assert_eq!(texts(&get(&kept, 9, HELD).await), ["one", "both"]);
}

#[tokio::test]
async fn queues_that_come_and_go_beside_it_cost_a_queue_no_message() {
    let node = Node::start().await;
    let kept = node.broker.declare_queue(&name("kept"), QueueSettings::default()).await.unwrap().0;
    let mut refused = 0;
    for _ in 0..200 {
        let passing = queue(&node, QueueSettings::default()).await;
        put(&node, &passing, &["a"]).await;
        let (broker, target) = (node.broker.clone(), passing.clone());
        let items = vec![item(&kept, "k", persistent()), item(&target, "p", persistent())];
        let enqueuing = tokio::spawn(async move { broker.enqueue(items).await.await });
        node.broker.delete_queue(&passing, DeleteOnly::default()).await.unwrap();
        let results = enqueuing.await.unwrap();
        assert_eq!(results[0], Ok(()));
        refused += usize::from(results[1].is_err());
    }
    assert_eq!(kept.counts().ready, 200, "{refused} were refused to queues that went");
}

#[tokio::test]
async fn a_receive_that_does_not_wait_gets_what_is_ready_by_this_moment() {
    let node = Node::start().await;
    for settings in [QueueSettings::default(), transient()] {
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a"]).await;
        let lock = Lock::Timed(Duration::from_millis(500));
        assert_eq!(texts(&get(&queue, 1, lock).await), ["a"]);
        node.clock.advance(Duration::from_millis(500));
        assert_eq!(texts(&get(&queue, 1, lock).await), ["a"]);
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let node = Node::start().await;
    let settings = QueueSettings { auto_delete: true, ..QueueSettings::default() };
    let queue = queue(&node, settings.clone()).await;
    let (first, _) = attach(&queue, HELD);
    let (second, _) = attach(&queue, HELD);
    drop(first);
    assert!(node.broker.queue(&name("jobs")).is_ok());
    drop(second);
    assert!(node.broker.queue(&name("jobs")).is_err());
    let (again, created) = node.broker.declare_queue(&name("jobs"), settings).await.unwrap();
    assert_eq!(created, Created::Yes);
    assert_ne!(again.id(), queue.id());
}

#[tokio::test]
async fn one_publish_reaches_many_queues() {
    let node = Node::start().await;
    let mut targets = Vec::new();
    for n in 0..4 {
        let settings = if n == 3 { transient() } else { QueueSettings::default() };
        let declared = node.broker.declare_queue(&name(&format!("q{n}")), settings).await;
        targets.push(declared.unwrap().0);
    }
    let to = |queues: &[Arc<Queue>], value| Enqueue {
        targets: queues.iter().cloned().collect(),
        message: message(value),
        options: persistent(),
    };
    let items = vec![
        to(&targets, "1"),
        to(&targets[..1], "2"),
        to(&targets, "3"),
        to(&targets[1..2], "4"),
        to(&targets[..1], "5"),
    ];
    assert!(node.broker.enqueue(items).await.await.iter().all(Result::is_ok));
    let mut got = Vec::new();
    for queue in &targets {
        got.push(texts(&get(queue, 9, HELD).await).concat());
    }
    assert_eq!(got, ["1235", "134", "13", "13"], "in each queue, in the order of the call");
}

#[tokio::test]
async fn a_receive_waits_for_a_first_message() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    let waiting = {
        let queue = queue.clone();
        let wait = Duration::from_secs(20);
        let request =
            Receive { n_max: 5, bytes_max: 100, lock: HELD, wait, connection: Some(HERE) };
        tokio::spawn(async move { queue.receive(request).await.unwrap() })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    put(&node, &queue, &["a"]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["a"]);
}

#[tokio::test]
async fn priorities_are_served_first_and_consumers_by_theirs() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, QueueSettings { priority_max: 5, ..base }).await;
        for (value, priority) in [("low", 0), ("high", 9), ("mid", 3), ("high2", 5)] {
            put_with(&node, &queue, &[value], EnqueueOptions { priority, ..persistent() }).await;
        }
        assert_eq!(texts(&get(&queue, 9, HELD).await), ["high", "high2", "mid", "low"]);
        let (low, _) = attach(&queue, HELD);
        let (high, _) = attach_with(&queue, |options| options.priority = 1);
        assert!(low.receive(1, 100).unwrap().is_empty());
        assert!(high.receive(1, 100).unwrap().is_empty());
        put(&node, &queue, &["x", "y"]).await;
        assert!(low.receive(1, 100).unwrap().is_empty(), "the other is hungry");
        assert_eq!(texts(&high.receive(1, 100).unwrap()), ["x"]);
        assert_eq!(texts(&low.receive(1, 100).unwrap()), ["y"]);
        drop((low, high));
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_settled_already_is_told_when_that_is_durable() {
    let (store, broker) = stepped().await;
    let settings = QueueSettings::default();
    let (queue, _) = stepping(&store, broker.declare_queue(&name("jobs"), settings)).await.unwrap();
    let items = vec![item(&queue, "a", persistent())];
    stepping(&store, async { broker.enqueue(items).await.await }).await;
    let timed = Lock::Timed(Duration::from_secs(30));
    let got = get(&queue, 1, timed).await;
    store.step_all();
    let (mut first, mut again) =
        (queue.accept_late(&[got[0].token]), queue.accept_late(&[got[0].token]));
    let mut purge = std::pin::pin!(queue.purge());
    assert_eq!((first.lost().len(), again.lost().len()), (0, 1));
    for settling in [&mut first, &mut again] {
        assert!(futures_util::future::poll_immediate(settling).await.is_none());
    }
    assert!(futures_util::future::poll_immediate(&mut purge).await.is_none());
    store.step_all();
    assert_eq!((first.await.len(), again.await.len(), purge.await.unwrap()), (0, 1, 0));
}

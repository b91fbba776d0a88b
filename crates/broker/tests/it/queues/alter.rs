//! Queues that change while they are used.

use super::*;
use tramline_broker::{Error, Options, QueueError};
use tramline_types::ExchangeName;

fn to_dead(settings: &mut QueueSettings) {
    settings.deliveries_max = Some(1);
    settings.dead_letter_exchange = ExchangeName::parse("").ok();
    settings.dead_letter_routing_key = Some("dead".to_owned());
    settings.annotations.insert("test".to_owned(), "kept".to_owned());
}

#[tokio::test]
async fn a_limit_that_is_set_later_holds_for_what_is_there_and_over_a_restart() {
    let node = Node::start().await;
    let dead = node.broker.declare_queue(&name("dead"), QueueSettings::default()).await.unwrap().0;
    let jobs = queue(&node, QueueSettings::default()).await;
    put(&node, &jobs, &["a", "b"]).await;
    let got = get(&jobs, 1, HELD).await;
    node.broker.alter_queue(&jobs, to_dead).await.unwrap();
    assert!(jobs.settle(&all(&got, &RELEASED)).await.is_empty());
    eventually(|| dead.counts().ready == 1).await;
    assert_eq!(texts(&get(&dead, 9, Lock::None).await), ["a"]);

    node.broker.close().await;
    let store = Arc::new(node.store.reopen().start());
    let node = Node::over(store, Options::default()).await;
    let jobs = node.broker.queue(&name("jobs")).unwrap();
    let mut wanted = QueueSettings::default();
    to_dead(&mut wanted);
    assert_eq!(*jobs.settings(), wanted);
    let got = get(&jobs, 9, HELD).await;
    jobs.settle(&all(&got, &RELEASED)).await;
    let dead = node.broker.queue(&name("dead")).unwrap();
    eventually(|| dead.counts().ready == 1).await;
}

#[tokio::test]
async fn a_time_to_live_that_is_set_later_ends_what_is_there() {
    let node = Node::start().await;
    let jobs = queue(&node, QueueSettings::default()).await;
    put(&node, &jobs, &["a"]).await;
    node.broker.alter_queue(&jobs, |settings| settings.message_ttl_ms = Some(5)).await.unwrap();
    node.clock.advance(Duration::from_millis(10));
    assert!(get(&jobs, 9, HELD).await.is_empty());
}

#[tokio::test]
async fn what_is_given_for_good_is_refused() {
    let node = Node::start().await;
    let jobs = queue(&node, QueueSettings::default()).await;
    let refused = node.broker.alter_queue(&jobs, |settings| settings.ordered_groups = true).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Queue(QueueError::InvalidSetting { setting: "ordered_groups", .. })
        ),
        "{error}"
    );
    let none = |settings: &mut QueueSettings| settings.deliveries_max = Some(0);
    assert!(node.broker.alter_queue(&jobs, none).await.is_err());
    assert_eq!(*jobs.settings(), QueueSettings::default());
}

#[tokio::test]
async fn locks_are_extended_together_and_lost_ones_are_told() {
    let node = Node::start().await;
    let jobs = queue(&node, QueueSettings::default()).await;
    put(&node, &jobs, &["a", "b"]).await;
    let got = get(&jobs, 2, Lock::Timed(Duration::from_secs(1))).await;
    jobs.settle(&all(&got[1..], &Outcome::Accepted)).await;
    let longer = Duration::from_secs(60);
    let extends: Vec<_> = got.iter().map(|delivery| (delivery.token, longer)).collect();
    assert_eq!(jobs.extend_all(&extends).await, [got[1].token]);
    node.clock.advance(Duration::from_secs(30));
    assert_eq!(jobs.counts().locked, 1);
}

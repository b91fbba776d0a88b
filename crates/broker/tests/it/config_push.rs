//! Configuration push over a whole broker: restarts, cleaning, many followers.

use crate::support::Node;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tramline_broker::{
    ConfigChange, ConfigEvent, ConfigExpected, ConfigKey, ConfigOperation, ConfigPush,
    ConfigPushOptions, ConfigRule, ConfigScope, ConfigStage, Options, WatchStart,
};

fn key(text: &str) -> ConfigKey {
    ConfigKey::parse(text).unwrap()
}

fn scope(text: &str) -> ConfigScope {
    ConfigScope::parse(text).unwrap()
}

fn change(name: &str, value: &str) -> ConfigChange {
    let value = Bytes::from(value.to_owned());
    let operation = ConfigOperation::Put { content_type: "t".into(), value, stage: None };
    ConfigChange { key: key(name), expected: ConfigExpected::Anything, operation, note: None }
}

fn deletion(name: &str) -> ConfigChange {
    ConfigChange { operation: ConfigOperation::Delete, ..change(name, "") }
}

async fn put(config: &ConfigPush, name: &str, value: &str) -> u64 {
    config.change(vec![change(name, value)]).await.unwrap()
}

fn text(config: &ConfigPush, name: &str) -> Option<String> {
    let value = config.get(&key(name), None).ok()?;
    Some(String::from_utf8(value.value.to_vec()).unwrap())
}

async fn restarted(node: Node, options: Options) -> Node {
    node.broker.close().await;
    Node::over(Arc::new(node.store.reopen().start()), options).await
}

#[tokio::test]
async fn values_history_roll_outs_and_rules_outlive_a_restart() {
    let node = Node::start().await;
    let config = node.broker.config_push();
    for n in 0..5 {
        put(config, "app/a", &format!("a{n}")).await;
    }
    let both = vec![change("app/b", "b"), change("app/c", "c")];
    assert_eq!(config.change(both).await.unwrap(), 6);
    let stage = ConfigStage { share: 1000, seed: "s".into() };
    let staged =
        ConfigOperation::Put { content_type: "".into(), value: "b2".into(), stage: Some(stage) };
    config.change(vec![ConfigChange { operation: staged, ..change("app/b", "") }]).await.unwrap();
    config.change(vec![deletion("app/c")]).await.unwrap();
    let rule =
        ConfigRule { schema: Some(serde_json::json!({ "type": "integer" })), history: Some(2) };
    config.set_rule(&scope("n/"), rule.clone()).await.unwrap();
    let (history, epoch) = (config.history(&key("app/b")).unwrap(), config.epoch().to_owned());

    let node = restarted(node, Options::default()).await;
    let config = node.broker.config_push();
    assert_eq!(config.revision(), 8);
    assert_eq!(config.epoch(), epoch);
    assert_eq!(text(config, "app/a").as_deref(), Some("a4"));
    assert_eq!(text(config, "app/b").as_deref(), Some("b"), "not in the roll-out");
    assert_eq!(text(config, "app/c"), None);
    assert_eq!(config.history(&key("app/b")).unwrap(), history);
    let earlier = config.at_revision(&key("app/a"), 2).await.unwrap();
    assert_eq!(earlier.value, "a1");
    assert_eq!(config.roll_back(&key("app/a"), 2, Default::default()).await.unwrap(), 9);
    assert_eq!(text(config, "app/a").as_deref(), Some("a1"));
    assert_eq!(config.rules(), [(scope("n/"), rule)]);
    assert!(config.change(vec![change("n/x", "no number")]).await.is_err());
}

#[tokio::test]
async fn the_log_stays_short_and_keeps_everything_that_counts() {
    let options = ConfigPushOptions { history: 2, ..ConfigPushOptions::default() };
    let options = Options { config_push: options, ..Options::default() };
    let node = Node::over(Arc::default(), options.clone()).await;
    let config = node.broker.config_push();
    put(config, "once", "stays").await;
    put(config, "gone", "goes").await;
    config.change(vec![deletion("gone")]).await.unwrap();
    let large = "x".repeat(10_000);
    for n in 0..1_000 {
        put(config, "often", &format!("{large}{n}")).await;
    }
    // Ten MiB were written, of which thirty KiB count.
    let mut log_bytes = config.figures().log_bytes.0;
    for _ in 0..10_000 {
        if log_bytes < 4 * 1024 * 1024 {
            break;
        }
        node.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        log_bytes = config.figures().log_bytes.0;
    }
    assert!(log_bytes < 4 * 1024 * 1024, "{log_bytes}");
    let node = restarted(node, options).await;
    let config = node.broker.config_push();
    assert_eq!(text(config, "once").as_deref(), Some("stays"));
    assert_eq!(text(config, "gone"), None);
    assert_eq!(text(config, "often"), Some(format!("{large}999")));
    assert_eq!(config.at_revision(&key("often"), 1001).await.unwrap().value, format!("{large}997"));
    assert!(config.at_revision(&key("often"), 1000).await.is_err());
    assert_eq!(put(config, "next", "").await, 1004, "no revision is given twice");
}

#[tokio::test]
async fn of_writers_that_expect_the_same_revision_one_wins() {
    let node = Node::start().await;
    let config = node.broker.config_push().clone();
    put(&config, "counter", "0").await;
    let writer = |_| {
        let config = config.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                loop {
                    let now = config.get(&key("counter"), None).unwrap();
                    let next: u64 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
                    let expected = ConfigExpected::Revision(now.revision);
                    let change =
                        ConfigChange { expected, ..change("counter", &(next + 1).to_string()) };
                    if config.change(vec![change]).await.is_ok() {
                        break;
                    }
                }
            }
        })
    };
    let writers: Vec<_> = (0..8).map(writer).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(text(&config, "counter").as_deref(), Some("160"));
}

#[tokio::test]
async fn a_change_is_told_to_those_who_follow_its_key_and_wakes_nobody_else() {
    let node = Node::start().await;
    let config = node.broker.config_push().clone();
    put(&config, "app/a", "1").await;
    let follow = |at: &str| config.watch(scope(at), None, WatchStart::Snapshot).unwrap();
    let mut all: Vec<_> = (0..1000).map(|n| follow(["app/a", "app/", ""][n % 3])).collect();
    let mut other = follow("web/");
    for watch in &mut all {
        assert_eq!(watch.next().await.events.len(), 1);
        assert!(matches!(watch.next().await.events[..], [ConfigEvent::Synced { at: 1 }]));
    }
    assert!(matches!(other.next().await.events[..], [ConfigEvent::Synced { at: 1 }]));
    let revision = put(&config, "app/a", "2").await;
    let mut forms = Vec::new();
    for watch in &mut all {
        let told = watch.next().await.events;
        let [ConfigEvent::Put { at, value }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*at, &value.value), (revision, &Bytes::from("2")));
        forms.push(Arc::as_ptr(value));
    }
    forms.dedup();
    assert_eq!(forms.len(), 1, "all share one value, which is encoded once");
    assert_eq!(config.figures().watches, 1001);
    let quiet = tokio::time::timeout(Duration::from_millis(1), other.next()).await;
    assert!(quiet.is_err(), "nobody told it anything");
    drop((all, other));
    assert_eq!(config.figures().watches, 0);
}

#[tokio::test]
async fn a_follower_that_is_slow_gets_the_newest_of_each_key() {
    let node = Node::start().await;
    let config = node.broker.config_push().clone();
    let mut watch = config.watch(scope("app/"), None, WatchStart::Snapshot).unwrap();
    assert!(matches!(watch.next().await.events[..], [ConfigEvent::Synced { at: 0 }]));
    for n in 0..2_000 {
        put(&config, &format!("app/{}", n % 3), &n.to_string()).await;
    }
    let mut told = Vec::new();
    while watch.position() < 2_000 {
        told.extend(watch.next().await.events);
    }
    let values: Vec<_> = told
        .iter()
        .map(|event| match event {
            ConfigEvent::Put { value, .. } => String::from_utf8(value.value.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, ["1997", "1998", "1999"]);
}

#[tokio::test]
async fn who_was_away_while_a_deletion_was_forgotten_starts_over() {
    let node = Node::start().await;
    let config = node.broker.config_push().clone();
    put(&config, "a", "1").await;
    put(&config, "b", "1").await;
    config.change(vec![deletion("b")]).await.unwrap();
    let start = |after| config.watch(scope(""), None, WatchStart::After(after)).unwrap();
    let told = start(2).next().await.events;
    assert!(matches!(told[..], [ConfigEvent::Delete { at: 3, .. }, ConfigEvent::Synced { .. }]));
    let eight_days = Duration::from_secs(8 * 24 * 3600);
    node.clock.advance(eight_days);
    for _ in 0..10_000 {
        if config.history(&key("b")).is_ok_and(|versions| versions.len() == 1) {
            break;
        }
        node.clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    let told = start(2).next().await.events;
    assert!(matches!(told[..], [ConfigEvent::Resync, ConfigEvent::Put { .. }]), "{told:?}");
    assert!(matches!(start(3).next().await.events[..], [ConfigEvent::Synced { at: 3 }]));
}

//! Compacted topics through a whole broker.

use crate::support::Node;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::{
    Change, CompactionOptions, Error, Mode, Options, Position, RecordRule, SettingChange, Topic,
};
use tramline_log::Step;
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_store::MemoryStore;
use tramline_types::{Message, Timestamp};

const EAGER: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];

/// `(key, value)`, `""` for none, at the node's time.
fn batch(node: &Node, records: &[(&str, &str)]) -> Batch {
    batch_at(node.now(), records)
}

fn batch_at(time: Timestamp, records: &[(&str, &str)]) -> Batch {
    let some = |text: &str| (!text.is_empty()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for (key, value) in records {
        let message = Message { key: some(key), value: some(value), ..Message::default() };
        builder.push(&message, time);
    }
    builder.build().unwrap()
}

async fn put(node: &Node, topic: &Arc<Topic>, records: &[(&str, &str)]) -> u64 {
    let batch = batch(node, records);
    node.publish(topic, batch).await.unwrap().base_offset.get()
}

/// `(offset, key, value)` of everything from an offset on, batch by batch.
async fn all(node: &Node, topic: &Arc<Topic>, from: i64) -> Vec<(i64, String, String)> {
    let mut found = Vec::new();
    for piece in node.fetch(topic, from).await.unwrap().pieces {
        let mut piece = piece;
        while let Some(batch) = Batch::decode_first(&mut piece).unwrap() {
            for record in batch.records(1 << 20).unwrap() {
                let text = |bytes: Option<Bytes>| {
                    bytes.map_or_else(String::new, |b| String::from_utf8(b.to_vec()).unwrap())
                };
                let offset = batch.header().base_offset + i64::from(record.offset_delta);
                found.push((offset, text(record.key), text(record.value)));
            }
        }
    }
    found.retain(|(offset, ..)| *offset >= from);
    found
}

fn offsets(records: &[(i64, String, String)]) -> Vec<i64> {
    records.iter().map(|(offset, ..)| *offset).collect()
}

#[tokio::test]
async fn of_each_key_the_latest_stays_and_reads_pass_over_the_gaps() {
    let node = Node::start().await;
    let topic = node.topic("t", &EAGER).await;
    for n in 0..10 {
        put(&node, &topic, &[("a", &n.to_string()), (if n % 2 == 0 { "b" } else { "c" }, "x")])
            .await;
    }
    node.broker.apply_compaction().await;
    let kept = all(&node, &topic, 0).await;
    assert_eq!(offsets(&kept), [17, 18, 19]);
    assert_eq!(kept[1], (18, "a".to_owned(), "9".to_owned()));
    for from in 0..=17 {
        assert_eq!(offsets(&all(&node, &topic, from).await), [17, 18, 19], "{from}");
    }
    let partition = topic.partition(0).unwrap();
    assert_eq!((partition.log_start().get(), partition.high_watermark().get()), (0, 20));
    assert_eq!(partition.compaction_status().records_removed, 17);
    assert_eq!(put(&node, &topic, &[("a", "10")]).await, 20, "offsets go on");
}

#[tokio::test]
async fn a_record_without_a_key_is_refused_with_its_place() {
    let node = Node::start().await;
    let topic = node.topic("t", &EAGER).await;
    let mixed = batch(&node, &[("a", "1"), ("", "2")]);
    let refused = node.publish(&topic, mixed).await;
    let Err(Error::InvalidRecords(errors)) = refused else { panic!("{refused:?}") };
    assert_eq!((errors.rule, errors.records), (RecordRule::Key, vec![(1, RecordRule::Key)]));
    assert!(all(&node, &topic, 0).await.is_empty());
}

#[tokio::test]
async fn tombstones_stay_for_their_time_and_then_go_alone() {
    let node = Node::start().await;
    let settings = [EAGER[0], EAGER[1], ("delete.retention.ms", "60000")];
    let topic = node.topic("t", &settings).await;
    put(&node, &topic, &[("a", "1"), ("b", "1")]).await;
    put(&node, &topic, &[("a", "")]).await;
    put(&node, &topic, &[("c", "1")]).await;
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [1, 2, 3], "the value goes, the mark stays");
    node.clock.advance(Duration::from_millis(59_999));
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [1, 2, 3]);
    node.clock.advance(Duration::from_millis(1));
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [1, 3], "without any new record");
}

#[tokio::test]
async fn a_clock_that_jumps_takes_no_tombstone_away() {
    let node = Node::start().await;
    let settings = [EAGER[0], EAGER[1], ("delete.retention.ms", "3600000")];
    let topic = node.topic("t", &settings).await;
    put(&node, &topic, &[("a", "")]).await;
    put(&node, &topic, &[("b", "1")]).await;
    node.broker.apply_compaction().await;
    let day = 24 * 3_600_000;
    for jump in [day, -2 * day, day] {
        let now = node.now().plus_millis(jump);
        node.clock.set_wall(now);
        node.clock.advance(Duration::from_secs(1));
        node.broker.apply_compaction().await;
        assert_eq!(offsets(&all(&node, &topic, 0).await), [0, 1], "{jump}");
    }
}

#[tokio::test]
async fn young_records_are_left_alone_and_old_ones_do_not_wait_for_the_ratio() {
    let node = Node::start().await;
    let young = [EAGER[0], EAGER[1], ("min.compaction.lag.ms", "10000")];
    let young = node.topic("young", &young).await;
    let lazy = [EAGER[0], ("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "20000")];
    let lazy = node.topic("lazy", &lazy).await;
    for topic in [&young, &lazy] {
        put(&node, topic, &[("a", "1")]).await;
        put(&node, topic, &[("a", "2")]).await;
    }
    node.clock.advance(Duration::from_secs(9));
    put(&node, &young, &[("a", "3")]).await;
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &young, 0).await), [0, 1, 2]);
    assert_eq!(offsets(&all(&node, &lazy, 0).await), [0, 1]);
    node.clock.advance(Duration::from_secs(2));
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &young, 0).await), [1, 2], "the third is young");
    node.clock.advance(Duration::from_secs(9));
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &lazy, 0).await), [1], "20 seconds old");
}

#[tokio::test]
async fn half_of_the_bytes_must_be_new_by_default() {
    let node = Node::start().await;
    let topic = node.topic("t", &EAGER[..1]).await;
    for n in 0..8 {
        put(&node, &topic, &[(&n.to_string(), "1")]).await;
    }
    node.broker.apply_compaction().await;
    let status = || topic.partition(0).unwrap().compaction_status();
    assert_eq!((status().passes, status().dirty_from.get()), (1, 8));
    put(&node, &topic, &[("0", "2")]).await;
    node.broker.apply_compaction().await;
    assert_eq!(status().passes, 1);
    for n in 0..9 {
        put(&node, &topic, &[(&n.to_string(), "3")]).await;
    }
    node.broker.apply_compaction().await;
    assert_eq!((status().passes, status().dirty_from.get()), (2, 18));
}

#[tokio::test]
async fn a_small_budget_takes_several_passes_and_the_same_result() {
    let compaction = CompactionOptions { map_bytes_max: 0, ..CompactionOptions::default() };
    let options = Options { compaction, ..Options::default() };
    let node = Node::over(Arc::new(MemoryStore::new()), options).await;
    let topic = node.topic("t", &EAGER).await;
    for round in 0..4 {
        for n in 0..200 {
            put(&node, &topic, &[(&n.to_string(), &round.to_string())]).await;
        }
    }
    node.broker.apply_compaction().await;
    let kept = all(&node, &topic, 0).await;
    assert_eq!(offsets(&kept), (600..800).collect::<Vec<_>>());
    assert!(topic.partition(0).unwrap().compaction_status().passes > 4);
}

#[tokio::test]
async fn both_policies_together_do_both() {
    let node = Node::start().await;
    let settings = [("cleanup.policy", "compact,delete"), EAGER[1], ("retention.ms", "10000")];
    let topic = node.topic("t", &settings).await;
    let compacted = node.topic("c", &[EAGER[0], EAGER[1], ("retention.ms", "10000")]).await;
    for topic in [&topic, &compacted] {
        put(&node, topic, &[("a", "1")]).await;
        put(&node, topic, &[("b", "1")]).await;
    }
    node.clock.advance(Duration::from_secs(11));
    for topic in [&topic, &compacted] {
        put(&node, topic, &[("a", "2")]).await;
    }
    node.broker.apply_compaction().await;
    node.broker.apply_retention().await;
    node.broker.allocate_producer_id().await.unwrap();
    assert_eq!(offsets(&all(&node, &topic, 2).await), [2]);
    assert_eq!(topic.partition(0).unwrap().log_start().get(), 2);
    assert_eq!(offsets(&all(&node, &compacted, 0).await), [1, 2], "retention is not its policy");
}

#[tokio::test]
async fn times_are_still_found_after_compaction() {
    let node = Node::start().await;
    let topic = node.topic("t", &EAGER).await;
    let start = node.now().as_millis();
    let at = |ms: i64| Timestamp::from_millis(start + ms);
    for (ms, key) in [(10, "a"), (500, "b"), (20, "a"), (30, "c"), (40, "b")] {
        node.publish(&topic, batch_at(at(ms), &[(key, "v")])).await.unwrap();
    }
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [2, 3, 4]);
    let find = async |position| {
        let found = node.broker.offset_for(&topic, 0, position).await.unwrap();
        (found.offset.map(|o| o.get()), found.timestamp)
    };
    assert_eq!(find(Position::At(at(5))).await, (Some(2), Some(at(20))));
    assert_eq!(find(Position::At(at(35))).await, (Some(4), Some(at(40))));
    assert_eq!(find(Position::At(at(100))).await, (None, None));
    assert_eq!(find(Position::MaxTimestamp).await, (Some(4), Some(at(40))));
    assert_eq!(find(Position::Earliest).await.0, Some(0));
}

#[tokio::test]
async fn a_restart_goes_on_where_compaction_was_and_duplicates_are_still_known() {
    let node = Node::start().await;
    let settings = [EAGER[0], EAGER[1], ("delete.retention.ms", "1000")];
    let topic = node.topic("t", &settings).await;
    let id = node.broker.allocate_producer_id().await.unwrap();
    let sent = |sequence, key: &str| {
        let mut builder = BatchBuilder::new(Compression::None).with_producer(id, 0, sequence);
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        builder.push(&Message { key, ..Message::default() }, node.now());
        builder.build().unwrap()
    };
    for sequence in 0..3 {
        node.publish(&topic, sent(sequence, "a")).await.unwrap();
    }
    put(&node, &topic, &[("b", "1")]).await;
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [2, 3]);
    let duplicate = node.publish(&topic, sent(1, "a")).await.unwrap();
    assert_eq!(duplicate.base_offset.get(), 1, "its batch is gone, its sequence is not");

    node.broker.close().await;
    let restarted = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let topic = restarted.broker.topic(topic.name()).unwrap();
    let status = topic.partition(0).unwrap().compaction_status();
    assert_eq!(status.dirty_from.get(), 4);
    assert!(status.horizon_next.is_some());
    let duplicate = restarted.publish(&topic, sent(2, "a")).await.unwrap();
    assert_eq!(duplicate.base_offset.get(), 2);
    restarted.clock.advance(Duration::from_secs(2));
    restarted.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&restarted, &topic, 0).await), [3], "the tombstone's time is over");
}

#[tokio::test]
async fn the_policy_can_change_while_the_topic_is_in_use() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    for (key, value) in [("a", "1"), ("", "2"), ("a", "3"), ("b", "4")] {
        put(&node, &topic, &[(key, value)]).await;
    }
    node.broker.apply_compaction().await;
    assert_eq!(all(&node, &topic, 0).await.len(), 4);
    let to_compact = [
        ("cleanup.policy", Change::Append("compact".to_owned())),
        ("cleanup.policy", Change::Subtract("delete".to_owned())),
        ("min.cleanable.dirty.ratio", Change::Set("0".to_owned())),
    ];
    for (name, change) in to_compact {
        let change = SettingChange { name: name.to_owned(), change };
        node.broker.alter_topic(topic.name(), vec![change], Mode::Apply).await.unwrap();
    }
    node.broker.apply_compaction().await;
    assert_eq!(offsets(&all(&node, &topic, 0).await), [2, 3]);
}

#[tokio::test]
async fn the_task_compacts_by_itself_unless_it_is_switched_off() {
    let node = Node::start().await;
    let topic = node.topic("t", &EAGER).await;
    put(&node, &topic, &[("a", "1")]).await;
    put(&node, &topic, &[("a", "2")]).await;
    let off = SettingChange {
        name: "log.cleaner.enable".to_owned(),
        change: Change::Set("false".to_owned()),
    };
    let alter = async |change| {
        let scope = tramline_broker::SettingScope::AllBrokers;
        node.broker.alter_broker(scope, vec![change], Mode::Apply).await.unwrap();
    };
    alter(off.clone()).await;
    node.clock.advance(Duration::from_secs(60));
    tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.ok();
    assert_eq!(all(&node, &topic, 0).await.len(), 2);
    alter(SettingChange { change: Change::Reset, ..off }).await;
    let done = async {
        while all(&node, &topic, 0).await.len() > 1 {
            node.clock.advance(Duration::from_secs(15));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
}

/// A small deterministic generator: the seed decides everything.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What must be there: of every key the latest record, unless it is a tombstone that has been
/// there for long enough; and nothing but what was published, in order.
#[tokio::test]
async fn whatever_is_published_the_latest_of_each_key_is_never_lost() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let compaction = CompactionOptions {
            map_bytes_max: usize::try_from(dice.below(4000)).unwrap(),
            ..CompactionOptions::default()
        };
        let options = Options { compaction, ..Options::default() };
        let node = Node::over(Arc::new(MemoryStore::new()), options).await;
        let settings = [EAGER[0], EAGER[1], ("delete.retention.ms", "1000")];
        let topic = node.topic("t", &settings).await;
        let mut published: BTreeMap<u64, (String, String, Timestamp)> = BTreeMap::new();
        for step in 0..120_u64 {
            match dice.below(10) {
                0 => node.broker.apply_compaction().await,
                1 => node.clock.advance(Duration::from_millis(dice.below(900))),
                _ => {
                    let count = 1 + dice.below(4);
                    let records: Vec<(String, String)> = (0..count)
                        .map(|n| {
                            let value = if dice.below(4) == 0 {
                                String::new()
                            } else {
                                format!("{step}-{n}")
                            };
                            (format!("k{}", dice.below(12)), value)
                        })
                        .collect();
                    let borrowed: Vec<_> =
                        records.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                    let base = put(&node, &topic, &borrowed).await;
                    for (offset, (key, value)) in (base..).zip(records) {
                        published.insert(offset, (key, value, node.now()));
                    }
                }
            }
        }
        node.broker.apply_compaction().await;
        let kept = all(&node, &topic, 0).await;
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
        let mut latest = BTreeMap::new();
        for (offset, (key, value, at)) in &published {
            latest.insert(key.clone(), (*offset, value.clone(), *at));
        }
        for (offset, key, value) in &kept {
            let (of, was, _) = &published[&u64::try_from(*offset).unwrap()];
            assert_eq!((of, was), (key, value), "seed {seed} offset {offset}");
            assert_eq!(latest[key].0, u64::try_from(*offset).unwrap(), "seed {seed}: superseded");
        }
        for (key, (offset, value, at)) in &latest {
            let is_kept = kept.iter().any(|(kept, ..)| u64::try_from(*kept) == Ok(*offset));
            let may_be_gone = value.is_empty() && at.plus_millis(1000) <= node.now();
            assert!(is_kept || may_be_gone, "seed {seed}: `{key}` at {offset} is lost");
        }
    }
}

#[tokio::test]
async fn a_pass_goes_on_where_the_beginning_is_deleted_meanwhile() {
    let node = Node::start().await;
    let both = [("cleanup.policy", "compact,delete"), EAGER[1]];
    let topic = node.topic("t", &both).await;
    let mut dice = Dice(1);
    for n in 0..4000 {
        let digits = (0..200).map(|_| format!("{:08x}", dice.below(1 << 31))).collect::<String>();
        put(&node, &topic, &[(["a", "b", "c"][n % 3], &digits)]).await;
    }
    let partition = topic.partition(0).unwrap();
    let mut pass = partition.compaction_due(node.now(), 1 << 20).await.unwrap().unwrap();
    let cut = |to| node.broker.delete_records(&topic, 0, tramline_types::Offset::new(to));
    let mut steps = 0;
    loop {
        steps += 1;
        match pass.step().await.unwrap() {
            Step::Done => break,
            Step::Read(_) => {}
            Step::Replace(replacement) => {
                let reservation = tramline_store::Reservation::unbounded();
                let (done, durable) = tokio::sync::oneshot::channel();
                replacement.submit(reservation, Box::new(move || done.send(()).unwrap()));
                durable.await.unwrap();
            }
        }
        let to = [2000, 2500, 2500, 2500].get(steps - 1).copied().unwrap_or(3990);
        cut(to).await.unwrap();
    }
    assert!(steps > 5, "{steps}");
    assert_eq!(offsets(&all(&node, &topic, 3990).await), [3997, 3998, 3999]);
}

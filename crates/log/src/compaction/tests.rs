//! What a pass keeps of one run of batches.

use super::unit::{Met, Rule};
use super::*;
use tramline_record::{BatchBuilder, Compression};
use tramline_types::Message;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const RETENTION_MS: i64 = 500;

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// One batch of records `(key, value)` at a base offset; `""` stands for none.
fn batch(base: u64, records: &[(&str, &str)]) -> Batch {
    let some = |text: &str| (!text.is_empty()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for (key, value) in records {
        let message = Message { key: some(key), value: some(value), ..Message::default() };
        builder.push(&message, Timestamp::from_millis(7));
    }
    stamped(builder.build().unwrap(), base)
}

fn stamped(batch: Batch, base: u64) -> Batch {
    let mut bytes = batch.bytes().to_vec();
    tramline_record::stamp(&mut bytes, at(base).as_i64(), 3);
    Batch::decode(bytes.into()).unwrap()
}

/// A batch that no codec opens.
fn unreadable(base: u64) -> Batch {
    let mut bytes = batch(base, &[("k", "v")]).bytes().to_vec();
    bytes.truncate(62);
    bytes[8..12].copy_from_slice(&50_i32.to_be_bytes());
    let crc = tramline_record::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::decode(bytes.into()).unwrap()
}

struct Applied {
    replacing: Option<Replacing>,
    met: Met,
    /// `offset key=value`, in order.
    kept: Vec<String>,
    batches: Vec<Batch>,
}

fn apply_at(now: Timestamp, batches: &[Batch], map_end: u64, last: Option<u64>) -> Applied {
    let mut map = KeyMap::new(100, usize::MAX);
    for batch in batches {
        for record in batch.records(1 << 20).unwrap_or_default() {
            let offset = offset_of(base_of(batch).unwrap(), &record).unwrap();
            if let Some(key) = record.key.filter(|_| offset < at(map_end)) {
                assert!(map.put(&key, offset));
            }
        }
    }
    let rules = CompactionRules {
        delete_retention_ms: RETENTION_MS,
        lag_ms_min: 0,
        lag_ms_max: i64::MAX,
        dirty_millionths_min: 0,
    };
    let last = last.map(at);
    let rule = Rule { log: LogId(1), map: &map, rules, map_end: at(map_end), last, now };
    let mut met = Met::default();
    let replacing = rule.apply(batches, &mut met);
    let after: Vec<Batch> = match &replacing {
        None => batches.to_vec(),
        Some(replacing) => replacing
            .appends
            .iter()
            .map(|append| {
                let batch = Batch::decode(append.batch.clone()).unwrap();
                stamped(batch, append.targets[0].base.get())
            })
            .collect(),
    };
    let text = |bytes: &Option<Bytes>| {
        bytes.as_ref().map_or_else(|| "-".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
    };
    let mut kept = Vec::new();
    for batch in &after {
        for record in batch.records(1 << 20).unwrap_or_default() {
            let offset = batch.header().base_offset + i64::from(record.offset_delta);
            kept.push(format!("{offset} {}={}", text(&record.key), text(&record.value)));
        }
    }
    Applied { replacing, met, kept, batches: after }
}

fn apply(batches: &[Batch], map_end: u64, last: Option<u64>) -> Applied {
    apply_at(NOW, batches, map_end, last)
}

#[test]
fn of_each_key_the_latest_stays_at_its_offset() {
    let log =
        [batch(0, &[("a", "1"), ("b", "1")]), batch(2, &[("a", "2")]), batch(3, &[("c", "1")])];
    let applied = apply(&log, 4, None);
    assert_eq!(applied.kept, ["1 b=1", "2 a=2", "3 c=1"]);
    assert_eq!(applied.met.records_removed, 1);
    let replacing = applied.replacing.unwrap();
    assert_eq!(replacing.range, at(0)..at(4));
    let first = &applied.batches[0];
    assert_eq!((first.header().base_offset, first.header().last_offset_delta), (0, 1));
    assert_eq!(first.header().leader_epoch, 3);
    assert_eq!(&applied.batches[1], &log[1], "untouched, to the byte");
}

#[test]
fn a_batch_without_a_record_left_vanishes_and_leaves_a_gap() {
    let log =
        [batch(0, &[("a", "1")]), batch(1, &[("a", "2"), ("b", "1")]), batch(3, &[("b", "2")])];
    let applied = apply(&log, 4, None);
    assert_eq!(applied.kept, ["1 a=2", "3 b=2"]);
    assert_eq!(applied.batches.len(), 2);
    assert_eq!(applied.replacing.unwrap().range.start, at(0), "the vanished one is in the range");
}

#[test]
fn nothing_is_replaced_where_nothing_goes() {
    let log = [batch(5, &[("a", "1"), ("b", "1")]), batch(9, &[("c", "1")])];
    assert!(apply(&log, 10, None).replacing.is_none());
}

#[test]
fn a_tombstone_is_marked_first_and_goes_after_its_time() {
    let log =
        [batch(0, &[("a", "1")]), batch(1, &[("a", ""), ("b", "1")]), batch(3, &[("c", "1")])];
    let marked = apply(&log, 4, None);
    assert_eq!(marked.kept, ["1 a=-", "2 b=1", "3 c=1"]);
    let horizon = NOW.plus_millis(RETENTION_MS);
    assert_eq!(marked.met.horizon_next, Some(horizon));
    assert_eq!(marked.batches[0].header().delete_horizon(), Some(horizon));
    assert_eq!(marked.batches[0].header().newest_timestamp(), 7, "no record became newer");

    let early = apply_at(NOW.plus_millis(RETENTION_MS - 1), &marked.batches, 4, None);
    assert!(early.replacing.is_none());
    assert_eq!(early.met.horizon_next, Some(horizon), "the mark is set once");
    let due = apply_at(horizon, &marked.batches, 4, None);
    assert_eq!(due.kept, ["2 b=1", "3 c=1"]);
    assert_eq!(due.met.horizon_next, None);
}

#[test]
fn the_last_record_stays_whatever_it_is() {
    let log = [batch(0, &[("a", "1")]), batch(1, &[("b", "1"), ("a", "")])];
    let applied = apply(&log, 3, Some(2));
    assert_eq!(applied.kept, ["1 b=1", "2 a=-"]);
    assert_eq!(applied.met.horizon_next, None, "nobody waits for it");
    let keyless = [batch(0, &[("a", "1")]), batch(1, &[("", "x")])];
    assert_eq!(apply(&keyless, 2, Some(1)).kept, ["0 a=1", "1 -=x"]);
    assert_eq!(apply(&keyless, 2, None).kept, ["0 a=1"], "a record without a key has no place");
}

#[test]
fn what_the_map_does_not_reach_is_not_touched() {
    let log = [batch(0, &[("a", "1"), ("a", "2"), ("a", "3")]), batch(3, &[("a", "4"), ("", "x")])];
    assert_eq!(apply(&log, 2, None).kept, ["1 a=2", "2 a=3", "3 a=4", "4 -=x"]);
}

#[test]
fn tombstones_stay_behind_a_batch_that_cannot_be_read() {
    let log =
        [batch(0, &[("a", "1")]), unreadable(1), batch(2, &[("a", "")]), batch(3, &[("b", "1")])];
    let applied = apply(&log, 4, None);
    assert_eq!(applied.kept, ["2 a=-", "3 b=1"]);
    assert_eq!(applied.batches[0], log[1], "kept as it is");
    assert_eq!((applied.met.batches_unreadable, applied.met.horizon_next), (1, None));
    let later = apply_at(NOW.plus_millis(RETENTION_MS * 9), &applied.batches, 4, None);
    assert!(later.replacing.is_none());
}

#[test]
fn notes_come_back_and_nonsense_is_no_note() {
    let status = CompactionStatus {
        dirty_from: at(77),
        horizon_next: Some(NOW),
        ..CompactionStatus::default()
    };
    assert_eq!(decode(Some(&encode(&status))), status);
    let plain = CompactionStatus { horizon_next: None, ..status };
    assert_eq!(decode(Some(&encode(&plain))), plain);
    for nonsense in [None, Some(&b"x"[..]), Some(b"-1 -"), Some(b"")] {
        assert_eq!(decode(nonsense), CompactionStatus::default());
    }
}

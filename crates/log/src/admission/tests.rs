//! Batches against the settings of a topic.

use super::*;
use crate::{CompactionRules, Durability, Retention};
use bytes::Bytes;
use tramline_record::{BatchBuilder, Codec, Compression};
use tramline_types::Message;

const NOW: i64 = 1_700_000_000_000;

fn settings() -> PartitionSettings {
    PartitionSettings {
        message_bytes_max: 100_000,
        timestamps: TimestampRule::Create { before_max_ms: i64::MAX, after_max_ms: 3_600_000 },
        retention: Retention::default(),
        compaction: None,
        compression: None,
        durability: Durability::Sync,
    }
}

fn compacted() -> PartitionSettings {
    let rules = CompactionRules {
        delete_retention_ms: 0,
        lag_ms_min: 0,
        lag_ms_max: i64::MAX,
        dirty_millionths_min: 0,
    };
    PartitionSettings { compaction: Some(rules), ..settings() }
}

/// One record per key and time.
fn batch(records: &[(Option<&'static str>, i64)], compression: Compression) -> Batch {
    let mut builder = BatchBuilder::new(compression);
    for (key, time) in records {
        let message = Message {
            key: key.map(Bytes::from),
            value: Some(Bytes::from(vec![b'v'; 500])),
            timestamp: Some(Timestamp::from_millis(*time)),
            headers: Vec::new(),
        };
        builder.push(&message, Timestamp::default());
    }
    builder.build().unwrap()
}

fn admitted(batch: &Batch, settings: &PartitionSettings) -> Result<Batch, Error> {
    let now = Timestamp::from_millis(NOW);
    let times = Times::new(now, now);
    admit(batch.clone(), settings, times).map(|admitted| admitted.batch)
}

fn refused(batch: &Batch, settings: &PartitionSettings) -> RecordErrors {
    match admitted(batch, settings) {
        Err(Error::InvalidRecords(errors)) => errors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_topic_takes_what_comes_unopened() {
    let mut bytes = batch(&[(None, NOW)], Compression::Zstd).bytes().to_vec();
    let end = bytes.len() - 1;
    bytes[end] ^= 1; // Not what the codec wrote; the CRC is made right again.
    let crc = tramline_record::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let broken = Batch::decode(bytes.into()).unwrap();
    assert_eq!(admitted(&broken, &settings()).unwrap(), broken);
    assert!(admitted(&broken, &compacted()).is_err());
}

#[test]
fn records_without_a_key_are_named_in_a_compacted_topic() {
    for compression in [Compression::None, Compression::Gzip] {
        let mixed =
            batch(&[(Some("a"), NOW), (None, NOW), (Some(""), NOW), (None, NOW)], compression);
        let errors = refused(&mixed, &compacted());
        assert_eq!(errors.rule, RecordRule::Key);
        assert_eq!(errors.records, [(1, RecordRule::Key), (3, RecordRule::Key)]);
        assert!(admitted(&batch(&[(Some("a"), NOW)], compression), &compacted()).is_ok());
    }
}

#[test]
fn times_are_bounded_on_both_sides_and_the_records_are_named() {
    let bounded = PartitionSettings {
        timestamps: TimestampRule::Create { before_max_ms: 1000, after_max_ms: 500 },
        ..settings()
    };
    let at = |times: &[i64]| {
        let records: Vec<_> = times.iter().map(|time| (None, NOW + time)).collect();
        batch(&records, Compression::Lz4)
    };
    assert!(admitted(&at(&[-1000, 0, 500]), &bounded).is_ok());
    let errors = refused(&at(&[0, -1001, 0, 501]), &bounded);
    assert_eq!(errors.rule, RecordRule::Timestamp);
    assert_eq!(errors.records.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3]);
    let none = batch(&[(None, -1)], Compression::None);
    assert!(admitted(&none, &bounded).is_ok(), "no time at all");
    let broker = PartitionSettings { timestamps: TimestampRule::LogAppend, ..settings() };
    let own = admitted(&at(&[-999_999]), &broker).unwrap();
    assert_eq!(own.header().max_timestamp, NOW);
}

#[test]
fn a_clock_that_jumped_refuses_nobody() {
    let bounded = PartitionSettings {
        timestamps: TimestampRule::Create { before_max_ms: 1000, after_max_ms: 500 },
        ..settings()
    };
    let day = 24 * 3_600_000;
    for jump in [-day, day] {
        let wall = Timestamp::from_millis(NOW + jump);
        let times = Times::new(wall, Timestamp::from_millis(NOW));
        let sent = batch(&[(None, NOW)], Compression::None);
        assert!(admit(sent, &bounded, times).is_ok(), "{jump}");
    }
}

#[test]
fn what_comes_in_another_codec_is_converted_and_the_rest_stays() {
    let to = |compression| {
        let codec = Codec { compression, level: None };
        PartitionSettings { compression: Some(codec), ..settings() }
    };
    let sent = batch(&[(Some("a"), NOW), (None, NOW)], Compression::Gzip);
    assert_eq!(admitted(&sent, &to(Compression::Gzip)).unwrap(), sent);
    let zstd = admitted(&sent, &to(Compression::Zstd)).unwrap();
    assert_eq!(zstd.header().attributes.compression(), Ok(Compression::Zstd));
    assert_eq!(zstd.records(10_000), sent.records(10_000));
}

#[test]
fn the_size_counts_before_and_after_the_conversion() {
    let sent = batch(&[(None, NOW); 100], Compression::Zstd);
    let plain = Codec { compression: Compression::None, level: None };
    let limits = |message_bytes_max| PartitionSettings {
        message_bytes_max,
        compression: Some(plain),
        ..settings()
    };
    assert!(admitted(&sent, &limits(100_000)).is_ok());
    let refused = admitted(&sent, &limits(10_000));
    assert!(matches!(refused, Err(Error::MessageTooLarge { limit: 10_000, .. })), "{refused:?}");
    assert!(admitted(&sent, &limits(50)).is_err());
}

#[test]
fn a_bomb_is_refused_and_not_expanded() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    let value = Some(Bytes::from(vec![0; limits::BATCH_BYTES_OPENED_MAX]));
    builder.push(&Message { value, ..Message::default() }, Timestamp::from_millis(NOW));
    let bomb = builder.build().unwrap();
    assert!(bomb.bytes().len() < 100_000);
    for settings in
        [compacted(), PartitionSettings { compression: Some(Codec::default()), ..settings() }]
    {
        let refused = admitted(&bomb, &settings);
        assert!(matches!(refused, Err(Error::MessageTooLarge { .. })), "{refused:?}");
    }
}

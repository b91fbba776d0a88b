//! Validation of whole batches, stamping, and the broker's timestamps.

use super::*;
use crate::{BatchBuilder, Compression};
use tramline_types::{Message, ProducerId};

const OPENED_MAX: usize = 1 << 20;

fn builder(count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Compression::None);
    for index in 0..count {
        let value = Some(Bytes::from(format!("value {index}")));
        builder.push(&Message { value, ..Message::default() }, Timestamp::from_millis(1000));
    }
    builder
}

fn batch(count: usize) -> Batch {
    builder(count).build().unwrap()
}

/// The batch with some header fields changed and a CRC that fits.
fn changed(batch: &Batch, change: impl FnOnce(&mut BatchHeader)) -> Batch {
    let mut header = *batch.header();
    change(&mut header);
    let mut bytes = BytesMut::from(&batch.bytes()[..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    header.crc = crc32c(&bytes[ATTRIBUTES_AT..]);
    put(&mut bytes, CRC_AT, header.crc.to_be_bytes());
    Batch::decode(bytes.freeze()).unwrap()
}

#[test]
fn decoding_shares_the_bytes() {
    let batch = batch(3);
    let decoded = Batch::decode(batch.bytes().clone()).unwrap();
    assert_eq!(decoded, batch);
    assert_eq!(decoded.bytes().as_ptr(), batch.bytes().as_ptr());
}

#[test]
fn every_flipped_bit_under_the_crc_is_found() {
    let batch = batch(2);
    for at in ATTRIBUTES_AT..batch.bytes().len() {
        for bit in 0..8 {
            let mut bytes = batch.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let error = Batch::decode(bytes.into()).unwrap_err();
            // Some header fields are refused before the CRC is computed.
            let in_header = at < HEADER_BYTES;
            let found = matches!(error, Error::Crc { .. });
            assert!(found || in_header, "byte {at}, bit {bit}: {error}");
        }
    }
}

#[test]
fn a_flipped_crc_is_found() {
    let mut bytes = batch(1).bytes().to_vec();
    bytes[CRC_AT] ^= 1;
    assert!(matches!(Batch::decode(bytes.into()), Err(Error::Crc { .. })));
}

#[test]
fn trusted_bytes_are_not_summed_but_still_bounded() {
    let mut bytes = batch(1).bytes().to_vec();
    bytes[CRC_AT] ^= 1;
    let mut run = Bytes::from(bytes);
    assert!(Batch::decode_first_trusted(&mut run.slice(..run.len() - 1)).is_err());
    assert!(Batch::decode_first_trusted(&mut run).unwrap().is_some());
    assert!(run.is_empty());
}

#[test]
fn a_run_is_split_batch_by_batch() {
    let (first, second) = (batch(1), batch(5));
    let mut run = Bytes::from([&first.bytes()[..], second.bytes()].concat());
    assert_eq!(
        Batch::decode(run.clone()),
        Err(Error::TrailingBytes(second.bytes().len())),
        "exactly one is wanted"
    );
    assert_eq!(Batch::decode_first(&mut run), Ok(Some(first)));
    assert_eq!(Batch::decode_first(&mut run), Ok(Some(second)));
    assert_eq!(Batch::decode_first(&mut run), Ok(None));
    assert!(Batch::decode(run).is_err(), "no batch at all");
}

#[test]
fn a_cut_batch_is_refused_and_left_in_place() {
    let whole = batch(2);
    for present in 1..whole.bytes().len() {
        let mut cut = whole.bytes().slice(..present);
        assert!(matches!(Batch::decode_first(&mut cut), Err(Error::Truncated { .. })));
        assert_eq!(cut.len(), present);
    }
}

#[test]
fn declared_lengths_beyond_the_bytes_are_refused() {
    let whole = batch(2);
    let declared = whole.header().batch_length;
    for batch_length in [0, 1, -1, 48, declared + 1, i32::MAX - 12, i32::MAX, i32::MIN] {
        let mut bytes = whole.bytes().to_vec();
        put(&mut bytes, 8, batch_length.to_be_bytes());
        let error = Batch::decode(bytes.into()).unwrap_err();
        let refused = matches!(error, Error::Length(_) | Error::Truncated { .. });
        assert!(refused, "{batch_length}: {error}");
    }
    let mut bytes = whole.bytes().to_vec();
    put(&mut bytes, 8, (declared - 1).to_be_bytes());
    assert!(matches!(Batch::decode(bytes.into()), Err(Error::Crc { .. })), "one byte short");
}

#[test]
fn stamping_leaves_the_crc_valid() {
    let mut bytes = batch(3).bytes().to_vec();
    stamp(&mut bytes, i64::MAX - 2, 7);
    let stamped = Batch::decode(bytes.into()).unwrap();
    assert_eq!(stamped.header().base_offset, i64::MAX - 2);
    assert_eq!(stamped.header().leader_epoch, 7);
    assert_eq!(stamped.header().last_offset(), i64::MAX);
}

#[test]
fn log_append_time_replaces_every_records_timestamp() {
    let batch = batch(3);
    let appended = batch.with_log_append_time(Timestamp::from_millis(9000));
    assert_eq!(Batch::decode(appended.bytes().clone()).as_ref(), Ok(&appended));
    assert!(appended.header().attributes.is_log_append_time());
    assert_eq!(appended.header().max_timestamp, 9000);
    assert_eq!(appended.header().base_timestamp, batch.header().base_timestamp);
    assert!(appended.records(OPENED_MAX).unwrap().iter().all(|record| record.timestamp == 9000));
    assert!(batch.records(OPENED_MAX).unwrap().iter().all(|record| record.timestamp == 1000));
}

#[test]
fn a_plain_and_an_idempotent_producers_batch_pass() {
    assert_eq!(batch(3).check_producer_batch(), Ok(()));
    let idempotent = builder(3).with_producer(ProducerId(7), 0, i32::MAX).build().unwrap();
    assert_eq!(idempotent.check_producer_batch(), Ok(()));
    let transactional = changed(&idempotent, |header| header.attributes = Attributes(1 << 4));
    assert_eq!(transactional.check_producer_batch(), Ok(()));
}

#[test]
fn what_only_a_broker_writes_is_refused_from_a_producer() {
    let batch = batch(3);
    let appended = batch.with_log_append_time(Timestamp::from_millis(1));
    assert_eq!(appended.check_producer_batch(), Err(Error::ProducerLogAppendTime));

    type Change = (&'static str, fn(&mut BatchHeader));
    let changes: [Change; 8] = [
        ("gap at the end", |header| header.last_offset_delta += 1),
        ("record removed", |header| header.record_count -= 1),
        ("no records", |header| header.record_count = 0),
        ("control", |header| header.attributes = Attributes(1 << 5)),
        ("transaction without a producer", |header| header.attributes = Attributes(1 << 4)),
        ("producer without epoch and sequence", |header| header.producer_id = 1),
        ("producer without sequence", |header| {
            header.producer_id = 1;
            header.producer_epoch = 1;
        }),
        ("negative producer", |header| header.producer_id = -2),
    ];
    for (what, change) in changes {
        let refused = changed(&batch, change).check_producer_batch();
        assert!(matches!(refused, Err(Error::InvalidProducerBatch(_))), "{what}: {refused:?}");
    }
}

#[test]
fn the_list_of_many_tiny_records_is_limited_as_well() {
    let count = 1000;
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for _ in 0..count {
        builder.push(&Message::default(), Timestamp::from_millis(0));
    }
    let batch = builder.build().unwrap();
    let list_bytes = count * size_of::<Record>();
    assert_eq!(batch.records(list_bytes).unwrap().len(), count);
    assert_eq!(batch.records(list_bytes - 1), Err(Error::OpenedTooLarge(list_bytes - 1)));
}

//! What the builder writes into the header; the records are tested against an oracle in `tests`.

use super::*;
use bytes::Bytes;

fn message(timestamp: Option<i64>) -> Message {
    let value = Some(Bytes::from_static(b"v"));
    Message { value, timestamp: timestamp.map(Timestamp::from_millis), ..Message::default() }
}

const NOW: Timestamp = Timestamp::from_millis(50);

#[test]
fn the_built_batch_is_one_that_a_producer_may_send() {
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for _ in 0..3 {
        builder.push(&message(None), NOW);
    }
    assert_eq!((builder.len(), builder.is_empty()), (3, false));
    let batch = builder.build().unwrap();
    assert_eq!(batch.check_producer_batch(), Ok(()));
    assert_eq!(Batch::decode(batch.bytes().clone()), Ok(batch.clone()));
    let header = batch.header();
    assert_eq!((header.base_offset, header.leader_epoch), (0, -1));
    assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
    assert_eq!(header.attributes.compression(), Ok(Compression::Lz4));
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
}

#[test]
fn nothing_pushed_is_nothing_built() {
    let builder = BatchBuilder::new(Compression::None);
    assert!(builder.is_empty());
    assert_eq!(builder.build(), Err(Error::Empty));
}

#[test]
fn timestamps_are_the_senders_or_now_in_any_order() {
    let mut builder = BatchBuilder::new(Compression::None);
    for timestamp in [Some(40), None, Some(10), Some(45)] {
        builder.push(&message(timestamp), NOW);
    }
    let batch = builder.build().unwrap();
    assert_eq!(batch.header().base_timestamp, 40);
    assert_eq!(batch.header().max_timestamp, 50);
    let records = batch.records(1 << 20).unwrap();
    assert_eq!(records.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [40, 50, 10, 45]);
}

#[test]
fn the_size_before_compression_is_known() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(&message(None), NOW);
    let expected = builder.bytes_len();
    assert_eq!(builder.build().unwrap().bytes().len(), expected);
}

#[test]
fn a_producers_identity_is_written() {
    let mut builder =
        BatchBuilder::new(Compression::None).with_producer(ProducerId(9), 2, i32::MAX);
    builder.push(&message(None), NOW);
    let batch = builder.build().unwrap();
    let header = batch.header();
    assert_eq!((header.producer_id, header.producer_epoch), (9, 2));
    assert_eq!(header.base_sequence, i32::MAX);
}

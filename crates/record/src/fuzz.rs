//! The one entry of the fuzz target `record` and of the replay of its corpus.

use crate::header::{ATTRIBUTES_AT, CRC_AT};
use crate::{Batch, BatchBuilder, BatchHeader, Compression, Record, crc32c};
use bytes::{Bytes, BytesMut};
use tramline_types::{Message, Timestamp};

const OPENED_BYTES_MAX: usize = 1 << 20;

/// Takes hostile bytes through everything that reads batches.
///
/// # Panics
/// When a reader panics, or when what was read breaks a promise of this crate.
pub fn fuzz_batch(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let mut run = bytes.clone();
    while let Ok(Some(batch)) = Batch::decode_first_trusted(&mut run) {
        check(&batch);
    }
    // With a CRC that fits, so that the whole of the validated path is reached.
    let Ok(header) = BatchHeader::decode(data) else { return };
    let Some(first) = data.get(..header.total_bytes()) else { return };
    let mut fixed = BytesMut::from(first);
    let crc = crc32c(&fixed[ATTRIBUTES_AT..]);
    fixed[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    let fixed = fixed.freeze();
    let batch = Batch::decode(fixed.clone()).expect("the header was checked and the CRC fits");
    assert_eq!(batch.bytes(), &fixed);
    check(&batch);
}

fn check(batch: &Batch) {
    // Any verdict will do, a panic will not.
    let _verdict = batch.check_producer_batch();
    let appended = batch.with_log_append_time(Timestamp::from_millis(7));
    assert_eq!(Batch::decode(appended.bytes().clone()).as_ref(), Ok(&appended));
    let Ok(records) = batch.records(OPENED_BYTES_MAX) else { return };
    assert_eq!(i32::try_from(records.len()), Ok(batch.header().record_count));
    let deltas = || records.iter().map(|record| record.offset_delta);
    assert!(deltas().is_sorted_by(|before, after| before < after));
    assert!(deltas().all(|delta| (0..=batch.header().last_offset_delta).contains(&delta)));
    let appended = appended.records(OPENED_BYTES_MAX).expect("the records are the same bytes");
    assert!(appended.iter().all(|record| record.timestamp == 7));
    check_rebuilt(records);
}

/// What was read can be written again and reads the same.
fn check_rebuilt(records: Vec<Record>) {
    let mut builder = BatchBuilder::new(Compression::None);
    let messages: Vec<Message> = records.into_iter().map(Message::from).collect();
    for message in &messages {
        builder.push(message, Timestamp::from_millis(0));
    }
    let Ok(batch) = builder.build() else { return assert!(messages.is_empty()) };
    assert_eq!(batch.check_producer_batch(), Ok(()));
    let mut again = batch.open(usize::MAX).expect("there is nothing to decompress");
    for mut expected in messages {
        let record = again.next().and_then(Result::ok).expect("one record per message");
        expected.timestamp = expected.timestamp.or(Some(Timestamp::from_millis(0)));
        assert_eq!(Message::from(record), expected);
    }
    assert!(again.next().is_none());
}

//! Batches that the Java client 4.3.0 and librdkafka 2.16.0 wrote: the same messages in every
//! codec. `tests/golden` has them and the programs that wrote them.

use bytes::Bytes;
use std::{fs, path::Path};
use tramline_record::{Batch, BatchBuilder, Compression, Header, Record};
use tramline_types::{Message, ProducerId, Timestamp};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const T: i64 = 1_700_000_000_000;
const OPENED_MAX: usize = 1 << 20;

fn golden(name: &str) -> Bytes {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    fs::read(directory.join(name)).unwrap().into()
}

/// What both programs sent; the large one only where a codec is at work.
fn messages(codec: Compression) -> Vec<Message> {
    let bytes = Bytes::copy_from_slice;
    let header =
        |name: &[u8], value: Option<&[u8]>| Header { name: bytes(name), value: value.map(bytes) };
    let at = |millis| Some(Timestamp::from_millis(T + millis));
    let mut messages = vec![
        Message {
            key: Some(bytes(b"key-0")),
            value: Some("hello ".repeat(20).into()),
            headers: Vec::new(),
            timestamp: at(0),
        },
        Message {
            key: None,
            value: Some(bytes(b"x")),
            headers: vec![header(b"a", Some(b"1")), header(b"a", Some(b"2")), header(b"b", None)],
            timestamp: at(5),
        },
        Message { key: Some(bytes(b"key-2")), value: None, headers: vec![], timestamp: at(2) },
    ];
    if codec != Compression::None {
        let value = Some("tramline".repeat(10_000).into());
        messages.push(Message { key: None, value, headers: vec![], timestamp: at(9) });
    }
    messages
}

fn opened(batch: &Batch) -> Vec<Message> {
    let records = batch.records(OPENED_MAX).unwrap();
    let deltas: Vec<i32> = records.iter().map(|record: &Record| record.offset_delta).collect();
    assert!(deltas.iter().copied().eq(0..batch.header().record_count));
    records.into_iter().map(Message::from).collect()
}

fn built(codec: Compression) -> Batch {
    let mut builder = BatchBuilder::new(codec).with_producer(ProducerId(4711), 3, 42);
    for message in messages(codec) {
        builder.push(&message, Timestamp::from_millis(0));
    }
    builder.build().unwrap()
}

#[test]
fn batches_of_the_java_client_are_read() {
    for codec in CODECS {
        let batch = Batch::decode(golden(&format!("java-4.3.0-{codec}.bin"))).unwrap();
        let header = batch.header();
        assert_eq!(batch.check_producer_batch(), Ok(()));
        assert_eq!(header.attributes.compression(), Ok(codec));
        assert_eq!((header.producer_id, header.producer_epoch), (4711, 3));
        assert_eq!(header.base_sequence, 42);
        assert_eq!(opened(&batch), messages(codec), "{codec}");
    }
}

#[test]
fn batches_of_librdkafka_are_read() {
    for codec in CODECS {
        let batch = Batch::decode(golden(&format!("librdkafka-2.16.0-{codec}.bin"))).unwrap();
        assert_eq!(batch.check_producer_batch(), Ok(()));
        assert_eq!(batch.header().attributes.compression(), Ok(codec));
        assert_eq!(opened(&batch), messages(codec), "{codec}");
    }
}

#[test]
fn the_builder_writes_the_same_bytes_as_the_java_client() {
    assert_eq!(built(Compression::None).bytes(), &golden("java-4.3.0-none.bin"));
}

#[test]
fn log_append_time_writes_the_same_bytes_as_the_java_broker() {
    let appended = built(Compression::None).with_log_append_time(Timestamp::from_millis(T + 1000));
    assert_eq!(appended.bytes(), &golden("java-4.3.0-none-log-append-time.bin"));
}

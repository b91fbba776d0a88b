//! Batches against the `kafka-protocol` crate, both ways, and against themselves.
//!
//! The oracle keeps a record's headers in a map, so that only distinct names can be compared.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use proptest::prelude::*;
use tramline_record::{Batch, BatchBuilder, Compression, Header};
use tramline_types::{Message, ProducerId, Timestamp};

const OPENED_MAX: usize = 8 << 20;

fn codec() -> impl Strategy<Value = (Compression, oracle::Compression)> {
    prop_oneof![
        Just((Compression::None, oracle::Compression::None)),
        Just((Compression::Gzip, oracle::Compression::Gzip)),
        Just((Compression::Snappy, oracle::Compression::Snappy)),
        Just((Compression::Lz4, oracle::Compression::Lz4)),
        Just((Compression::Zstd, oracle::Compression::Zstd)),
    ]
}

fn field() -> impl Strategy<Value = Option<Bytes>> {
    let bytes = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 0..100_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    prop::option::of(bytes.prop_map(Bytes::from))
}

fn headers(names: &'static str) -> impl Strategy<Value = Vec<Header>> {
    let header =
        (names, field()).prop_map(|(name, value)| Header { name: Bytes::from(name), value });
    prop::collection::vec(header, 0..5)
}

fn message(names: &'static str) -> impl Strategy<Value = Message> {
    (field(), field(), headers(names), 0..i64::MAX / 4).prop_map(|(key, value, headers, millis)| {
        let timestamp = Some(Timestamp::from_millis(millis));
        Message { key, value, headers, timestamp }
    })
}

fn build(compression: Compression, messages: &[Message]) -> Batch {
    let mut builder = BatchBuilder::new(compression).with_producer(ProducerId(5), 1, 7);
    for message in messages {
        builder.push(message, Timestamp::from_millis(0));
    }
    builder.build().unwrap()
}

fn opened(batch: &Batch) -> Vec<Message> {
    batch.records(OPENED_MAX).unwrap().into_iter().map(Message::from).collect()
}

fn distinct_names(mut message: Message) -> Message {
    let mut names = std::collections::HashSet::new();
    message.headers.retain(|header| names.insert(header.name.clone()));
    message
}

fn to_oracle(index: usize, message: &Message) -> oracle::Record {
    let text = |name: &Bytes| StrBytes::from_utf8(name.clone()).unwrap();
    let headers: IndexMap<_, _> =
        message.headers.iter().map(|header| (text(&header.name), header.value.clone())).collect();
    oracle::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 5,
        producer_epoch: 1,
        timestamp_type: oracle::TimestampType::Creation,
        offset: i64::try_from(index).unwrap(),
        sequence: 7 + i32::try_from(index).unwrap(),
        timestamp: message.timestamp.unwrap().as_millis(),
        key: message.key.clone(),
        value: message.value.clone(),
        headers,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_opens_to_the_same_messages(
        (compression, _) in codec(),
        messages in prop::collection::vec(message("[ab]?"), 1..20),
    ) {
        let batch = Batch::decode(build(compression, &messages).bytes().clone()).unwrap();
        prop_assert_eq!(batch.check_producer_batch(), Ok(()));
        prop_assert_eq!(opened(&batch), messages);
    }

    #[test]
    fn the_oracle_reads_what_is_built(
        (compression, _) in codec(),
        messages in prop::collection::vec(message("[a-z]{0,9}").prop_map(distinct_names), 1..10),
    ) {
        let mut bytes = build(compression, &messages).bytes().clone();
        let decoded = oracle::RecordBatchDecoder::decode(&mut bytes).unwrap();
        let expected: Vec<_> =
            messages.iter().enumerate().map(|(index, message)| to_oracle(index, message)).collect();
        prop_assert_eq!(decoded.records, expected);
    }

    #[test]
    fn what_the_oracle_builds_is_read(
        (_, compression) in codec(),
        messages in prop::collection::vec(message("[a-z]{0,9}").prop_map(distinct_names), 1..10),
    ) {
        let records: Vec<_> =
            messages.iter().enumerate().map(|(index, message)| to_oracle(index, message)).collect();
        let mut bytes = BytesMut::new();
        let options = oracle::RecordEncodeOptions { version: 2, compression };
        oracle::RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        let batch = Batch::decode(bytes.freeze()).unwrap();
        prop_assert_eq!(batch.check_producer_batch(), Ok(()));
        prop_assert_eq!(opened(&batch), messages);
    }

    #[test]
    fn a_changed_byte_under_the_crc_never_passes(
        (compression, _) in codec(),
        messages in prop::collection::vec(message("[ab]?"), 1..5),
        at: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let mut bytes = build(compression, &messages).bytes().to_vec();
        let covered = bytes.len() - 21;
        bytes[21 + at.index(covered)] ^= change;
        prop_assert!(Batch::decode(bytes.into()).is_err());
    }

    #[test]
    fn hostile_bytes_behind_a_valid_header_are_survived(
        (compression, _) in codec(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        count in 0..50_i32,
    ) {
        let batch = build(compression, &[Message::default()]);
        let mut bytes = [&batch.bytes()[..61], &body].concat();
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[23..27].copy_from_slice(&count.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        tramline_record::fuzz_batch(&bytes);
    }
}

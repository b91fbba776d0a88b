//! Produce: what is taken, what is refused with which code, and when it is answered.

use crate::support::{
    Node, batch, batch_of, build, message, new_topic, options, produce, text, values, within,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;
use tramline_broker::SystemClock;
use tramline_record::{BatchBuilder, Compression, crc32c};
use tramline_store::MemoryStore;
use tramline_types::{ProducerId, TopicName};
use tramline_wire::kafka::{
    init_producer_id::InitProducerIdRequest, metadata::MetadataRequest, produce::ProduceRequest,
};

const NEWEST: i16 = 12;

/// Changes a batch and makes its CRC right again.
fn tampered(batch: &Bytes, change: impl Fn(&mut Vec<u8>)) -> Bytes {
    let mut bytes = batch.to_vec();
    change(&mut bytes);
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[tokio::test]
async fn every_version_appends_and_tells_the_offset() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let id = node.broker.topic(&TopicName::parse("t").unwrap()).unwrap().id();
    let mut expected = 0;
    for version in 3..=13 {
        let mut request = produce("t", 0, Some(batch_of(3)));
        if version >= 13 {
            request.topic_data[0].topic_id = id.0;
        }
        let response = client.call(version, &request).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, expected), "v{version}");
        assert_eq!(answer.log_append_time_ms, -1);
        expected += 3;
    }
}

#[tokio::test]
async fn every_codec_is_taken_but_zstd_only_since_version_7() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let batch = build(BatchBuilder::new(codec), &[message("x", 1)]);
        assert_eq!(client.produce(NEWEST, "t", batch).await.error_code, 0, "{codec}");
    }
    let zstd = build(BatchBuilder::new(Compression::Zstd), &[message("x", 1)]);
    assert_eq!(client.produce(6, "t", zstd).await.error_code, 76);
}

#[tokio::test]
async fn malformed_records_are_refused_each_with_its_code() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let good = batch_of(2);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut old_magic = good.to_vec();
    old_magic[16] = 1;
    let two = Bytes::from([good.clone(), good.clone()].concat());
    let cases = [
        ("a flipped bit", Some(flipped.into()), 2),
        ("cut short", Some(good.slice(..good.len() - 1)), 2),
        ("less than a header", Some(good.slice(..20)), 2),
        ("message format 1", Some(old_magic.into()), 43),
        ("two batches", Some(two), 87),
        ("none", None, 87),
        ("empty", Some(Bytes::new()), 87),
        ("codec 5", Some(tampered(&good, |bytes| bytes[22] = 5)), 76),
        ("a control batch", Some(tampered(&good, |bytes| bytes[22] = 0x20)), 87),
        ("a wrong count", Some(tampered(&good, |bytes| bytes[60] = 9)), 87),
        ("transactional", Some(tampered(&good, |bytes| bytes[22] = 0x10)), 87),
    ];
    for (what, records, code) in cases {
        let response = client.call(NEWEST, &produce("t", 0, records)).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, code, "{what}: {:?}", answer.error_message);
        assert_eq!(answer.base_offset, -1);
        assert!(answer.error_message.is_some(), "{what} is explained");
    }
    assert_eq!(client.produce(NEWEST, "t", good).await.base_offset, 0, "nothing was appended");
}

#[tokio::test]
async fn batch_above_the_topics_limit_is_too_large() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("small", 1, &[("max.message.bytes", "200")]).await;
    let large = batch(&[message(&"x".repeat(300), 1)]);
    assert_eq!(client.produce(NEWEST, "small", large).await.error_code, 10);
    assert_eq!(client.produce(NEWEST, "small", batch_of(1)).await.error_code, 0);
}

#[tokio::test]
async fn log_append_time_is_told_and_stored() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let answer = client.produce(NEWEST, "t", batch(&[message("x", 5)])).await;
    assert_eq!(answer.error_code, 0);
    assert!(answer.log_append_time_ms > 1_600_000_000_000, "{answer:?}");
}

#[tokio::test]
async fn unknown_topics_and_partitions_do_not_hinder_the_others() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut request = produce("t", 0, Some(batch_of(1)));
    request.topic_data.push(produce("none", 0, Some(batch_of(1))).topic_data.remove(0));
    request.topic_data.push(produce("t", 7, Some(batch_of(1))).topic_data.remove(0));
    request.topic_data.push(produce("t", -1, Some(batch_of(1))).topic_data.remove(0));
    let response = client.call(NEWEST, &request).await;
    let code = |n: usize| response.responses[n].partition_responses[0].error_code;
    assert_eq!([code(0), code(1), code(2), code(3)], [0, 3, 3, 3]);
    request.topic_data.truncate(1);
    request.topic_data[0].topic_id = [9; 16];
    let response = client.call(13, &request).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 100);
}

#[tokio::test]
async fn acks_other_than_all_one_and_none_are_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for (acks, code) in [(1, 0), (-1, 0), (2, 21), (-2, 21)] {
        let request = ProduceRequest { acks, ..produce("t", 0, Some(batch_of(1))) };
        let response = client.call(NEWEST, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, code, "{acks}");
    }
}

#[tokio::test]
async fn acks_0_has_no_answer_and_a_failure_closes_the_connection() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let silent = ProduceRequest { acks: 0, ..produce("t", 0, Some(batch_of(2))) };
    client.send(NEWEST, &silent).await;
    // The next answer belongs to the next request, and sees the records' offsets taken.
    assert_eq!(client.produce(NEWEST, "t", batch_of(1)).await.base_offset, 2);
    let failing = ProduceRequest { acks: 0, ..produce("none", 0, Some(batch_of(1))) };
    client.send(NEWEST, &failing).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn transactions_are_refused_for_good() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let request =
        ProduceRequest { transactional_id: Some(text("x")), ..produce("t", 0, Some(batch_of(1))) };
    let response = client.call(NEWEST, &request).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 53);
    let init = InitProducerIdRequest {
        transactional_id: Some(text("x")),
        ..InitProducerIdRequest::default()
    };
    assert_eq!(client.call(5, &init).await.error_code, 53);
}

#[tokio::test]
async fn duplicate_of_an_idempotent_producer_gets_the_original_offset() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let init = client.call(5, &InitProducerIdRequest::default()).await;
    assert_eq!((init.error_code, init.producer_epoch), (0, 0));
    let other = client.call(0, &InitProducerIdRequest::default()).await;
    assert_ne!(init.producer_id, other.producer_id);
    let batch = |sequence| {
        let builder = BatchBuilder::new(Compression::None);
        let builder = builder.with_producer(ProducerId(init.producer_id), 0, sequence);
        build(builder, &[message("x", 1)])
    };
    for (sequence, code, offset) in [(0, 0, 0), (1, 0, 1), (0, 0, 0), (1, 0, 1), (5, 45, -1)] {
        let answer = client.produce(NEWEST, "t", batch(sequence)).await;
        assert_eq!((answer.error_code, answer.base_offset), (code, offset), "{sequence}");
    }
}

#[tokio::test]
async fn next_requests_are_applied_while_a_produce_waits_for_durability() {
    let store = Arc::new(MemoryStore::stepped());
    let stepper = store.clone();
    let stepping = tokio::spawn({
        let stepper = stepper.clone();
        async move {
            loop {
                stepper.step_all();
                tokio::task::yield_now().await;
            }
        }
    });
    let both = (options(), tramline_kafka::Options::default());
    let node = Node::start_on(store, Arc::new(SystemClock::new()), both).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    stepping.abort();
    drop(stepping.await);

    let first = client.send(NEWEST, &produce("t", 0, Some(batch_of(1)))).await;
    let second = client.send(NEWEST, &produce("t", 0, Some(batch_of(1)))).await;
    let third = client.send(12, &MetadataRequest::default()).await;
    // Both are submitted, in order, before anything is durable.
    while node.broker.metrics().encode().lines().all(|l| l != "tramline_published_batches_total 2")
    {
        within(tokio::task::yield_now()).await;
    }
    let mut byte = [0];
    let early = client.stream.peek(&mut byte);
    let early = tokio::time::timeout(Duration::from_millis(50), early).await;
    assert!(early.is_err(), "an answer came before its batch was durable");
    stepper.step_all();
    let (id, answer) = client.receive::<ProduceRequest>(NEWEST).await;
    assert_eq!((id, answer.responses[0].partition_responses[0].base_offset), (first, 0));
    let (id, answer) = client.receive::<ProduceRequest>(NEWEST).await;
    assert_eq!((id, answer.responses[0].partition_responses[0].base_offset), (second, 1));
    assert_eq!(client.receive::<MetadataRequest>(12).await.0, third);
}

#[tokio::test]
async fn pipelined_answers_keep_the_order_of_the_requests() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut bytes = Vec::new();
    for n in 0..1000 {
        if n % 3 == 0 {
            let none = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
            bytes.extend(client.frame(12, &none));
        } else {
            bytes.extend(client.frame(NEWEST, &produce("t", 0, Some(batch_of(1)))));
        }
    }
    let (mut reading, mut writing) = client.stream.into_split();
    let written = tokio::spawn(async move {
        writing.write_all(&bytes).await.unwrap();
        writing
    });
    let mut offset = 0;
    for n in 0..1000 {
        use tokio::io::AsyncReadExt;
        let size = within(reading.read_u32()).await.unwrap();
        let mut frame = vec![0; usize::try_from(size).unwrap()];
        within(reading.read_exact(&mut frame)).await.unwrap();
        let id = i32::from_be_bytes(*frame.first_chunk().unwrap());
        assert_eq!(id, n + 2, "after the one that created the topic");
        if n % 3 != 0 {
            let frame = Bytes::from(frame);
            let (_, answer) =
                tramline_wire::kafka::decode_response::<ProduceRequest>(frame, NEWEST).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].base_offset, offset);
            offset += 1;
        }
    }
    drop(within(written).await.unwrap());
}

#[tokio::test]
async fn full_disk_is_retriable_for_producers_while_the_rest_goes_on() {
    let store = Arc::new(MemoryStore::new());
    let both = (options(), tramline_kafka::Options::default());
    let node = Node::start_on(store.clone(), Arc::new(SystemClock::new()), both).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    store.set_full(true);
    let refused = client.produce(NEWEST, "t", batch_of(1)).await;
    assert_eq!(refused.error_code, 56, "{:?}", refused.error_message);
    assert_eq!(client.call(7, &new_topic("u", 1, &[])).await.topics[0].error_code, 0);
    store.set_full(false);
    assert_eq!(client.produce(NEWEST, "t", batch_of(1)).await.base_offset, 0);
}

#[tokio::test]
async fn duplicate_header_keys_come_back_as_they_were_sent() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let header = |name: &'static str, value: Option<&'static [u8]>| tramline_types::Header {
        name: Bytes::from_static(name.as_bytes()),
        value: value.map(Bytes::from_static),
    };
    let headers = vec![header("k", Some(b"1")), header("k", Some(b"2")), header("k", None)];
    let mut sent = message("x", 1);
    sent.headers.clone_from(&headers);
    assert_eq!(client.produce(NEWEST, "t", batch(&[sent])).await.error_code, 0);
    let fetched = crate::fetch::records(&mut client, "t", 0).await;
    let batch = tramline_record::Batch::decode(fetched.clone()).unwrap();
    assert_eq!(batch.records(1 << 20).unwrap()[0].headers, headers);
    assert_eq!(values(fetched), [(0, "x".to_owned())]);
}

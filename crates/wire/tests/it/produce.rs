//! The flat view of a Produce request sees what the nested one sees.

use bytes::Bytes;
use proptest::prelude::*;
use tramline_wire::kafka::produce::{PartitionProduceData, TopicProduceData};
use tramline_wire::kafka::{KafkaMessage, ProduceRequest, ProduceView};
use tramline_wire::{DecodeError, Reader, Writer};

/// The nested form of a view.
fn nested(view: ProduceView) -> ProduceRequest {
    let mut partitions = view.partitions.into_iter().enumerate();
    let mut first_partition = 0;
    let topics = view.topics.into_iter().enumerate().map(|(topic, it)| {
        let end = first_partition + it.partition_count;
        let partition_data = partitions.by_ref().take(it.partition_count).map(|(at, data)| {
            assert!((first_partition..end).contains(&at) && data.topic == topic);
            PartitionProduceData { index: data.index, records: data.records }
        });
        let partition_data = partition_data.collect();
        first_partition = end;
        TopicProduceData { name: it.name, topic_id: it.topic_id, partition_data }
    });
    let topic_data = topics.collect();
    ProduceRequest {
        transactional_id: view.transactional_id,
        acks: view.acks,
        timeout_ms: view.timeout_ms,
        topic_data,
    }
}

fn decode_both(bytes: &Bytes, version: i16) -> [Result<ProduceRequest, DecodeError>; 2] {
    let mut flat = Reader::new(bytes.clone());
    let mut full = Reader::new(bytes.clone());
    let flat_result = ProduceView::decode(&mut flat, version).map(nested);
    let full_result = ProduceRequest::decode(&mut full, version);
    assert_eq!(flat.remaining(), full.remaining());
    [flat_result, full_result]
}

fn request(topics: Vec<Vec<Option<Vec<u8>>>>, version: i16) -> ProduceRequest {
    let topic_data = topics.into_iter().enumerate().map(|(at, partitions)| {
        let id = u8::try_from(at).expect("a few topics");
        let partition_data = partitions.into_iter().zip(0..).map(|(records, index)| {
            PartitionProduceData { index, records: records.map(Bytes::from) }
        });
        TopicProduceData {
            name: if version < 13 { format!("topic-{at}").into() } else { "".into() },
            topic_id: if version < 13 { [0; 16] } else { [id; 16] },
            partition_data: partition_data.collect(),
        }
    });
    ProduceRequest {
        transactional_id: Some("t".into()),
        acks: -1,
        timeout_ms: 1500,
        topic_data: topic_data.collect(),
    }
}

#[test]
fn records_are_slices_of_the_frame() {
    let mut writer = Writer::new();
    request(vec![vec![Some(b"records".to_vec())]], 9).encode_into(&mut writer, 9).unwrap();
    let frame = writer.into_bytes();
    let view = ProduceView::decode(&mut Reader::new(frame.clone()), 9).unwrap();
    let records = view.partitions[0].records.as_ref().unwrap();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    assert!(!view.partitions.spilled() && !view.topics.spilled());
}

proptest! {
    #[test]
    fn both_views_agree(
        topics in prop::collection::vec(
            prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 0..4),
            0..4,
        ),
        version in 3i16..=13,
        edit in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let request = request(topics, version);
        let mut writer = Writer::new();
        request.encode_into(&mut writer, version).unwrap();
        let mut bytes = writer.into_bytes().to_vec();
        if let Some((at, byte)) = edit {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let [flat, full] = decode_both(&Bytes::from(bytes), version);
        prop_assert_eq!(&flat, &full);
        if edit.is_none() {
            prop_assert_eq!(flat, Ok(request));
        }
    }
}

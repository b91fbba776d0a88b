//! DescribeProducers (key 61, v0): the idempotent producers that partitions remember.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, distinct},
    to_wire,
};
use tramline_broker::{Error, ProducerDescription};
use tramline_wire::kafka::{
    VersionRange,
    describe_producers::{
        DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
        TopicResponse,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 0);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in distinct(request.topics, |topic| topic.name.clone()) {
        let topic = from_wire::topic_by(cx, false, &wanted.name, [0; 16]);
        let describe = |index: &i32| {
            let producers = topic.as_ref().map_err(Error::clone).and_then(|topic| {
                cx.broker().producers(topic, from_wire::partition(topic, *index)?)
            });
            let empty = PartitionResponse { partition_index: *index, ..Default::default() };
            match producers {
                Ok(producers) => PartitionResponse {
                    error_code: ErrorCode::NONE,
                    active_producers: producers.iter().map(state).collect(),
                    ..empty
                },
                Err(error) => PartitionResponse {
                    error_message: to_wire::message(&error),
                    error_code: cx.refuse(call.api, error),
                    ..empty
                },
            }
        };
        let partitions = distinct(wanted.partition_indexes, |index| *index);
        let partitions = partitions.iter().map(describe).collect();
        topics.push(TopicResponse { name: wanted.name, partitions });
    }
    DescribeProducersResponse { throttle_time_ms: 0, topics }
}

fn state(producer: &ProducerDescription) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence.unwrap_or(-1),
        last_timestamp: producer.seen.as_millis(),
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}

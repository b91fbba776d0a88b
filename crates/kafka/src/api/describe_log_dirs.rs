//! DescribeLogDirs (key 35, v1-5): the one data directory, and how many bytes each partition
//! stores in it.
//!
//! v2 is flexible, v3 adds a top-level error, v4 the size and the free space of the volume (-1
//! where the store has none), v5 cordoned directories.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
    to_wire::{self, text},
};
use std::sync::Arc;
use tramline_broker::Topic;
use tramline_wire::kafka::{
    VersionRange,
    describe_log_dirs::{
        DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
        DescribeLogDirsResult, DescribeLogDirsTopic,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(1, 5);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let mut topics = Vec::new();
    match &request.topics {
        None => {
            for topic in cx.broker().topics() {
                let all: Vec<_> = (0..to_wire::count(topic.partition_count())).collect();
                topics.push(describe(cx, &topic, &all));
            }
        }
        // What does not exist is left out, as in Kafka.
        Some(named) => {
            for wanted in named {
                if let Ok(topic) = from_wire::topic(cx, &wanted.topic) {
                    topics.push(describe(cx, &topic, &wanted.partitions));
                }
            }
        }
    }
    let failed = topics.iter().any(Option::is_none);
    let storage = cx.broker().describe_storage();
    let result = DescribeLogDirsResult {
        error_code: if failed {
            cx.refuse(call.api, ErrorCode::KAFKA_STORAGE_ERROR)
        } else {
            ErrorCode::NONE
        },
        log_dir: text(&storage.directory),
        topics: topics.into_iter().flatten().collect(),
        total_bytes: size(storage.total_bytes),
        usable_bytes: size(storage.free_bytes),
        ..DescribeLogDirsResult::default()
    };
    DescribeLogDirsResponse { results: vec![result], ..DescribeLogDirsResponse::default() }
}

fn size(bytes: Option<u64>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// `None` when the store cannot tell.
fn describe(cx: &Context, topic: &Arc<Topic>, partitions: &[i32]) -> Option<DescribeLogDirsTopic> {
    let mut described = Vec::with_capacity(partitions.len());
    for index in partitions {
        let Ok(number) = from_wire::led_partition(cx, topic, *index) else { continue };
        let Ok(partition) = topic.partition(number) else { continue };
        described.push(DescribeLogDirsPartition {
            partition_index: *index,
            partition_size: i64::try_from(partition.bytes().ok()?).unwrap_or(i64::MAX),
            offset_lag: 0,
            is_future_key: false,
        });
    }
    Some(DescribeLogDirsTopic { name: text(topic.name().as_str()), partitions: described })
}

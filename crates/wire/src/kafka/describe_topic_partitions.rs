//! DescribeTopicPartitions (key 75, v0): topics and their partitions, page by page.
//!
//! Flexible from the start.

use crate::KafkaStr;

use crate::{DecodeError, EncodeError, Reader, Writer};

use super::{ApiKey, Field, Format, KafkaMessage, Nullable, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeTopicPartitions;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 0);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    pub topics: Vec<TopicRequest>,
    #[kafka(default = 2000)]
    pub response_partition_limit: i32,
    #[kafka(nullable = "0+")]
    pub cursor: Option<Cursor>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct TopicRequest {
    pub name: KafkaStr,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct Cursor {
    pub topic_name: KafkaStr,
    pub partition_index: i32,
}

/// A byte tells whether it is there: 1, or -1 for null.
impl Nullable for Cursor {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        match reader.i8()? {
            -1 => Ok(None),
            1 => <Self as Field>::read(reader, format).map(Some),
            other => Err(DecodeError::InvalidLength(i64::from(other))),
        }
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else {
            writer.i8(-1);
            return Ok(());
        };
        writer.i8(1);
        value.write(writer, format)
    }
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    #[kafka(nullable = "0+")]
    pub next_cursor: Option<Cursor>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponseTopic {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub name: Option<KafkaStr>,
    pub topic_id: [u8; 16],
    pub is_internal: bool,
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    #[kafka(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(nullable = "0+")]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    #[kafka(nullable = "0+")]
    pub last_known_elr: Option<Vec<i32>>,
    pub offline_replicas: Vec<i32>,
}

//! DescribeQuorum (key 55, v0-2): who decides about the cluster metadata.
//!
//! v1 adds times of followers, v2 nodes, directories and messages. Flexible from the start.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeQuorum;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 2);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    pub topics: Vec<TopicData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct TopicData {
    pub topic_name: KafkaStr,
    pub partitions: Vec<PartitionData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct PartitionData {
    pub partition_index: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    pub error_code: i16,
    #[kafka(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<KafkaStr>,
    pub topics: Vec<response::TopicData>,
    #[kafka(versions = "2+")]
    pub nodes: Vec<response::Node>,
}

/// The parts of the response; some have the names of parts of the request.
pub mod response {
    use super::{KafkaMessage, KafkaStr};

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-2", flexible = "0+")]
    pub struct TopicData {
        pub topic_name: KafkaStr,
        pub partitions: Vec<PartitionData>,
    }

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-2", flexible = "0+")]
    pub struct Node {
        #[kafka(versions = "2+")]
        pub node_id: i32,
        #[kafka(versions = "2+")]
        pub listeners: Vec<Listener>,
    }

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-2", flexible = "0+")]
    pub struct PartitionData {
        pub partition_index: i32,
        pub error_code: i16,
        #[kafka(versions = "2+", nullable = "2+", ignorable)]
        pub error_message: Option<KafkaStr>,
        pub leader_id: i32,
        pub leader_epoch: i32,
        pub high_watermark: i64,
        pub current_voters: Vec<ReplicaState>,
        pub observers: Vec<ReplicaState>,
    }

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-2", flexible = "0+")]
    pub struct Listener {
        #[kafka(versions = "2+")]
        pub name: KafkaStr,
        #[kafka(versions = "2+")]
        pub host: KafkaStr,
        #[kafka(versions = "2+")]
        pub port: u16,
    }

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-2", flexible = "0+")]
    pub struct ReplicaState {
        pub replica_id: i32,
        #[kafka(versions = "2+")]
        pub replica_directory_id: [u8; 16],
        pub log_end_offset: i64,
        #[kafka(versions = "1+", default = -1, ignorable)]
        pub last_fetch_timestamp: i64,
        #[kafka(versions = "1+", default = -1, ignorable)]
        pub last_caught_up_timestamp: i64,
    }
}

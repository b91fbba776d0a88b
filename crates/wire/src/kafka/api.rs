//! The table of APIs: key, messages, versions. Everything that depends on the key comes from it.

use std::fmt;

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Reader, Writer};

#[allow(clippy::wildcard_imports, reason = "the messages of every API")]
use super::*;

/// Makes the table: one line per API.
macro_rules! apis {
    ($($api:ident = $code:literal in $module:ident: $request:ident, $response:ident;)*) => {
        /// An API that is known here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ApiKey {
            $($api,)*
        }

        impl ApiKey {
            /// Every API, by key.
            pub const ALL: &[Self] = &[$(Self::$api),*];

            /// The number on the wire.
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$api => $code,)*
                }
            }

            /// The API with this number on the wire.
            pub const fn from_code(code: i16) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Self::$api),)*
                    _ => Err(DecodeError::UnknownApi(code)),
                }
            }

            /// Kafka's name for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$api => stringify!($api),)*
                }
            }

            /// The versions of its messages.
            pub const fn versions(self) -> VersionRange {
                match self {
                    $(Self::$api => $module::VERSIONS,)*
                }
            }

            /// The first version with compact lengths and tagged fields, if there is one.
            pub const fn flexible_since(self) -> Option<i16> {
                match self {
                    $(Self::$api => <$request as KafkaMessage>::FLEXIBLE_SINCE,)*
                }
            }
        }

        $(
            impl Request for $request {
                const API_KEY: ApiKey = $module::API_KEY;
                type Response = $response;
            }

            const _: () = {
                assert!($module::API_KEY.code() == $code);
                assert!($module::VERSIONS.equals(<$request as KafkaMessage>::VERSIONS));
                assert!($module::VERSIONS.equals(<$response as KafkaMessage>::VERSIONS));
            };
        )*

        /// Any request.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "short-lived, for tests and tools")]
        pub enum AnyRequest {
            $($api($request),)*
        }

        /// Any response.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "short-lived, for tests and tools")]
        pub enum AnyResponse {
            $($api($response),)*
        }

        impl AnyRequest {
            /// Appends the body.
            pub fn encode_into(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(request) => request.encode_into(writer, version),)*
                }
            }
        }

        impl AnyResponse {
            /// Appends the body.
            pub fn encode_into(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(response) => response.encode_into(writer, version),)*
                }
            }
        }

        fn decode_request_body(
            api_key: ApiKey,
            reader: &mut Reader,
            version: i16,
        ) -> Result<AnyRequest, DecodeError> {
            match api_key {
                $(ApiKey::$api => <$request>::decode(reader, version).map(AnyRequest::$api),)*
            }
        }

        fn decode_response_body(
            api_key: ApiKey,
            reader: &mut Reader,
            version: i16,
        ) -> Result<AnyResponse, DecodeError> {
            match api_key {
                $(ApiKey::$api => <$response>::decode(reader, version).map(AnyResponse::$api),)*
            }
        }
    };
}

apis! {
    Produce = 0 in produce: ProduceRequest, ProduceResponse;
    Fetch = 1 in fetch: FetchRequest, FetchResponse;
    ListOffsets = 2 in list_offsets: ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3 in metadata: MetadataRequest, MetadataResponse;
    OffsetCommit = 8 in offset_commit: OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9 in offset_fetch: OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator = 10 in find_coordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup = 11 in join_group: JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12 in heartbeat: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13 in leave_group: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14 in sync_group: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15 in describe_groups: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16 in list_groups: ListGroupsRequest, ListGroupsResponse;
    ApiVersions = 18 in api_versions: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics = 19 in create_topics: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20 in delete_topics: DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21 in delete_records: DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22 in init_producer_id: InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23 in offset_for_leader_epoch:
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    DescribeConfigs = 32 in describe_configs: DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs = 33 in alter_configs: AlterConfigsRequest, AlterConfigsResponse;
    DescribeLogDirs = 35 in describe_log_dirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
    CreatePartitions = 37 in create_partitions: CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups = 42 in delete_groups: DeleteGroupsRequest, DeleteGroupsResponse;
    ElectLeaders = 43 in elect_leaders: ElectLeadersRequest, ElectLeadersResponse;
    IncrementalAlterConfigs = 44 in incremental_alter_configs:
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    ListPartitionReassignments = 46 in list_partition_reassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    OffsetDelete = 47 in offset_delete: OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeClientQuotas = 48 in describe_client_quotas: DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    AlterClientQuotas = 49 in alter_client_quotas: AlterClientQuotasRequest, AlterClientQuotasResponse;
    DescribeQuorum = 55 in describe_quorum: DescribeQuorumRequest, DescribeQuorumResponse;
    DescribeCluster = 60 in describe_cluster: DescribeClusterRequest, DescribeClusterResponse;
    DescribeProducers = 61 in describe_producers: DescribeProducersRequest, DescribeProducersResponse;
    ListConfigResources = 74 in list_config_resources: ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitions = 75 in describe_topic_partitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

impl ApiKey {
    /// Whether `version` has compact lengths and tagged fields.
    const fn is_flexible(self, version: i16) -> bool {
        match self.flexible_since() {
            Some(since) => version >= since,
            None => false,
        }
    }

    /// The version of the request header: 2 with tagged fields, 1 without.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header: 1 with tagged fields, 0 without.
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            // The client cannot know yet whether the broker speaks the version it asked in.
            Self::ApiVersions => 0,
            _ if self.is_flexible(version) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads the body of any request; nothing may follow it. For tests and tools.
pub fn decode_any_request(
    api_key: i16,
    version: i16,
    body: Bytes,
) -> Result<AnyRequest, DecodeError> {
    let mut reader = Reader::new(body);
    let request = decode_request_body(ApiKey::from_code(api_key)?, &mut reader, version)?;
    reader.finish()?;
    Ok(request)
}

/// Reads the body of any response; nothing may follow it. For tests and tools.
pub fn decode_any_response(
    api_key: i16,
    version: i16,
    body: Bytes,
) -> Result<AnyResponse, DecodeError> {
    let mut reader = Reader::new(body);
    let response = decode_response_body(ApiKey::from_code(api_key)?, &mut reader, version)?;
    reader.finish()?;
    Ok(response)
}

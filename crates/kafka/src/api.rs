//! The table of APIs that work here, and the way from a frame to its answer.
//!
//! What ApiVersions shows comes from this table alone.

mod alter_client_quotas;
mod alter_configs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

use crate::{
    context::{Call, Context},
    from_wire, quota,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tramline_types::limits::CONNECTION_BYTES_FREE;
use tramline_wire::{
    DecodeError, EncodeError, Reader,
    kafka::{
        ApiKey, KafkaMessage, RequestHeader, VersionRange, encode_response, peek_request_header,
    },
};

/// What applying a request led to.
pub(crate) enum Outcome {
    /// The answer.
    Answer(Vec<Bytes>),
    /// It is applied; the answer comes when it is durable.
    Later(BoxFuture<'static, Result<Vec<Bytes>, EncodeError>>),
    /// The client wants no answer.
    Silent,
    /// The client wants no answer, and must learn of a failure by losing its connection.
    Close,
}

/// A request that is applied.
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    /// For so long the client is not to be read: it is above its quota.
    pub(crate) throttle: Duration,
}

/// What becomes of a request whose client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// It only waits or reads: it ends at once.
    Abandons,
    /// It changes something: it runs to its end.
    Finishes,
}

/// A request on its way to being applied.
pub(crate) type Applying = BoxFuture<'static, Result<Applied, EncodeError>>;

/// A request that is begun.
pub(crate) struct Started {
    pub(crate) hang_up: HangUp,
    pub(crate) applying: Applying,
    /// Tells when its bytes are let go of, where that comes before the answer.
    pub(crate) let_go: Option<Arc<AtomicBool>>,
}

macro_rules! apis {
    ($($api:ident in $module:ident, $hang_up:ident;)*) => {
        /// Every API that works, with its versions.
        pub(crate) const SUPPORTED: &[(ApiKey, VersionRange)] =
            &[$((ApiKey::$api, $module::VERSIONS)),*];

        fn start_known(
            cx: &Arc<Context>,
            call: Call,
            mut body: Reader,
        ) -> Result<(HangUp, Applying), DecodeError> {
            match call.api {
                $(ApiKey::$api if $module::VERSIONS.contains(call.version) => {
                    let request = KafkaMessage::decode(&mut body, call.version)?;
                    let cx = Arc::clone(cx);
                    let answer = async move {
                        let handled = $module::handle(&cx, &call, request);
                        let (mut response, spent) = quota::timed(&cx, handled).await;
                        let millis = response.throttle(quota::charge_time(&cx, &call, spent));
                        let chunks = encode(&call, &response)?;
                        let outcome = Outcome::Answer(counted(&cx, &call, chunks));
                        Ok(Applied { outcome, throttle: from_wire::millis(millis) })
                    };
                    Ok((HangUp::$hang_up, Box::pin(answer)))
                })*
                _ => Err(DecodeError::UnsupportedVersion(call.version)),
            }
        }
    };
}

apis! {
    Fetch in fetch, Abandons;
    ListOffsets in list_offsets, Abandons;
    Metadata in metadata, Finishes;
    OffsetCommit in offset_commit, Finishes;
    OffsetFetch in offset_fetch, Abandons;
    FindCoordinator in find_coordinator, Abandons;
    JoinGroup in join_group, Abandons;
    Heartbeat in heartbeat, Abandons;
    LeaveGroup in leave_group, Finishes;
    SyncGroup in sync_group, Abandons;
    DescribeGroups in describe_groups, Abandons;
    ListGroups in list_groups, Abandons;
    ApiVersions in api_versions, Abandons;
    CreateTopics in create_topics, Finishes;
    DeleteTopics in delete_topics, Finishes;
    DeleteRecords in delete_records, Finishes;
    InitProducerId in init_producer_id, Finishes;
    OffsetForLeaderEpoch in offset_for_leader_epoch, Abandons;
    DescribeConfigs in describe_configs, Abandons;
    AlterConfigs in alter_configs, Finishes;
    DescribeLogDirs in describe_log_dirs, Abandons;
    CreatePartitions in create_partitions, Finishes;
    DeleteGroups in delete_groups, Finishes;
    ElectLeaders in elect_leaders, Abandons;
    IncrementalAlterConfigs in incremental_alter_configs, Finishes;
    ListPartitionReassignments in list_partition_reassignments, Abandons;
    OffsetDelete in offset_delete, Finishes;
    DescribeClientQuotas in describe_client_quotas, Abandons;
    AlterClientQuotas in alter_client_quotas, Finishes;
    DescribeQuorum in describe_quorum, Abandons;
    DescribeCluster in describe_cluster, Abandons;
    DescribeProducers in describe_producers, Abandons;
    ListConfigResources in list_config_resources, Abandons;
    DescribeTopicPartitions in describe_topic_partitions, Abandons;
}

/// Understands a frame and starts on it. An error closes the connection, as in Kafka.
pub(crate) fn start(cx: &Arc<Context>, frame: Bytes) -> Result<Started, DecodeError> {
    let peek = peek_request_header(&frame)?;
    let api = ApiKey::from_code(peek.api_key)?;
    if api == ApiKey::ApiVersions && !api_versions::VERSIONS.contains(peek.api_version) {
        cx.metrics().requested(api);
        let response = api_versions::unsupported(cx);
        let answer = encode_response(&response, api, 0, peek.correlation_id);
        let applied = answer
            .map(|chunks| Applied { outcome: Outcome::Answer(chunks), throttle: Duration::ZERO });
        let applying = Box::pin(async { applied });
        return Ok(Started { hang_up: HangUp::Abandons, applying, let_go: None });
    }
    let bytes = frame.len();
    let mut body = Reader::new(frame);
    let header = RequestHeader::decode(&mut body)?;
    let mut call = Call::new(api, header, bytes);
    // They wait for other members, and others may wait for the room that a large request takes.
    let waits = matches!(api, ApiKey::JoinGroup | ApiKey::SyncGroup);
    let let_go = (waits && bytes > CONNECTION_BYTES_FREE).then(|| call.detach());
    let (hang_up, applying) = if api == ApiKey::Produce {
        let answer = produce::start(cx, call, &mut body)?;
        (HangUp::Finishes, answer)
    } else {
        start_known(cx, call, body)?
    };
    cx.metrics().requested(api);
    Ok(Started { hang_up, applying, let_go })
}

/// Takes the room of a large answer from the budget, until it is written. Records bring their own
/// share.
fn counted(cx: &Context, call: &Call, mut chunks: Vec<Bytes>) -> Vec<Bytes> {
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    if call.api != ApiKey::Fetch
        && bytes > CONNECTION_BYTES_FREE
        && let Some(last) = chunks.pop()
    {
        let mut share = cx.broker().budgets().answers.share();
        share.charge(bytes);
        chunks.push(share.hold(last));
    }
    chunks
}

fn encode(call: &Call, response: &impl KafkaMessage) -> Result<Vec<Bytes>, EncodeError> {
    encode_response(response, call.api, call.version, call.correlation_id)
}

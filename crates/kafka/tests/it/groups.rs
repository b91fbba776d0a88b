//! Consumer groups over the wire: members, generations, offsets.

use crate::support::{Client, Node, options, text, within};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tramline_broker::SystemClock;
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_types::{GroupId, TopicName};
use tramline_wire::kafka::{
    delete_groups::DeleteGroupsRequest,
    describe_groups::DescribeGroupsRequest,
    heartbeat::HeartbeatRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
    leave_group::{LeaveGroupRequest, MemberIdentity},
    list_groups::ListGroupsRequest,
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
        OffsetFetchRequestTopics,
    },
    sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
};

const REBALANCE_IN_PROGRESS: i16 = 27;
const UNKNOWN_MEMBER: i16 = 25;
const MEMBER_ID_REQUIRED: i16 = 79;
const FENCED_INSTANCE: i16 = 82;

fn join(member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let metadata = Bytes::from_static(b"subscription");
    JoinGroupRequest {
        group_id: text("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: text(member_id),
        group_instance_id: instance.map(text),
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: text("range"), metadata }],
        reason: None,
    }
}

/// Joins as clients do since v4: once for the id, once for the generation.
async fn join_fully(client: &mut Client) -> JoinGroupResponse {
    let refused = client.call(9, &join("", None)).await;
    assert_eq!(refused.error_code, MEMBER_ID_REQUIRED);
    client.call(9, &join(&refused.member_id, None)).await
}

fn sync(joined: &JoinGroupResponse, assignments: &[(&str, &'static [u8])]) -> SyncGroupRequest {
    let give = |(member, bytes): &(&str, &'static [u8])| SyncGroupRequestAssignment {
        member_id: text(member),
        assignment: Bytes::from_static(bytes),
    };
    SyncGroupRequest {
        group_id: text("g"),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments.iter().map(give).collect(),
        ..SyncGroupRequest::default()
    }
}

fn beat(joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: text("g"),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: None,
    }
}

#[tokio::test]
async fn two_members_rebalance_sync_and_leave() {
    let node = Node::start().await;
    let (mut one, mut two) = (node.client().await, node.client().await);
    let first = join_fully(&mut one).await;
    assert_eq!((first.error_code, first.members.len()), (0, 1));
    assert_eq!(one.call(5, &sync(&first, &[(&first.member_id, b"all")])).await.assignment, "all");

    // The second one's join waits until the first has heard of it and joined again.
    let asked = two.call(9, &join("", None)).await;
    two.send(9, &join(&asked.member_id, None)).await;
    while one.call(4, &beat(&first)).await.error_code != REBALANCE_IN_PROGRESS {
        tokio::task::yield_now().await;
    }
    let first = one.call(9, &join(&first.member_id, None)).await;
    let (_, second) = two.receive::<JoinGroupRequest>(9).await;
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!((first.members.len(), second.members.len()), (2, 0), "the leader alone learns");
    assert_eq!(first.leader, second.leader);
    assert_eq!(first.protocol_type.as_ref().unwrap(), &"consumer");

    two.send(5, &sync(&second, &[])).await;
    let given: [(&str, &'static [u8]); 2] =
        [(&first.member_id, b"left"), (&second.member_id, b"right")];
    assert_eq!(one.call(5, &sync(&first, &given)).await.assignment, "left");
    assert_eq!(two.receive::<SyncGroupRequest>(5).await.1.assignment, "right");
    assert_eq!(two.call(4, &beat(&second)).await.error_code, 0);

    let leave = LeaveGroupRequest {
        group_id: text("g"),
        members: vec![
            MemberIdentity { member_id: second.member_id.clone(), ..MemberIdentity::default() },
            MemberIdentity { member_id: text("nobody"), ..MemberIdentity::default() },
        ],
        ..LeaveGroupRequest::default()
    };
    let left = two.call(5, &leave).await;
    assert_eq!([left.members[0].error_code, left.members[1].error_code], [0, UNKNOWN_MEMBER]);
    assert_eq!(one.call(4, &beat(&first)).await.error_code, REBALANCE_IN_PROGRESS);
    let old = LeaveGroupRequest {
        group_id: text("g"),
        member_id: second.member_id,
        ..LeaveGroupRequest::default()
    };
    assert_eq!(two.call(2, &old).await.error_code, UNKNOWN_MEMBER);
}

#[tokio::test]
async fn versions_before_4_join_at_once_and_every_version_syncs() {
    let node = Node::start().await;
    for version in 0..=9 {
        let mut client = node.client().await;
        let group = format!("g{version}");
        let mut request = JoinGroupRequest { group_id: text(&group), ..join("", None) };
        let mut joined = client.call(version, &request).await;
        if version >= 4 {
            assert_eq!(joined.error_code, MEMBER_ID_REQUIRED, "v{version}");
            request.member_id = joined.member_id;
            joined = client.call(version, &request).await;
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "v{version}");
        let mut request = sync(&joined, &[(&joined.member_id, b"x")]);
        request.group_id = text(&group);
        let synced = client.call(version.min(5), &request).await;
        assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"x")));
    }
}

#[tokio::test]
async fn wrong_joins_are_refused_each_with_its_code() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let cases = [
        (JoinGroupRequest { group_id: text(""), ..join("", None) }, 24),
        (JoinGroupRequest { session_timeout_ms: 10, ..join("", None) }, 26),
        (JoinGroupRequest { session_timeout_ms: i32::MAX, ..join("", None) }, 26),
        (JoinGroupRequest { protocols: Vec::new(), ..join("", None) }, 23),
        (join("invented", None), UNKNOWN_MEMBER),
    ];
    for (request, code) in cases {
        for version in [6, 7, 9] {
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.generation_id), (code, -1), "{request:?}");
        }
    }
}

#[tokio::test]
async fn static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let first = client.call(9, &join("", Some("one"))).await;
    assert_eq!(first.error_code, 0, "static members are not sent away for an id");
    let mut request = sync(&first, &[(&first.member_id, b"mine")]);
    request.group_instance_id = Some(text("one"));
    client.call(5, &request).await;

    let second = client.call(9, &join("", Some("one"))).await;
    assert_eq!((second.error_code, second.generation_id), (0, first.generation_id));
    assert!(second.skip_assignment);
    let mut request = sync(&second, &[]);
    request.group_instance_id = Some(text("one"));
    assert_eq!(client.call(5, &request).await.assignment, "mine");
    let former = HeartbeatRequest { group_instance_id: Some(text("one")), ..beat(&first) };
    assert_eq!(client.call(4, &former).await.error_code, FENCED_INSTANCE);
}

fn commit(topic: &str, offset: i64, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some(text(metadata)),
    };
    let topic = OffsetCommitRequestTopic {
        name: text(topic),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: text("g"),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

async fn commit_code(client: &mut Client, version: i16, request: &OffsetCommitRequest) -> i16 {
    client.call(version, request).await.topics[0].partitions[0].error_code
}

async fn committed(client: &mut Client, topic: &str) -> (i64, String) {
    let topics = vec![OffsetFetchRequestTopic { name: text(topic), partition_indexes: vec![0] }];
    let request = OffsetFetchRequest {
        group_id: text("g"),
        topics: Some(topics),
        ..OffsetFetchRequest::default()
    };
    let mut response = client.call(7, &request).await;
    let partition = response.topics.remove(0).partitions.remove(0);
    (partition.committed_offset, partition.metadata.unwrap().to_string())
}

#[tokio::test]
async fn offsets_come_back_with_their_metadata_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let both = || (options(), tramline_kafka::Options::default());
    let node = Node::start_on(store.clone(), Arc::new(SystemClock::new()), both()).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    assert_eq!(committed(&mut client, "t").await, (-1, String::new()));
    for version in 2..=9 {
        let offset = i64::from(version);
        assert_eq!(commit_code(&mut client, version, &commit("t", offset, "méta")).await, 0);
        assert_eq!(committed(&mut client, "t").await, (offset, "méta".to_owned()));
    }
    drop(client);
    node.stop().await;

    let node =
        Node::start_on(Arc::new(store.reopen().start()), Arc::new(SystemClock::new()), both())
            .await;
    let mut client = node.client().await;
    assert_eq!(committed(&mut client, "t").await, (9, "méta".to_owned()));
    client.create("u", 1, &[]).await;
    assert_eq!(committed(&mut client, "u").await, (-1, String::new()));
}

#[tokio::test]
async fn several_groups_are_fetched_at_once_by_name_and_by_id() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let id = node.broker.topic(&TopicName::parse("t").unwrap()).unwrap().id().0;
    let mut by_id = commit("t", 5, "");
    by_id.topics[0].topic_id = id;
    assert_eq!(commit_code(&mut client, 10, &by_id).await, 0);
    by_id.topics[0].topic_id = [1; 16];
    assert_eq!(commit_code(&mut client, 10, &by_id).await, 100);

    let named =
        OffsetFetchRequestTopics { name: text("t"), topic_id: id, partition_indexes: vec![0, 1] };
    let group = |group: &str, topics| OffsetFetchRequestGroup {
        group_id: text(group),
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let groups = vec![group("g", Some(vec![named.clone()])), group("g", None), group("none", None)];
    let request = OffsetFetchRequest { groups, ..OffsetFetchRequest::default() };
    for version in 8..=10 {
        let response = client.call(version, &request).await;
        let offsets = |n: usize| -> Vec<i64> {
            let topics = response.groups[n].topics.iter();
            let partitions = topics.flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.committed_offset).collect()
        };
        assert_eq!([offsets(0), offsets(1), offsets(2)], [vec![5, -1], vec![5], vec![]]);
        assert_eq!(response.groups[1].topics[0].topic_id == id, version >= 10);
    }
    let unknown = OffsetFetchRequestTopics { topic_id: [1; 16], ..named };
    let request = OffsetFetchRequest {
        groups: vec![group("g", Some(vec![unknown]))],
        ..OffsetFetchRequest::default()
    };
    let response = client.call(10, &request).await;
    assert_eq!(response.groups[0].topics[0].partitions[0].error_code, 100);
}

#[tokio::test]
async fn commits_are_checked() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let stale = OffsetCommitRequest { generation_id_or_member_epoch: 3, ..commit("t", 1, "") };
    assert_eq!(commit_code(&mut client, 9, &stale).await, 22, "no such group");
    assert_eq!(commit_code(&mut client, 9, &commit("none", 1, "")).await, 3);
    assert_eq!(commit_code(&mut client, 9, &commit("t", 1, &"x".repeat(5000))).await, 12);
    let unnamed = OffsetCommitRequest { group_id: text(""), ..commit("t", 1, "") };
    assert_eq!(commit_code(&mut client, 9, &unnamed).await, 24);
    assert_eq!(commit_code(&mut client, 9, &stale).await, UNKNOWN_MEMBER);

    let joined = join_fully(&mut client).await;
    assert_eq!(commit_code(&mut client, 9, &commit("t", 1, "")).await, UNKNOWN_MEMBER);
    let member = OffsetCommitRequest {
        generation_id_or_member_epoch: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..commit("t", 1, "")
    };
    assert_eq!(commit_code(&mut client, 9, &member).await, REBALANCE_IN_PROGRESS);
    client.call(5, &sync(&joined, &[])).await;
    assert_eq!(commit_code(&mut client, 9, &member).await, 0);
}

#[tokio::test]
async fn negative_position_is_taken_as_none() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for negative in [-1, -2] {
        assert_eq!(commit_code(&mut client, 9, &commit("t", 5, "m")).await, 0);
        assert_eq!(committed(&mut client, "t").await.0, 5);
        assert_eq!(commit_code(&mut client, 9, &commit("t", negative, "")).await, 0);
        assert_eq!(committed(&mut client, "t").await.0, -1);
    }
}

#[tokio::test]
async fn commit_may_name_its_own_retention() {
    let clock = FakeClock::new();
    let both = (options(), tramline_kafka::Options::default());
    let node = Node::start_on(Arc::new(MemoryStore::new()), Arc::new(clock.clone()), both).await;
    let mut client = node.client().await;
    client.create("t", 2, &[]).await;
    let short = OffsetCommitRequest { retention_time_ms: 60_000, ..commit("t", 5, "") };
    let mut others = commit("t", 6, "");
    others.topics[0].partitions[0].partition_index = 1;
    assert_eq!(commit_code(&mut client, 2, &others).await, 0);
    for version in [2, 4] {
        assert_eq!(commit_code(&mut client, version, &short).await, 0);
        assert_eq!(committed(&mut client, "t").await.0, 5);
        // Offsets are looked at every ten minutes; the connection must not be idle for so long.
        clock.advance(Duration::from_secs(59));
        assert_eq!(committed(&mut client, "t").await.0, 5);
        clock.advance(Duration::from_secs(301));
        committed(&mut client, "t").await;
        clock.advance(Duration::from_secs(301));
        within(async { while committed(&mut client, "t").await.0 != -1 {} }).await;
    }
    let kept = node.broker.groups().fetch_offsets(&GroupId::parse("g").unwrap(), None).unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[tokio::test]
async fn groups_are_described_listed_filtered_and_deleted() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let joined = join_fully(&mut client).await;
    client.call(5, &sync(&joined, &[(&joined.member_id, b"x")])).await;
    let simple = OffsetCommitRequest { group_id: text("kept"), ..commit("t", 1, "") };
    assert_eq!(commit_code(&mut client, 9, &simple).await, 0);

    let request = DescribeGroupsRequest {
        groups: vec![text("g"), text("none")],
        include_authorized_operations: true,
    };
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            include_authorized_operations: version >= 3,
            ..request.clone()
        };
        let described = client.call(version, &request).await.groups;
        assert_eq!(described[0].group_state, "Stable");
        assert_eq!(described[0].protocol_data, "range");
        assert_eq!(described[0].members[0].member_assignment, "x");
        assert_eq!(described[0].members[0].client_host, "/127.0.0.1");
        assert_eq!(described[1].group_state, "Dead");
        assert_eq!(described[1].error_code, if version >= 6 { 69 } else { 0 });
    }
    let list = |states: &[&str], types: &[&str]| ListGroupsRequest {
        states_filter: states.iter().map(|state| text(state)).collect(),
        types_filter: types.iter().map(|kind| text(kind)).collect(),
    };
    for (filter, expected) in [
        (list(&[], &[]), vec!["g", "kept"]),
        (list(&["Stable"], &[]), vec!["g"]),
        (list(&["empty"], &["classic"]), vec!["kept"]),
        (list(&["Dead"], &[]), vec![]),
        (list(&[], &["consumer"]), vec![]),
    ] {
        let listed = client.call(5, &filter).await.groups;
        let names: Vec<_> = listed.iter().map(|group| group.group_id.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
    }
    let delete = DeleteGroupsRequest { groups_names: vec![text("g"), text("kept"), text("none")] };
    let codes: Vec<_> =
        client.call(2, &delete).await.results.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [68, 0, 69]);
}

#[tokio::test]
async fn positions_of_an_empty_group_are_deleted_and_go_with_their_topic() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for topic in ["t", "u"] {
        client.create(topic, 1, &[]).await;
        assert_eq!(commit_code(&mut client, 9, &commit(topic, 4, "")).await, 0);
    }
    let topic = OffsetDeleteRequestTopic {
        name: text("t"),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    };
    let request = OffsetDeleteRequest { group_id: text("g"), topics: vec![topic] };
    let answer = client.call(0, &request).await;
    assert_eq!((answer.error_code, answer.topics[0].partitions[0].error_code), (0, 0));
    assert_eq!(committed(&mut client, "t").await.0, -1);
    assert_eq!(committed(&mut client, "u").await.0, 4);
    node.broker.delete_topic(&TopicName::parse("u").unwrap()).await.unwrap();
    client.create("u", 1, &[]).await;
    assert_eq!(committed(&mut client, "u").await.0, -1, "the new topic starts without offsets");
    let missing = OffsetDeleteRequest { group_id: text("none"), ..request };
    assert_eq!(client.call(0, &missing).await.error_code, 69);
}

#[tokio::test]
async fn positions_of_topics_that_a_live_group_does_not_read_are_deleted() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for topic in ["t", "u"] {
        client.create(topic, 1, &[]).await;
        assert_eq!(commit_code(&mut client, 9, &commit(topic, 4, "")).await, 0);
    }
    let joining = |kind: &str, metadata: &'static [u8]| {
        let mut join = join("", None);
        join.protocol_type = text(kind);
        join.protocols[0].metadata = Bytes::from_static(metadata);
        join
    };
    let both = ["t", "u"].map(|topic| OffsetDeleteRequestTopic {
        name: text(topic),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    });
    let request = OffsetDeleteRequest { group_id: text("g"), topics: both.to_vec() };
    let cases: [(&str, &[u8], i16, [i16; 2]); 3] = [
        ("consumer", b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff", 0, [86, 0]),
        ("consumer", b"something else", 0, [86, 86]),
        ("connect", b"", 68, [0, 0]),
    ];
    for (kind, metadata, code, of_topics) in cases {
        let joined = client.call(3, &joining(kind, metadata)).await;
        assert_eq!(client.call(3, &sync(&joined, &[])).await.error_code, 0);
        let answer = client.call(0, &request).await;
        assert_eq!(answer.error_code, code, "{kind}");
        for (topic, code) in answer.topics.iter().zip(of_topics) {
            assert_eq!(topic.partitions[0].error_code, code, "{kind} {}", topic.name);
        }
        let member = MemberIdentity { member_id: joined.member_id, ..MemberIdentity::default() };
        let leave =
            LeaveGroupRequest { group_id: text("g"), members: vec![member], ..Default::default() };
        assert_eq!(client.call(3, &leave).await.error_code, 0);
    }
    assert_eq!(committed(&mut client, "t").await.0, 4);
    assert_eq!(committed(&mut client, "u").await.0, -1);
}

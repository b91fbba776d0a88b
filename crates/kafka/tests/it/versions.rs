//! What ApiVersions shows, and that everything it shows works.

use crate::support::{Node, text, within};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tramline_wire::{
    Writer,
    kafka::{
        AnyRequest, ApiKey, Request, RequestHeader, VersionRange,
        api_versions::{ApiVersionsRequest, ApiVersionsResponse},
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        decode_any_request, decode_any_response, decode_response, decode_response_header,
        delete_groups::DeleteGroupsRequest,
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_cluster::DescribeClusterRequest,
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
        heartbeat::HeartbeatRequest,
        incremental_alter_configs::{AlterConfigsResource, IncrementalAlterConfigsRequest},
        init_producer_id::InitProducerIdRequest,
        list_groups::ListGroupsRequest,
    },
};

fn named() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: text("librdkafka"),
        client_software_version: text("2.15.0"),
    }
}

fn shown(response: &ApiVersionsResponse) -> Vec<(i16, i16, i16)> {
    let keys = response.api_keys.iter();
    let mut keys: Vec<_> =
        keys.map(|key| (key.api_key, key.min_version, key.max_version)).collect();
    keys.sort_unstable();
    keys
}

/// Apache Kafka 4.3's ranges for what works here; Produce from 0 (KAFKA-18659).
const EXPECTED: [(i16, i16, i16); 35] = [
    (0, 0, 13),
    (1, 4, 18),
    (2, 1, 11),
    (3, 0, 13),
    (8, 2, 10),
    (9, 1, 10),
    (10, 0, 6),
    (11, 0, 9),
    (12, 0, 4),
    (13, 0, 5),
    (14, 0, 5),
    (15, 0, 6),
    (16, 0, 5),
    (18, 0, 4),
    (19, 2, 7),
    (20, 1, 6),
    (21, 0, 2),
    (22, 0, 5),
    (23, 2, 4),
    (32, 1, 4),
    (33, 0, 2),
    (35, 1, 5),
    (37, 0, 3),
    (42, 0, 2),
    (43, 0, 2),
    (44, 0, 1),
    (46, 0, 0),
    (47, 0, 0),
    (48, 0, 1),
    (49, 0, 1),
    (55, 0, 2),
    (60, 0, 2),
    (61, 0, 0),
    (74, 0, 1),
    (75, 0, 0),
];

#[tokio::test]
async fn ranges_shown_are_kafkas_and_no_feature_is_promised() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=4 {
        let response = client.call(version, &named()).await;
        assert_eq!(response.error_code, 0);
        assert_eq!(shown(&response), EXPECTED);
        assert!(response.supported_features.is_empty() && response.finalized_features.is_empty());
    }
}

#[tokio::test]
async fn unknown_version_is_answered_in_version_0_with_error_35_and_the_list() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut frame = client.frame(4, &named());
    frame[7] = 99; // The low byte of the version.
    within(client.stream.write_all(&frame)).await.unwrap();
    let answer = client.receive_frame().await;
    let (correlation_id, response) = decode_response::<ApiVersionsRequest>(answer, 0).unwrap();
    assert_eq!((correlation_id, response.error_code), (1, 35));
    assert_eq!(shown(&response), EXPECTED);
    assert_eq!(client.call(4, &named()).await.error_code, 0, "the connection goes on");
}

#[tokio::test]
async fn malformed_software_name_is_an_invalid_request() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for name in ["", "-kcat", "kcat-", "a b", "ä"] {
        let request = ApiVersionsRequest { client_software_name: text(name), ..named() };
        assert_eq!(client.call(3, &request).await.error_code, 42, "{name}");
    }
}

/// An empty request of every API: all zero bytes are lengths of 0, null or empty in every API
/// except where a field has to be there.
fn empty_request(api: ApiKey, version: i16) -> AnyRequest {
    for length in 0..200 {
        let body = Bytes::from(vec![0; length]);
        if let Ok(request) = decode_any_request(api.code(), version, body) {
            return request;
        }
    }
    // A compact string cannot be null: a request of ones has empty strings and arrays.
    for length in 0..200 {
        let body = Bytes::from([vec![1; length], vec![0]].concat());
        if let Ok(request) = decode_any_request(api.code(), version, body) {
            return request;
        }
    }
    panic!("no minimal request for {api} v{version}")
}

#[tokio::test]
async fn every_version_shown_is_answered_in_that_version() {
    let node = Node::start().await;
    for (code, min, max) in EXPECTED {
        let api = ApiKey::from_code(code).unwrap();
        let VersionRange { min, max } =
            if api == ApiKey::Produce { api.versions() } else { VersionRange::new(min, max) };
        for version in min..=max {
            if matches!(api, ApiKey::Produce) {
                continue; // acks=0 has no answer; its versions are tried in `produce`.
            }
            let mut client = node.client().await;
            let mut writer = Writer::new();
            let header = RequestHeader {
                request_api_key: code,
                request_api_version: version,
                correlation_id: 7,
                client_id: None,
            };
            header.encode_into(&mut writer, api).unwrap();
            empty_request(api, version).encode_into(&mut writer, version).unwrap();
            let body = writer.into_bytes();
            let size = u32::try_from(body.len()).unwrap();
            within(client.stream.write_u32(size)).await.unwrap();
            within(client.stream.write_all(&body)).await.unwrap();
            let mut reader = tramline_wire::Reader::new(client.receive_frame().await);
            let id = decode_response_header(&mut reader, api, version).unwrap();
            assert_eq!(id, 7, "{api} v{version}");
            let body = reader.rest().clone();
            let decoded = decode_any_response(code, version, body);
            assert!(decoded.is_ok(), "{api} v{version}: {decoded:?}");
        }
    }
}

/// Calls an API in every version with the same request and checks each answer.
async fn in_every_version<R: Request>(
    node: &Node,
    request: impl Fn(i16) -> R,
    check: impl Fn(&R::Response) -> bool,
) {
    for version in R::API_KEY.versions().min..=R::API_KEY.versions().max {
        let mut client = node.client().await;
        let response = client.call(version, &request(version)).await;
        assert!(check(&response), "{} v{version}", R::API_KEY);
    }
}

#[tokio::test]
async fn content_is_carried_by_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[("retention.ms", "5")]).await;
    let key = |version| match version {
        ..4 => FindCoordinatorRequest { key: text("g"), ..Default::default() },
        _ => FindCoordinatorRequest { coordinator_keys: vec![text("g")], ..Default::default() },
    };
    let port = i32::from(node.address.port());
    let found = |response: &FindCoordinatorResponse| {
        response.port == port || response.coordinators.first().is_some_and(|c| c.port == port)
    };
    in_every_version(&node, key, found).await;
    let transactional =
        |version| FindCoordinatorRequest { key_type: i8::from(version >= 1), ..key(version) };
    let refused = |response: &FindCoordinatorResponse| {
        let code = response.coordinators.first().map_or(response.error_code, |c| c.error_code);
        code == 53 || response.port == port // Version 0 knows no kinds of keys.
    };
    in_every_version(&node, transactional, refused).await;
    in_every_version(&node, |_| DescribeClusterRequest::default(), |r| r.brokers.len() == 1).await;
    in_every_version(&node, |_| InitProducerIdRequest::default(), |r| r.producer_id > 0).await;
    let beat = |_| HeartbeatRequest { group_id: text("none"), ..Default::default() };
    in_every_version(&node, beat, |r| r.error_code == 25).await;
    in_every_version(&node, |_| ListGroupsRequest::default(), |r| r.groups.is_empty()).await;
    let missing = |_| DeleteGroupsRequest { groups_names: vec![text("none")] };
    in_every_version(&node, missing, |r| r.results[0].error_code == 69).await;
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: text("t"),
        configuration_keys: Some(vec![text("retention.ms")]),
    };
    let describe = |_| DescribeConfigsRequest {
        resources: vec![resource.clone()],
        include_synonyms: true,
        ..Default::default()
    };
    in_every_version(&node, describe, |r| r.results[0].configs.len() == 1).await;
    let unknown =
        AlterConfigsResource { resource_type: 2, resource_name: text("none"), configs: Vec::new() };
    let alter = |_| IncrementalAlterConfigsRequest {
        resources: vec![unknown.clone()],
        validate_only: false,
    };
    in_every_version(&node, alter, |r| r.responses[0].error_code == 3).await;
    let more = |_| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: text("t"), count: 1, assignments: None }],
        ..Default::default()
    };
    in_every_version(&node, more, |r| r.results[0].error_code == 37).await;
    let gone = |version| match version {
        ..6 => DeleteTopicsRequest { topic_names: vec![text("none")], ..Default::default() },
        _ => DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: Some(text("none")), topic_id: [0; 16] }],
            ..Default::default()
        },
    };
    in_every_version(&node, gone, |r| r.responses[0].error_code == 3).await;
}

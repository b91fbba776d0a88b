//! Metadata, FindCoordinator, DescribeCluster: what there is, and where to connect.

use crate::support::{Node, options, text};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tramline_types::TopicName;
use tramline_wire::kafka::{
    describe_cluster::DescribeClusterRequest,
    find_coordinator::FindCoordinatorRequest,
    metadata::{MetadataRequest, MetadataRequestTopic},
};

fn of(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic { topic_id: [0; 16], name: Some(text(name)) };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        ..MetadataRequest::default()
    }
}

#[tokio::test]
async fn naming_an_unknown_topic_creates_it_with_the_configured_partitions() {
    let broker = tramline_broker::Options { partitions_default: 4, ..options() };
    let node = Node::start_with(broker, tramline_kafka::Options::default()).await;
    let mut client = node.client().await;
    for version in 0..=13 {
        let name = format!("auto-{version}");
        let response = client.call(version, &of(&[&name])).await;
        let topic = &response.topics[0];
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 4), "v{version}");
        assert_eq!(topic.name.as_ref().unwrap(), &name.as_str());
        assert_eq!(topic.partitions[3].partition_index, 3);
        assert_eq!(topic.partitions[3].replica_nodes, [0]);
    }
}

#[tokio::test]
async fn nothing_is_created_where_the_client_or_the_operator_forbids_it() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let request = MetadataRequest { allow_auto_topic_creation: false, ..of(&["no"]) };
    assert_eq!(client.call(4, &request).await.topics[0].error_code, 3);
    assert_eq!(client.call(4, &of(&["bad name"])).await.topics[0].error_code, 17);

    let broker = tramline_broker::Options { auto_create_topics: false, ..options() };
    let node = Node::start_with(broker, tramline_kafka::Options::default()).await;
    let mut client = node.client().await;
    assert_eq!(client.call(12, &of(&["no"])).await.topics[0].error_code, 3);
    assert!(node.broker.topics().is_empty());
}

#[tokio::test]
async fn all_topics_and_none_are_told_apart() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("a", 1, &[]).await;
    client.create("b", 1, &[]).await;
    assert_eq!(client.call(0, &of(&[])).await.topics.len(), 2, "v0 asks for all with none");
    assert_eq!(client.call(1, &of(&[])).await.topics.len(), 0);
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    for version in 1..=13 {
        assert_eq!(client.call(version, &all).await.topics.len(), 2, "v{version}");
    }
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let id = node.broker.topic(&TopicName::parse("t").unwrap()).unwrap().id().0;
    let by_id = |topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id, name: None }]),
        ..MetadataRequest::default()
    };
    let response = client.call(12, &by_id(id)).await;
    assert_eq!(response.topics[0].name.as_ref().unwrap(), &"t");
    assert_eq!(response.topics[0].topic_id, id);
    let response = client.call(12, &by_id([5; 16])).await;
    assert_eq!((response.topics[0].error_code, &response.topics[0].name), (100, &None));
}

/// Every place that tells an address.
async fn addresses(client: &mut crate::support::Client) -> Vec<(String, i32)> {
    let metadata = client.call(12, &of(&[])).await;
    let cluster = client.call(2, &DescribeClusterRequest::default()).await;
    let one = FindCoordinatorRequest { key: text("g"), ..FindCoordinatorRequest::default() };
    let one = client.call(3, &one).await;
    let several = FindCoordinatorRequest {
        coordinator_keys: vec![text("g")],
        ..FindCoordinatorRequest::default()
    };
    let several = client.call(6, &several).await;
    assert_eq!((one.error_code, several.coordinators[0].error_code), (0, 0));
    assert_eq!(metadata.cluster_id.as_ref().unwrap().len(), 22);
    assert_eq!(metadata.cluster_id.unwrap(), cluster.cluster_id);
    vec![
        (metadata.brokers[0].host.to_string(), metadata.brokers[0].port),
        (cluster.brokers[0].host.to_string(), cluster.brokers[0].port),
        (one.host.to_string(), one.port),
        (several.coordinators[0].host.to_string(), several.coordinators[0].port),
    ]
}

#[tokio::test]
async fn address_told_is_the_one_that_the_client_came_by() {
    let node = Node::start().await;
    let came_by = ("127.0.0.1".to_owned(), i32::from(node.address.port()));
    let mut client = node.client().await;
    assert_eq!(addresses(&mut client).await, vec![came_by; 4]);
}

#[tokio::test]
async fn advertised_address_leads_back_through_a_forwarded_port() {
    let forward = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = forward.local_addr().unwrap().port();
    let kafka = tramline_kafka::Options {
        advertised: Some(("localhost".to_owned(), port)),
        ..tramline_kafka::Options::default()
    };
    let node = Node::start_with(options(), kafka).await;
    let target = node.address;
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = forward.accept().await {
            let mut outbound = TcpStream::connect(target).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut inbound, &mut outbound).await });
        }
    });
    let mut client = crate::support::Client::connect(([127, 0, 0, 1], port).into()).await;
    let told = addresses(&mut client).await;
    assert_eq!(told, vec![("localhost".to_owned(), i32::from(port)); 4]);
}

#[tokio::test]
async fn coordinators_of_transactions_and_shares_are_refused_for_good() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for (key_type, code) in [(1, 53), (2, 42)] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec![text("x")],
            ..FindCoordinatorRequest::default()
        };
        let response = client.call(6, &request).await;
        assert_eq!(response.coordinators[0].error_code, code);
    }
    let controllers =
        DescribeClusterRequest { endpoint_type: 2, ..DescribeClusterRequest::default() };
    assert_eq!(client.call(2, &controllers).await.error_code, 114);
}

//! One process that plays several brokers.

use crate::support::{Client, batch_of, options, produce, text};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tramline_broker::{Broker, SystemClock};
use tramline_store::MemoryStore;
use tramline_wire::kafka::{
    describe_cluster::DescribeClusterRequest,
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    find_coordinator::FindCoordinatorRequest,
    heartbeat::HeartbeatRequest,
    list_groups::ListGroupsRequest,
    metadata::{MetadataRequest, MetadataRequestTopic},
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
};

/// Three nodes; the sender keeps them alive.
async fn three() -> (Vec<SocketAddr>, watch::Sender<bool>) {
    let store = Arc::new(MemoryStore::new());
    let broker = Broker::start(store, Arc::new(SystemClock::new()), options()).await.unwrap();
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let (stop, stopping) = watch::channel(false);
    let options = tramline_kafka::Options::default();
    tokio::spawn(tramline_kafka::serve_nodes(listeners, broker, options, stopping));
    (addresses, stop)
}

/// The leader of each partition, as one node tells it.
async fn leaders(client: &mut Client, addresses: &[SocketAddr]) -> BTreeMap<i32, usize> {
    let topic = MetadataRequestTopic { name: Some(text("t")), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    let answer = client.call(12, &request).await;
    let ports: Vec<_> = answer.brokers.iter().map(|it| (it.node_id, it.port)).collect();
    let expected = addresses.iter().map(|address| i32::from(address.port()));
    assert_eq!(ports, (0..).zip(expected).collect::<Vec<_>>());
    assert_eq!(answer.controller_id, 0);
    let partitions = answer.topics[0].partitions.iter();
    partitions
        .map(|it| {
            assert_eq!(
                (&it.replica_nodes, &it.isr_nodes),
                (&vec![it.leader_id], &vec![it.leader_id])
            );
            (it.partition_index, usize::try_from(it.leader_id).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn partitions_are_led_by_one_node_each_and_refused_by_the_others() {
    let (addresses, _stop) = three().await;
    let mut clients = Vec::new();
    for address in &addresses {
        clients.push(Client::connect(*address).await);
    }
    clients[1].create("t", 6, &[]).await;
    let known = leaders(&mut clients[0], &addresses).await;
    assert_eq!(leaders(&mut clients[2], &addresses).await, known);
    for node in 0..3 {
        assert_eq!(known.values().filter(|leader| **leader == node).count(), 2);
    }
    for (partition, leader) in known {
        for (node, client) in clients.iter_mut().enumerate() {
            let code = if node == leader { 0 } else { 6 };
            let answer = client.call(12, &produce("t", partition, Some(batch_of(1)))).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, code);
            let wanted = FetchPartition {
                partition,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            };
            let topic =
                FetchTopic { topic: "t".into(), partitions: vec![wanted], ..FetchTopic::default() };
            let fetch = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
            let answer = client.call(12, &fetch).await;
            assert_eq!(answer.responses[0].partitions[0].error_code, code);
        }
    }
    let request = DescribeClusterRequest { endpoint_type: 1, ..Default::default() };
    let cluster = clients[2].call(2, &request).await;
    assert_eq!(cluster.brokers.len(), 3);
}

#[tokio::test]
async fn groups_are_coordinated_by_one_node_each() {
    let (addresses, _stop) = three().await;
    let mut clients = Vec::new();
    for address in &addresses {
        clients.push(Client::connect(*address).await);
    }
    clients[0].create("t", 1, &[]).await;
    let mut coordinators = std::collections::BTreeSet::new();
    for group in (0..12).map(|n| format!("g{n}")) {
        let request = FindCoordinatorRequest { key: text(&group), ..Default::default() };
        let found = clients[0].call(3, &request).await;
        let place = usize::try_from(found.node_id).unwrap();
        assert_eq!(found.port, i32::from(addresses[place].port()));
        coordinators.insert(place);
        for (node, client) in clients.iter_mut().enumerate() {
            let beat = HeartbeatRequest { group_id: text(&group), ..Default::default() };
            let code = client.call(3, &beat).await.error_code;
            assert_eq!(code, if node == place { 25 } else { 16 });
        }
        let partition = OffsetCommitRequestPartition { committed_offset: 0, ..Default::default() };
        let topic = OffsetCommitRequestTopic {
            name: text("t"),
            partitions: vec![partition],
            ..Default::default()
        };
        let commit = OffsetCommitRequest {
            group_id: text(&group),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let answer = clients[place].call(7, &commit).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    assert_eq!(coordinators.len(), 3);
    let mut listed = Vec::new();
    for client in &mut clients {
        listed.push(client.call(4, &ListGroupsRequest::default()).await.groups.len());
    }
    assert_eq!(listed.iter().sum::<usize>(), 12, "each node lists its own: {listed:?}");
}

"""One process that plays three brokers: a client finds each leader and each coordinator."""

import pytest

from kafka_client import Clients, SECONDS, read, send, values


@pytest.fixture(scope="module")
def cluster(start_any):
    return start_any(
        {"groups": {"initial_rebalance_delay": "0s"}, "kafka": {"virtual_brokers": 3}}
    )


@pytest.fixture
def cluster_clients(cluster):
    with Clients(cluster) as clients:
        yield clients


def test_leaders_are_spread_and_there_is_one_copy(cluster_clients, name):
    topic = cluster_clients.create_topic(name, partitions=6)
    metadata = cluster_clients.admin().list_topics(topic, SECONDS)
    assert sorted(metadata.brokers) == [0, 1, 2]
    ports = {broker.port for broker in metadata.brokers.values()}
    assert len(ports) == 3
    partitions = metadata.topics[topic].partitions.values()
    assert sorted(partition.leader for partition in partitions) == [0, 0, 1, 1, 2, 2]
    assert all(partition.replicas == [partition.leader] for partition in partitions)


def test_messages_go_to_and_come_from_every_leader(cluster_clients, name):
    topic = cluster_clients.create_topic(name, partitions=6)
    sent = [b"%d" % n for n in range(600)]
    send(cluster_clients.producer(), topic, sent, partition=lambda n: n % 6)
    for partition in range(6):
        reader = cluster_clients.reader(topic, partition)
        assert values(read(reader, 100)) == sent[partition::6]


def test_groups_find_their_coordinator(cluster_clients, name):
    topic = cluster_clients.create_topic(name, partitions=6)
    send(cluster_clients.producer(), topic, [b"%d" % n for n in range(60)], partition=lambda n: n % 6)
    for group in range(5):
        member = cluster_clients.consumer(f"{name}-{group}")
        member.subscribe([topic])
        assert len(read(member, 60)) == 60
        member.commit(asynchronous=False)
        cluster_clients.close(member)


def test_the_start_warns(cluster):
    assert "replicas are simulated" in cluster.log()

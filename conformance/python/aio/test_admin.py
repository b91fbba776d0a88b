"""Administration: topics, their settings and partitions, groups, records."""

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError

from waits import numbers, read, send, values

UNKNOWN_TOPIC, TOPIC_EXISTS, INVALID_REPLICATION, INVALID_CONFIG = 3, 36, 38, 40


async def settings(admin, topic):
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (resource,) = response.resources
    return {entry[0]: entry[1] for entry in resource[4]}


async def test_a_topic_is_created_listed_described_and_deleted(clients, name):
    admin = await clients.admin()
    new = NewTopic(name, 3, 1)
    assert (await admin.create_topics([new], validate_only=True)).topic_errors[0][1] == 0
    assert name not in await admin.list_topics()
    assert (await admin.create_topics([new])).topic_errors[0][1] == 0
    assert (await admin.create_topics([new])).topic_errors[0][1] == TOPIC_EXISTS
    assert name in await admin.list_topics()
    (described,) = await admin.describe_topics([name])
    assert len(described["partitions"]) == 3
    assert (await admin.delete_topics([name])).topic_error_codes == [(name, 0)]
    assert (await admin.delete_topics([name])).topic_error_codes == [(name, UNKNOWN_TOPIC)]


async def test_more_replicas_than_there_are_copies_are_refused(clients, name):
    response = await (await clients.admin()).create_topics([NewTopic(name, 1, 3)])
    assert response.topic_errors[0][1] == INVALID_REPLICATION


async def test_partitions_are_added_but_not_removed(clients, name):
    await clients.create_topic(name, partitions=2)
    admin = await clients.admin()
    grown = await admin.create_partitions({name: NewPartitions(5)})
    assert grown.topic_errors[0][1] == 0
    with pytest.raises(InvalidPartitionsError):
        await admin.create_partitions({name: NewPartitions(3)})
    (described,) = await admin.describe_topics([name])
    assert len(described["partitions"]) == 5


async def test_settings_of_a_topic_are_described_and_altered(clients, name):
    await clients.create_topic(name, retention_ms=86_400_000)
    admin = await clients.admin()
    assert (await settings(admin, name))["retention.ms"] == "86400000"
    change = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.bytes": "1000000"})
    (response,) = await admin.alter_configs([change])
    assert response.resources[0][0] == 0
    after = await settings(admin, name)
    assert after["retention.bytes"] == "1000000"
    assert after["retention.ms"] == "604800000"  # AlterConfigs replaces all.
    wrong = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "soon"})
    (response,) = await admin.alter_configs([wrong])
    assert response.resources[0][0] == INVALID_CONFIG


async def test_the_cluster_is_described(clients):
    described = await (await clients.admin()).describe_cluster()
    assert len(described["cluster_id"]) == 22
    (node,) = described["brokers"]
    assert f"{node['host']}:{node['port']}" == clients.broker.kafka
    assert described["controller_id"] == node["node_id"]


async def test_groups_are_listed_described_and_their_offsets_told(clients, name):
    topic = await clients.create_topic(name)
    await send(await clients.producer(), topic, numbers(0, 3))
    member = await clients.consumer(topic, group_id=name)
    await read(member, 3)
    await member.commit()
    admin = await clients.admin()
    assert (name, "consumer") in await admin.list_consumer_groups()
    (described,) = await admin.describe_consumer_groups([name])
    error, group, state, _kind, protocol, members = described.groups[0][:6]
    assert (error, group, state, protocol, len(members)) == (0, name, "Stable", "roundrobin", 1)
    offsets = await admin.list_consumer_group_offsets(name)
    assert offsets[TopicPartition(topic, 0)].offset == 3


async def test_records_below_an_offset_are_deleted(clients, name):
    topic = await clients.create_topic(name)
    await send(await clients.producer(), topic, numbers(0, 10))
    place = TopicPartition(topic, 0)
    deleted = await (await clients.admin()).delete_records({place: RecordsToDelete(before_offset=6)})
    assert deleted == {place: 6}
    reader = await clients.consumer(topic)
    assert values(await read(reader, 4)) == numbers(6, 10)

"""Administration: topics, their settings and partitions, groups and their offsets."""

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import ConfigResource, NewPartitions, NewTopic

from kafka_client import SECONDS, error_of, read, send, until


def topics(clients):
    return clients.admin().list_topics(timeout=SECONDS).topics


def settings_of(clients, kind, name):
    resource = ConfigResource(kind, name)
    return clients.admin().describe_configs([resource])[resource].result(SECONDS)


@pytest.fixture
def group(clients, name):
    """A group with one member, on a topic of the same name with two partitions."""
    topic = clients.create_topic(name, partitions=2)
    send(clients.producer(), topic, [b"a", b"b"], partition=lambda n: n % 2)
    consumer = clients.consumer(group=name, client_id="the-member")
    consumer.subscribe([topic])
    read(consumer, 2)
    consumer.commit(asynchronous=False)
    return name


def test_a_topic_is_created_listed_and_deleted(clients, name):
    clients.create_topic(name, partitions=3)
    assert len(topics(clients)[name].partitions) == 3
    clients.admin().delete_topics([name])[name].result(SECONDS)
    assert name not in topics(clients)


def test_several_topics_are_created_each_with_its_own_outcome(clients, name):
    clients.create_topic(f"{name}-2")
    names = [f"{name}-{n}" for n in range(4)]
    futures = clients.admin().create_topics([NewTopic(one, 1, 1) for one in names])
    codes = [error_of(futures[one]) for one in names]
    exists = KafkaError.TOPIC_ALREADY_EXISTS
    assert codes == [KafkaError.NO_ERROR, KafkaError.NO_ERROR, exists, KafkaError.NO_ERROR]


def test_a_topic_without_numbers_gets_the_brokers_defaults(clients, name):
    new = NewTopic(name, num_partitions=-1, replication_factor=-1)
    clients.admin().create_topics([new])[name].result(SECONDS)
    assert len(topics(clients)[name].partitions) == 1


def test_validation_alone_creates_nothing(clients, name):
    new = NewTopic(name, 1, 1)
    clients.admin().create_topics([new], validate_only=True)[name].result(SECONDS)
    assert name not in topics(clients)


def test_a_deleted_topics_name_starts_empty_again(clients, name):
    clients.create_topic(name)
    send(clients.producer(), name, [b"old"])
    clients.admin().delete_topics([name])[name].result(SECONDS)
    clients.create_topic(name)
    (sent,) = send(clients.producer(), name, [b"new"])
    assert sent.offset() == 0
    assert read(clients.reader(name), 1)[0].value() == b"new"


def test_an_unknown_topic_cannot_be_deleted(clients, name):
    future = clients.admin().delete_topics([name])[name]
    assert error_of(future) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_partitions_are_added_but_not_removed(clients, name):
    clients.create_topic(name, partitions=2)
    send(clients.producer(), name, [b"kept"], partition=1)
    admin = clients.admin()
    admin.create_partitions([NewPartitions(name, 5)])[name].result(SECONDS)
    assert len(topics(clients)[name].partitions) == 5
    for total in (5, 3, 0):
        future = admin.create_partitions([NewPartitions(name, total)])[name] if total else None
        assert future is None or error_of(future) == KafkaError.INVALID_PARTITIONS
    assert read(clients.reader(name, partition=1), 1)[0].value() == b"kept"
    send(clients.producer(), name, [b"new"], partition=4)


def test_topic_settings_are_described_with_default_and_source(clients, name):
    clients.create_topic(name, retention_ms=86_400_000)
    settings = settings_of(clients, "topic", name)
    assert settings["retention.ms"].value == "86400000"
    assert not settings["retention.ms"].is_default
    assert settings["cleanup.policy"].value == "delete"
    assert settings["cleanup.policy"].is_default
    assert settings["max.message.bytes"].value == "1048588"
    assert settings["message.timestamp.type"].value == "CreateTime"
    assert {"compression.type", "retention.bytes", "segment.bytes"} <= set(settings)


def test_broker_settings_are_described(clients):
    (node,) = clients.admin().list_topics(timeout=SECONDS).brokers
    settings = settings_of(clients, "broker", str(node))
    assert settings["num.partitions"].value == "1"
    assert settings["auto.create.topics.enable"].value == "true"


def test_settings_of_an_unknown_topic_are_refused(clients, name):
    resource = ConfigResource("topic", name)
    future = clients.admin().describe_configs([resource])[resource]
    assert error_of(future) == KafkaError.UNKNOWN_TOPIC_OR_PART


@pytest.mark.since("2.3")
def test_a_setting_is_altered_alone_and_reset(clients, name):
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    def alter(setting, value, operation):
        entry = ConfigEntry(setting, value, incremental_operation=operation)
        resource = ConfigResource("topic", name, incremental_configs=[entry])
        return clients.admin().incremental_alter_configs([resource])[resource]

    clients.create_topic(name, retention_bytes=1_000_000_000)
    alter("retention.ms", "60000", AlterConfigOpType.SET).result(SECONDS)
    settings = settings_of(clients, "topic", name)
    assert settings["retention.ms"].value == "60000"
    assert settings["retention.bytes"].value == "1000000000"
    alter("retention.ms", None, AlterConfigOpType.DELETE).result(SECONDS)
    settings = settings_of(clients, "topic", name)
    assert settings["retention.ms"].value == "604800000"
    assert settings["retention.ms"].is_default
    refused = alter("retention.ms", "soon", AlterConfigOpType.SET)
    assert error_of(refused) == KafkaError.INVALID_CONFIG


def test_groups_are_listed_and_described(clients, group):
    admin = clients.admin()
    listed = admin.list_consumer_groups(request_timeout=SECONDS).result(SECONDS)
    assert group in [one.group_id for one in listed.valid]
    described = admin.describe_consumer_groups([group])[group].result(SECONDS)
    assert described.state.name == "STABLE"
    assert described.partition_assignor == "range"
    (member,) = described.members
    assert member.client_id == "the-member"
    assert "127.0.0.1" in member.host
    assert len(member.assignment.topic_partitions) == 2


def test_groups_are_listed_by_state(clients, group):
    from confluent_kafka import ConsumerGroupState

    def listed(state):
        future = clients.admin().list_consumer_groups(states={state}, request_timeout=SECONDS)
        return [one.group_id for one in future.result(SECONDS).valid]

    assert group in listed(ConsumerGroupState.STABLE)
    assert group not in listed(ConsumerGroupState.EMPTY)


def test_an_unknown_group_is_described_as_dead_or_refused(clients, name):
    """Up to DescribeGroups version 5 it is dead; from version 6 on an error says so."""
    future = clients.admin().describe_consumer_groups([name])[name]
    code = error_of(future)
    assert code == KafkaError.GROUP_ID_NOT_FOUND or future.result().state.name == "DEAD"


def test_committed_offsets_are_listed_and_altered(clients, group):
    def offsets():
        request = [ConsumerGroupTopicPartitions(group)]
        future = clients.admin().list_consumer_group_offsets(request)[group]
        found = future.result(SECONDS).topic_partitions
        return {(one.topic, one.partition): one.offset for one in found}

    assert offsets() == {(group, 0): 1, (group, 1): 1}
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(group, 0, 0)])
    in_use = clients.admin().alter_consumer_group_offsets([change])[group].result(SECONDS)
    assert in_use.topic_partitions[0].error.code() == KafkaError.UNKNOWN_MEMBER_ID
    clients.close(clients.consumers[0])
    until(lambda: state(clients, group) == "EMPTY")
    clients.admin().alter_consumer_group_offsets([change])[group].result(SECONDS)
    assert offsets() == {(group, 0): 0, (group, 1): 1}


def state(clients, group):
    future = clients.admin().describe_consumer_groups([group])[group]
    return future.result(SECONDS).state.name


def test_a_group_is_deleted_when_it_is_empty(clients, group):
    def delete():
        return error_of(clients.admin().delete_consumer_groups([group])[group])

    assert delete() == KafkaError.NON_EMPTY_GROUP
    clients.close(clients.consumers[0])
    until(lambda: state(clients, group) == "EMPTY")
    assert delete() == KafkaError.NO_ERROR
    assert delete() == KafkaError.GROUP_ID_NOT_FOUND
    listed = clients.admin().list_consumer_groups(request_timeout=SECONDS).result(SECONDS)
    assert group not in [one.group_id for one in listed.valid]


@pytest.mark.since("2.3")
def test_the_cluster_is_described(clients):
    cluster = clients.admin().describe_cluster().result(SECONDS)
    assert len(cluster.cluster_id) == 22
    (node,) = cluster.nodes
    assert f"{node.host}:{node.port}" == clients.address
    assert cluster.controller.id == node.id


@pytest.mark.since("2.3")
def test_topics_are_described_with_their_ids(clients, name):
    from confluent_kafka import TopicCollection

    clients.create_topic(name, partitions=2)
    future = clients.admin().describe_topics(TopicCollection([name]))[name]
    described = future.result(SECONDS)
    assert described.name == name
    assert not described.is_internal
    assert len(described.partitions) == 2
    assert str(described.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA")


@pytest.mark.since("2.3")
@pytest.mark.parametrize(
    "spec, offset",
    [("earliest", 0), ("latest", 3), ("max_timestamp", 1), ("for_timestamp", 1)],
)
def test_offsets_are_listed_by_specification(clients, name, spec, offset):
    from confluent_kafka.admin import OffsetSpec

    clients.create_topic(name)
    stamps = [100_000, 900_000, 500_000]
    for stamp in stamps:
        send(clients.producer(), name, [b"v"], timestamp=stamp)
    wanted = OffsetSpec.for_timestamp(400_000) if spec == "for_timestamp" else getattr(OffsetSpec, spec)()
    partition = TopicPartition(name, 0)
    found = clients.admin().list_offsets({partition: wanted})[partition].result(SECONDS)
    assert found.offset == offset

"""Groups and their rebalances; what is refused; restarts."""

import pytest
from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import CommitFailedError, KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from waits import numbers, read, read_nothing, send, until, values


@pytest.fixture
def ten(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, numbers(0, 10))
    return topic


def commit(consumer, topic, offset, metadata=""):
    consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(offset, metadata, -1)})


def test_a_commit_is_read_back_and_resumed_from(clients, ten, name):
    place = TopicPartition(ten, 0)
    first = clients.consumer(ten, group_id=name)
    read(first, 4)
    assert first.committed(place) is None
    commit(first, ten, 4, "four")
    assert first.committed(place, metadata=True)[:2] == (4, "four")
    clients.close(first)
    second = clients.consumer(ten, group_id=name)
    assert values(read(second, 6)) == numbers(4, 10)


def test_offsets_are_committed_automatically(clients, ten, name):
    settings = {"enable_auto_commit": True, "auto_commit_interval_ms": 100}
    consumer = clients.consumer(ten, group_id=name, **settings)
    read(consumer, 10)
    until(lambda: consumer.committed(TopicPartition(ten, 0)) == 10, [consumer])


ASSIGNORS = [RangePartitionAssignor, RoundRobinPartitionAssignor]


@pytest.mark.parametrize("assignor", ASSIGNORS, ids=lambda one: one.name)
def test_two_members_share_the_partitions_and_the_one_left_takes_all(clients, name, assignor):
    topic = clients.create_topic(name, partitions=4)
    settings = {"group_id": name, "partition_assignment_strategy": (assignor,)}
    first = clients.consumer(topic, **settings)
    until(lambda: len(first.assignment()) == 4, [first])
    second = clients.consumer(topic, **settings)
    both = [first, second]
    until(lambda: len(first.assignment()) == len(second.assignment()) == 2, both)
    assert not first.assignment() & second.assignment()
    send(clients.producer(), topic, numbers(0, 40), partition=lambda n: n % 4)
    for member in both:
        came = read(member, 20)
        assert {TopicPartition(topic, one.partition) for one in came} == member.assignment()
    clients.close(second)
    until(lambda: len(first.assignment()) == 4, [first])


def test_a_static_member_comes_back_without_a_rebalance(clients, name):
    topic = clients.create_topic(name, partitions=4)

    def join(instance):
        return clients.consumer(topic, group_id=name, group_instance_id=instance)

    first, second = join("one"), join("two")
    both = [first, second]
    until(lambda: len(first.assignment()) == len(second.assignment()) == 2, both)
    had, generation = second.assignment(), first.group_metadata().generation_id
    clients.close(second)  # A static member does not leave.
    again = join("two")
    until(lambda: len(again.assignment()) == 2, [first, again])
    until(lambda: True, [first])
    assert again.assignment() == had
    assert first.group_metadata().generation_id == generation


def test_a_message_above_the_limit_is_refused_and_the_next_is_taken(clients, name):
    topic = clients.create_topic(name, max_message_bytes=2000)
    # An idempotent producer of kafka-python gives up after it.
    producer = clients.producer(enable_idempotence=False)
    with pytest.raises(MessageSizeTooLargeError):
        send(producer, topic, [b"x" * 3000])
    send(producer, topic, [b"small"])
    assert values(read(clients.reader(topic), 1)) == [b"small"]


@pytest.mark.parametrize("reset, expected", [("earliest", 0), ("latest", 10)])
def test_an_offset_out_of_range_is_reset_as_the_client_asks(clients, ten, reset, expected):
    reader = clients.reader(ten, offset=5000, auto_offset_reset=reset)
    if reset == "latest":
        read_nothing(reader)
    send(clients.producer(), ten, [b"later"])
    assert read(reader, 1)[0].offset == expected


def test_an_offset_out_of_range_is_an_error_where_the_client_does_not_reset(clients, ten):
    reader = clients.reader(ten, offset=5000, auto_offset_reset="none")
    with pytest.raises(OffsetOutOfRangeError):
        until(lambda: False, [reader])


def test_a_commit_from_outside_a_group_with_members_is_refused(clients, ten, name):
    read(clients.consumer(ten, group_id=name), 1)
    other = clients.consumer(group_id=name)
    other.assign([TopicPartition(ten, 0)])
    with pytest.raises(CommitFailedError):
        commit(other, ten, 1)


WAYS = ["stop", "kill"]


def restart(broker, how):
    getattr(broker, how)()
    broker.start()


@pytest.mark.parametrize("how", WAYS)
def test_an_idempotent_producer_goes_on_without_gap_or_double(own_clients, name, how):
    topic = own_clients.create_topic(name)
    producer = own_clients.producer(enable_idempotence=True)
    for start in (0, 100, 200):
        send(producer, topic, numbers(start, start + 100))
        restart(own_clients.broker, how)
    reader = own_clients.reader(topic)
    assert values(read(reader, 300)) == numbers(0, 300)
    read_nothing(reader)


@pytest.mark.parametrize("how", WAYS)
def test_a_member_goes_on_and_its_successor_resumes(own_clients, name, how):
    topic = own_clients.create_topic(name)
    producer = own_clients.producer()
    send(producer, topic, numbers(0, 10))
    first = own_clients.consumer(topic, group_id=name)
    read(first, 10)
    first.commit()
    restart(own_clients.broker, how)
    send(producer, topic, numbers(10, 20))
    came = set()
    while len(came) < 10:  # Forgotten by the broker, it may read again from its commit.
        came.update(values(read(first, 1)))
    assert came == set(numbers(10, 20))

    def committed():
        try:
            commit(first, topic, 20)
            return first.committed(TopicPartition(topic, 0)) == 20
        except KafkaError:
            return False  # It joins again.

    until(committed, [first])
    own_clients.close(first)
    restart(own_clients.broker, how)
    send(producer, topic, numbers(20, 25))
    second = own_clients.consumer(topic, group_id=name)
    assert values(read(second, 5)) == numbers(20, 25)

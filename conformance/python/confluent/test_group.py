"""Consumer groups: commits, rebalances of every kind, static members."""

import os
import signal
import subprocess
import sys
import time

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from kafka_client import SECONDS, next_error, read, read_nothing, send, until, values

EAGER = ["range", "roundrobin"]
STRATEGIES = [*EAGER, "cooperative-sticky"]


@pytest.fixture
def four(clients, name):
    """A topic of four partitions with 25 messages each; value n in partition n % 4."""
    topic = clients.create_topic(name, partitions=4)
    send(clients.producer(), topic, [b"%d" % n for n in range(100)], partition=lambda n: n % 4)
    return topic


def assigned(consumer):
    return {partition.partition for partition in consumer.assignment()}


def committed(consumer, topic, partition=0):
    (found,) = consumer.committed([TopicPartition(topic, partition)], SECONDS)
    assert found.error is None
    return found.offset


def test_a_commit_is_read_back_and_resumed_from(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"%d" % n for n in range(10)])
    first = clients.consumer(group=name)
    first.subscribe([topic])
    messages = read(first, 4)
    assert committed(first, topic) == OFFSET_INVALID
    first.commit(messages[-1], asynchronous=False)
    assert committed(first, topic) == 4
    clients.close(first)
    second = clients.consumer(group=name)
    second.subscribe([topic])
    assert values(read(second, 6)) == [b"%d" % n for n in range(4, 10)]


def test_groups_do_not_share_offsets(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"a", b"b"])
    for group in (f"{name}-1", f"{name}-2"):
        consumer = clients.consumer(group=group)
        consumer.subscribe([topic])
        assert values(read(consumer, 2)) == [b"a", b"b"]
        consumer.commit(asynchronous=False)


def test_commits_without_membership_are_kept(clients, name):
    topic = clients.create_topic(name, partitions=2)
    consumer = clients.consumer(group=name)
    offsets = [TopicPartition(topic, 0, 7), TopicPartition(topic, 1, 9)]
    consumer.commit(offsets=offsets, asynchronous=False)
    assert [committed(consumer, topic, partition) for partition in (0, 1)] == [7, 9]
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    assert [committed(consumer, topic, partition) for partition in (0, 1)] == [3, 9]


@pytest.mark.since("2.3")
def test_commit_metadata_comes_back(clients, name):
    topic = clients.create_topic(name)
    consumer = clients.consumer(group=name)
    offset = TopicPartition(topic, 0, 7, metadata="here and no further: ö")
    consumer.commit(offsets=[offset], asynchronous=False)
    (found,) = consumer.committed([TopicPartition(topic, 0)], SECONDS)
    assert (found.offset, found.metadata) == (7, "here and no further: ö")


def test_automatic_commits_happen(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"a", b"b"])
    consumer = clients.consumer(group=name, enable_auto_commit=True, auto_commit_interval_ms=100)
    consumer.subscribe([topic])
    read(consumer, 2)
    until(lambda: committed(consumer, topic) == 2, [consumer])


def test_without_a_commit_a_group_starts_where_its_reset_policy_says(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"old"])
    latest = clients.consumer(group=f"{name}-latest", auto_offset_reset="latest")
    latest.subscribe([topic])
    until(lambda: latest.assignment(), [latest])
    read_nothing(latest)
    earliest = clients.consumer(group=f"{name}-earliest", auto_offset_reset="earliest")
    earliest.subscribe([topic])
    assert values(read(earliest, 1)) == [b"old"]


def test_without_a_commit_and_a_policy_there_is_an_error(clients, name):
    topic = clients.create_topic(name)
    consumer = clients.consumer(group=name, auto_offset_reset="error")
    consumer.subscribe([topic])
    assert next_error(consumer).code() == KafkaError._AUTO_OFFSET_RESET


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_members_share_and_one_inherits(clients, four, strategy):
    group = f"{four}-group"
    settings = {"group": group, "partition_assignment_strategy": strategy}
    first = clients.consumer(**settings)
    first.subscribe([four])
    until(lambda: assigned(first) == {0, 1, 2, 3}, [first])
    second = clients.consumer(**settings)
    second.subscribe([four])
    pair = [first, second]
    until(lambda: len(assigned(first)) == len(assigned(second)) == 2, pair)
    assert assigned(first) | assigned(second) == {0, 1, 2, 3}
    clients.close(first)
    until(lambda: assigned(second) == {0, 1, 2, 3}, [second])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_message_comes_once_over_a_rebalance_with_commits(clients, four, strategy):
    """Commits on revocation: what one member has read, the next does not read again."""
    settings = {"group": f"{four}-group", "partition_assignment_strategy": strategy}
    came = []

    def revoke(consumer, partitions):
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                raise

    first = clients.consumer(**settings)
    first.subscribe([four], on_revoke=revoke)
    came += read(first, 40)
    second = clients.consumer(**settings)
    second.subscribe([four], on_revoke=revoke)
    pair = [first, second]
    came += until(lambda: len(assigned(first)) == len(assigned(second)) == 2, pair)
    send(clients.producer(), four, [b"%d" % n for n in range(100, 140)], partition=lambda n: n % 4)
    deadline = time.monotonic() + SECONDS
    while len(came) < 140 and time.monotonic() < deadline:
        came += [m for c in pair if (m := c.poll(0.05)) is not None and not m.error()]
    assert sorted(int(message.value()) for message in came) == list(range(140))


def test_a_third_member_without_a_partition_stays_idle(clients, name):
    topic = clients.create_topic(name, partitions=2)
    members = [clients.consumer(group=name) for _ in range(3)]
    for member in members:
        member.subscribe([topic])
    sizes = lambda: sorted(len(assigned(member)) for member in members)
    until(lambda: sizes() == [0, 1, 1], members)


def test_new_partitions_are_given_out(clients, name):
    topic = clients.create_topic(name)
    consumer = clients.consumer(group=name, topic_metadata_refresh_interval_ms=300)
    consumer.subscribe([topic])
    until(lambda: assigned(consumer) == {0}, [consumer])
    from confluent_kafka.admin import NewPartitions

    clients.admin().create_partitions([NewPartitions(topic, 3)])[topic].result(SECONDS)
    until(lambda: assigned(consumer) == {0, 1, 2}, [consumer])


MEMBER = """
import sys
from confluent_kafka import Consumer
address, group, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": address, "group.id": group, "session.timeout.ms": 6000})
consumer.subscribe([topic])
for _ in range(300):
    consumer.poll(0.1)
    if consumer.assignment():
        print("assigned", flush=True)
"""


def test_a_member_that_dies_is_removed_after_its_session_timeout(clients, four):
    group = f"{four}-group"
    command = [sys.executable, "-c", MEMBER, clients.address, group, four]
    dying = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert dying.stdout.readline() == b"assigned\n"
        heir = clients.consumer(group=group)
        heir.subscribe([four])
        until(lambda: len(assigned(heir)) == 2, [heir])
        os.kill(dying.pid, signal.SIGKILL)
        died_at = time.monotonic()
        until(lambda: len(assigned(heir)) == 4, [heir])
        assert 3 < time.monotonic() - died_at < 50
    finally:
        dying.kill()
        dying.wait(SECONDS)
        dying.stdout.close()


def test_a_static_member_comes_back_without_a_rebalance(clients, four):
    group = f"{four}-group"
    rebalances = []
    note = lambda consumer, partitions: rebalances.append(len(partitions))
    first = clients.consumer(group=group, group_instance_id="first", session_timeout_ms=15_000)
    first.subscribe([four], on_assign=note, on_revoke=note)
    until(lambda: len(assigned(first)) == 4, [first])
    second = clients.consumer(group=group, group_instance_id="second", session_timeout_ms=15_000)
    second.subscribe([four])
    until(lambda: len(assigned(first)) == len(assigned(second)) == 2, [first, second])
    had, seen = assigned(second), len(rebalances)
    clients.close(second)
    again = clients.consumer(group=group, group_instance_id="second", session_timeout_ms=15_000)
    again.subscribe([four])
    until(lambda: len(assigned(again)) == 2, [first, again])
    until_quiet = time.monotonic() + 1.5
    until(lambda: time.monotonic() > until_quiet, [first, again])
    assert assigned(again) == had
    assert len(rebalances) == seen


def test_a_second_holder_of_an_instance_id_fences_the_first(clients, four):
    settings = {"group": f"{four}-group", "group_instance_id": "only"}
    first = clients.consumer(**settings)
    first.subscribe([four])
    until(lambda: len(assigned(first)) == 4, [first])
    second = clients.consumer(**settings)
    second.subscribe([four])
    until(lambda: len(assigned(second)) == 4, [second])
    error = next_error(first)
    assert error.code() in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID)


def test_members_without_a_common_strategy_are_refused(clients, four):
    group = f"{four}-group"
    first = clients.consumer(group=group, partition_assignment_strategy="range")
    first.subscribe([four])
    until(lambda: len(assigned(first)) == 4, [first])
    second = clients.consumer(group=group, partition_assignment_strategy="roundrobin")
    second.subscribe([four])
    assert next_error(second).code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL


def test_a_member_that_left_may_not_commit_for_the_group(clients, four):
    """A consumer outside a group that has members is refused, as its commit would undo theirs."""
    group = f"{four}-group"
    member = clients.consumer(group=group)
    member.subscribe([four])
    until(lambda: len(assigned(member)) == 4, [member])
    outsider = clients.consumer(group=group)
    with pytest.raises(KafkaException) as caught:
        outsider.commit(offsets=[TopicPartition(four, 0, 3)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID

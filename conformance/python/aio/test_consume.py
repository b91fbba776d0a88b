"""Reading: from the beginning, the end, an offset, a time; groups and their rebalances."""

import asyncio
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from waits import numbers, read, read_nothing, send, until, values

BASE = (int(time.time()) - 3600) * 1000


async def hundred(clients, name):
    """A topic of one partition: value n at offset n, at time BASE + 1000 n, in batches."""
    topic = await clients.create_topic(name)
    producer = await clients.producer(max_batch_size=400, linger_ms=20)
    await send(producer, topic, numbers(0, 100), timestamp_ms=lambda n: BASE + 1000 * n, partition=0)
    return topic


async def test_from_the_beginning(clients, name):
    consumer = await clients.consumer(await hundred(clients, name))
    assert values(await read(consumer, 100)) == numbers(0, 100)


async def test_from_the_end_only_later_messages_come(clients, name):
    topic = await hundred(clients, name)
    reader = await clients.reader(topic, offset="end")
    await read_nothing(reader)
    await send(await clients.producer(), topic, [b"later"])
    (message,) = await read(reader, 1)
    assert (message.offset, message.value) == (100, b"later")


@pytest.mark.parametrize("offset", [1, 37, 99])
async def test_from_an_offset_also_inside_a_batch(clients, name, offset):
    reader = await clients.reader(await hundred(clients, name), offset=offset)
    came = await read(reader, 100 - offset)
    assert [one.offset for one in came] == list(range(offset, 100))


async def test_offsets_are_found_by_time_and_at_both_ends(clients, name):
    topic = await hundred(clients, name)
    place = TopicPartition(topic, 0)
    consumer = await clients.consumer()
    wanted = {0: 0, BASE: 0, BASE + 1: 1, BASE + 37_000: 37, BASE + 37_001: 38}
    for stamp, offset in wanted.items():
        found = await consumer.offsets_for_times({place: stamp})
        assert found[place].offset == offset, stamp
    assert (await consumer.offsets_for_times({place: BASE + 99_001}))[place] is None
    assert await consumer.beginning_offsets([place]) == {place: 0}
    assert await consumer.end_offsets([place]) == {place: 100}


async def test_pause_and_resume(clients, name):
    topic = await hundred(clients, name)
    reader = await clients.reader(topic)
    await read(reader, 10)
    reader.pause(TopicPartition(topic, 0))
    await read_nothing(reader)
    reader.resume(TopicPartition(topic, 0))
    assert (await read(reader, 1))[0].offset == 10


async def test_small_fetches_lose_nothing(clients, name):
    reader = await clients.reader(await hundred(clients, name), max_partition_fetch_bytes=500)
    assert values(await read(reader, 100)) == numbers(0, 100)


async def test_a_waiting_fetch_is_answered_when_a_message_comes(clients, name):
    topic = await clients.create_topic(name)
    reader = await clients.reader(topic, fetch_max_wait_ms=30_000)
    await read_nothing(reader)
    sent_at = time.monotonic()
    await send(await clients.producer(), topic, [b"v"])
    await read(reader, 1)
    assert time.monotonic() - sent_at < 15


async def test_topics_are_subscribed_to_by_pattern(clients, name):
    producer = await clients.producer()
    for suffix in (".a", ".b", "-other"):
        topic = await clients.create_topic(name + suffix)
        await send(producer, topic, [suffix.encode()])
    consumer = await clients.consumer(group_id=name)
    consumer.subscribe(pattern=f"^{name}\\..*")
    assert sorted(values(await read(consumer, 2))) == [b".a", b".b"]


async def test_a_commit_is_read_back_and_resumed_from(clients, name):
    topic = await hundred(clients, name)
    place = TopicPartition(topic, 0)
    first = await clients.consumer(topic, group_id=name)
    await read(first, 40)
    assert await first.committed(place) is None
    await first.commit({place: (40, "forty")})
    assert await first.committed(place) == 40
    await clients.close(first)
    second = await clients.consumer(topic, group_id=name)
    assert values(await read(second, 60)) == numbers(40, 100)


async def test_offsets_are_committed_automatically(clients, name):
    topic = await hundred(clients, name)
    settings = {"enable_auto_commit": True, "auto_commit_interval_ms": 100}
    consumer = await clients.consumer(topic, group_id=name, **settings)
    await read(consumer, 100)

    async def committed():
        return await consumer.committed(TopicPartition(topic, 0)) == 100

    await until(committed)


ASSIGNORS = [RangePartitionAssignor, RoundRobinPartitionAssignor, StickyPartitionAssignor]


@pytest.mark.parametrize("assignor", ASSIGNORS, ids=lambda one: one.name)
async def test_two_members_share_the_partitions_and_the_one_left_takes_all(clients, name, assignor):
    topic = await clients.create_topic(name, partitions=4)
    settings = {"group_id": name, "partition_assignment_strategy": (assignor,)}
    first = await clients.consumer(topic, **settings)
    await until(lambda: len(first.assignment()) == 4)
    second = await clients.consumer(topic, **settings)
    await until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
    assert not first.assignment() & second.assignment()
    await send(await clients.producer(), topic, numbers(0, 40), partition=lambda n: n % 4)
    for member in (first, second):
        came = await read(member, 20)
        assert {TopicPartition(topic, one.partition) for one in came} == member.assignment()
    await clients.close(second)
    await until(lambda: len(first.assignment()) == 4)


async def test_a_static_member_comes_back_without_a_rebalance(clients, name):
    topic = await clients.create_topic(name, partitions=4)

    async def join(instance):
        settings = {"group_id": name, "group_instance_id": instance}
        return await clients.consumer(topic, **settings)

    first = await join("one")
    second = await join("two")
    await until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
    had, generation = second.assignment(), first._coordinator.generation
    await clients.close(second)  # A static member does not leave.
    again = await join("two")
    await until(lambda: len(again.assignment()) == 2)
    await asyncio.sleep(0.5)
    assert again.assignment() == had
    assert first._coordinator.generation == generation

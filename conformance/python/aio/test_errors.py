"""What is refused, and that the client goes on afterwards."""

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, MessageSizeTooLargeError, OffsetOutOfRangeError

from waits import numbers, read, read_nothing, send, values


async def test_a_message_above_the_limit_is_refused_and_the_next_is_taken(clients, name):
    topic = await clients.create_topic(name, max_message_bytes=2000)
    producer = await clients.producer()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, b"x" * 3000)
    await producer.send_and_wait(topic, b"small")
    assert values(await read(await clients.reader(topic), 1)) == [b"small"]


@pytest.mark.parametrize("reset, expected", [("earliest", 0), ("latest", 10)])
async def test_an_offset_out_of_range_is_reset_as_the_client_asks(clients, name, reset, expected):
    topic = await clients.create_topic(name)
    producer = await clients.producer()
    await send(producer, topic, numbers(0, 10))
    reader = await clients.reader(topic, offset=5000, auto_offset_reset=reset)
    if reset == "latest":
        await read_nothing(reader)
    await send(producer, topic, [b"later"])
    assert (await read(reader, 1))[0].offset == expected


async def test_an_offset_out_of_range_is_an_error_where_the_client_does_not_reset(clients, name):
    topic = await clients.create_topic(name)
    await send(await clients.producer(), topic, numbers(0, 10))
    reader = await clients.reader(topic, offset=5000, auto_offset_reset="none")
    with pytest.raises(OffsetOutOfRangeError):
        await reader.getone()


async def test_a_commit_from_outside_a_group_with_members_is_refused(clients, name):
    topic = await clients.create_topic(name)
    await send(await clients.producer(), topic, numbers(0, 1))
    member = await clients.consumer(topic, group_id=name)
    await read(member, 1)
    other = await clients.consumer(group_id=name)
    other.assign([TopicPartition(topic, 0)])
    with pytest.raises(CommitFailedError):
        await other.commit({TopicPartition(topic, 0): 1})

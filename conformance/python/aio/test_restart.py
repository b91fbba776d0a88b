"""Over a restart, clean or by kill -9, nothing acknowledged is lost and clients go on."""

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from waits import numbers, read, read_nothing, send, until, values

WAYS = ["stop", "kill"]


def restart(broker, how):
    getattr(broker, how)()
    broker.start()


@pytest.mark.parametrize("how", WAYS)
async def test_an_idempotent_producer_goes_on_without_gap_or_double(own_clients, name, how):
    topic = await own_clients.create_topic(name)
    producer = await own_clients.producer(enable_idempotence=True)
    for start in (0, 100, 200):
        await send(producer, topic, numbers(start, start + 100))
        restart(own_clients.broker, how)
    reader = await own_clients.reader(topic)
    assert values(await read(reader, 300)) == numbers(0, 300)
    await read_nothing(reader)


@pytest.mark.parametrize("how", WAYS)
async def test_a_member_goes_on_and_its_successor_resumes(own_clients, name, how):
    topic = await own_clients.create_topic(name)
    place = TopicPartition(topic, 0)
    producer = await own_clients.producer()
    await send(producer, topic, numbers(0, 10))
    first = await own_clients.consumer(topic, group_id=name)
    await read(first, 10)
    await first.commit()
    restart(own_clients.broker, how)
    await send(producer, topic, numbers(10, 20))
    came = set()
    while len(came) < 10:  # Forgotten by the broker, it may read again from its commit.
        came.update(values(await read(first, 1)))
    assert came == set(numbers(10, 20))

    async def committed():
        try:
            await first.commit({place: 20})
            return await first.committed(place) == 20
        except KafkaError:
            return False  # It joins again.

    await until(committed)
    await own_clients.close(first)
    restart(own_clients.broker, how)
    await send(producer, topic, numbers(20, 25))
    second = await own_clients.consumer(topic, group_id=name)
    assert values(await read(second, 5)) == numbers(20, 25)

"""aiokafka with bounded waits. A test may be a coroutine; its clients are closed at its end."""

import asyncio
import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

SECONDS = 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def run():
        try:
            await asyncio.wait_for(pyfuncitem.obj(**arguments), 50)
        finally:
            for clients in arguments.values():
                if isinstance(clients, Clients):
                    await clients.close_all()

    asyncio.run(run())
    return True


class Clients:
    """Makes clients of one broker and closes them at the end."""

    def __init__(self, broker):
        self.broker = broker
        self.open = []

    async def start(self, client):
        await asyncio.wait_for(client.start(), SECONDS)
        self.open.append(client)
        return client

    async def producer(self, **settings):
        base = {"bootstrap_servers": self.broker.kafka, "client_id": "conformance"}
        return await self.start(AIOKafkaProducer(**{**base, "retry_backoff_ms": 50, **settings}))

    async def consumer(self, *topics, **settings):
        base = {
            "bootstrap_servers": self.broker.kafka,
            "client_id": "conformance",
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "session_timeout_ms": 6000,
            "heartbeat_interval_ms": 300,
            "fetch_max_wait_ms": 200,
            "retry_backoff_ms": 50,
        }
        return await self.start(AIOKafkaConsumer(*topics, **{**base, **settings}))

    async def reader(self, topic, partition=0, offset=0, **settings):
        """A consumer of one partition from an offset, without a group."""
        consumer = await self.consumer(**settings)
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        if offset == "end":
            await consumer.seek_to_end(place)
        else:
            consumer.seek(place, offset)
        return consumer

    async def admin(self):
        return await self.start(AIOKafkaAdminClient(bootstrap_servers=self.broker.kafka))

    async def create_topic(self, topic, partitions=1, **config):
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        admin = await self.admin()
        response = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        assert [error[1] for error in response.topic_errors] == [0], response
        return topic

    async def close(self, client):
        self.open.remove(client)
        await asyncio.wait_for(stop(client), SECONDS)

    async def close_all(self):
        while self.open:
            await self.close(self.open[-1])


def stop(client):
    return client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop()


@pytest.fixture
def clients(broker):
    return Clients(broker)


@pytest.fixture
def own_clients(own_broker):
    return Clients(own_broker)

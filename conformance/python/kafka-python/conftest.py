"""kafka-python with bounded waits. Its administration is covered by its own tests."""

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

SECONDS = 60


class Clients:
    """Makes clients of one broker and closes them at the end."""

    def __init__(self, broker):
        self.broker = broker
        self.open = []

    def keep(self, client):
        self.open.append(client)
        return client

    def producer(self, **settings):
        base = {"bootstrap_servers": self.broker.kafka, "retry_backoff_ms": 50}
        return self.keep(KafkaProducer(**{**base, "reconnect_backoff_max_ms": 200, **settings}))

    def consumer(self, *topics, **settings):
        base = {
            "bootstrap_servers": self.broker.kafka,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "session_timeout_ms": 6000,
            "heartbeat_interval_ms": 300,
            # A join that overtakes the first metadata assigns nothing until the next.
            "metadata_max_age_ms": 1000,
            "fetch_max_wait_ms": 200,
            "retry_backoff_ms": 50,
            "reconnect_backoff_max_ms": 200,
        }
        return self.keep(KafkaConsumer(*topics, **{**base, **settings}))

    def reader(self, topic, partition=0, offset=0, **settings):
        """A consumer of one partition from an offset, without a group."""
        consumer = self.consumer(**settings)
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        if offset == "end":
            consumer.seek_to_end(place)
        else:
            consumer.seek(place, offset)
        return consumer

    def create_topic(self, topic, partitions=1, **config):
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        admin = self.keep(KafkaAdminClient(bootstrap_servers=self.broker.kafka))
        new = {"num_partitions": partitions, "replication_factor": 1, "configs": config}
        admin.create_topics({topic: new})
        return topic

    def close(self, client):
        self.open.remove(client)
        client.close()

    def close_all(self):
        while self.open:
            self.close(self.open[-1])


@pytest.fixture
def clients(broker):
    clients = Clients(broker)
    yield clients
    clients.close_all()


@pytest.fixture
def own_clients(own_broker):
    clients = Clients(own_broker)
    yield clients
    clients.close_all()

"""Clients that come by a forwarded port, and answers that get lost on the way."""

import pytest

from conftest import SETTINGS
from forwarder import Forwarder
from kafka_client import Clients, SECONDS, read, read_nothing, send, values


@pytest.fixture
def forwarder():
    forwarder = Forwarder()
    yield forwarder
    forwarder.close()


@pytest.fixture
def clients(start_broker, forwarder):
    """Clients that reach the broker by the forwarder alone, which it advertises."""
    settings = {**SETTINGS, "kafka": {"advertised": forwarder.address}}
    broker = start_broker(settings)
    forwarder.target = broker.kafka
    with Clients(broker, forwarder.address) as clients:
        yield clients


def test_the_advertised_address_is_the_one_told(clients, forwarder, name):
    metadata = clients.admin().list_topics(timeout=SECONDS)
    (node,) = metadata.brokers.values()
    assert f"{node.host}:{node.port}" == forwarder.address


def test_a_client_behind_a_forwarded_port_produces_and_consumes(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"a", b"b"])
    consumer = clients.consumer(group=name)
    consumer.subscribe([topic])
    messages = read(consumer, 2)
    assert values(messages) == [b"a", b"b"]
    consumer.commit(messages[-1], asynchronous=False)


def test_without_the_setting_the_address_told_is_the_one_connected_to(start_broker):
    broker = start_broker({**SETTINGS}, kafka="0.0.0.0:0", flags=["--insecure"])
    port = broker.kafka.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "127.0.0.2"):
        with Clients(broker, f"{host}:{port}") as clients:
            metadata = clients.admin().list_topics(timeout=SECONDS)
            (node,) = metadata.brokers.values()
            assert f"{node.host}:{node.port}" == f"{host}:{port}"


def test_an_idempotent_retry_after_a_lost_answer_is_stored_once(clients, forwarder, name):
    topic = clients.create_topic(name)
    producer = clients.producer(enable_idempotence=True, socket_timeout_ms=2000)
    send(producer, topic, [b"first"])
    for round_ in range(5):
        lost = forwarder.answers_lost
        forwarder.lose_answers.set()
        producer.produce(topic, b"%d" % round_)
        while forwarder.answers_lost == lost:
            producer.poll(0.05)
        forwarder.lose_answers.clear()
        assert producer.flush(SECONDS) == 0
    reader = clients.reader(topic)
    assert values(read(reader, 6)) == [b"first"] + [b"%d" % n for n in range(5)]
    read_nothing(reader)


def test_a_consumer_goes_on_after_lost_answers(clients, forwarder, name):
    topic = clients.create_topic(name)
    consumer = clients.consumer(group=name, socket_timeout_ms=2000)
    consumer.subscribe([topic])
    producer = clients.producer(enable_idempotence=True)
    send(producer, topic, [b"before"])
    read(consumer, 1)
    lost = forwarder.answers_lost
    forwarder.lose_answers.set()
    while forwarder.answers_lost < lost + 2:
        consumer.poll(0.05)
    forwarder.lose_answers.clear()
    send(producer, topic, [b"after"])
    assert values(read(consumer, 1)) == [b"after"]

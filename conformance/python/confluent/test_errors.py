"""What is refused, and with which code."""

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from conftest import SETTINGS
from kafka_client import Clients, SECONDS, error_of, next_error, read, send, values


def create(clients, name, partitions=1, copies=1, **config):
    new = NewTopic(name, partitions, copies, config=config)
    return error_of(clients.admin().create_topics([new])[name])


def test_producing_to_an_unknown_topic_creates_it(clients, name):
    (sent,) = send(clients.producer(), name, [b"v"])
    assert (sent.partition(), sent.offset()) == (0, 0)
    assert values(read(clients.reader(name), 1)) == [b"v"]


def test_num_partitions_counts_for_topics_that_are_created_so(start_broker, name):
    with Clients(start_broker({**SETTINGS, "topics": {"partitions": 4}})) as clients:
        send(clients.producer(), name, [b"v"])
        metadata = clients.admin().list_topics(timeout=SECONDS)
        assert len(metadata.topics[name].partitions) == 4


def test_without_automatic_creation_an_unknown_topic_is_refused(start_broker, name):
    with Clients(start_broker({**SETTINGS, "topics": {"auto_create": False}})) as clients:
        producer = clients.producer(topic_metadata_propagation_max_ms=500)
        with pytest.raises(KafkaException) as caught:
            send(producer, name, [b"v"])
        unknown = (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
        assert caught.value.args[0].code() in unknown
        assert name not in clients.admin().list_topics(timeout=SECONDS).topics


def test_reading_an_unknown_topic_is_an_error_and_does_not_create_it(clients, name):
    consumer = clients.consumer(group=name, topic_metadata_propagation_max_ms=500)
    consumer.subscribe([name])
    assert next_error(consumer).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert name not in clients.admin().list_topics(timeout=SECONDS).topics


def test_an_unknown_partition_is_refused(clients, name):
    clients.create_topic(name, partitions=2)
    with pytest.raises(KafkaException) as caught:
        send(clients.producer(), name, [b"v"], partition=2)
    assert caught.value.args[0].code() == KafkaError._UNKNOWN_PARTITION


def test_a_batch_above_the_topics_limit_is_refused_and_smaller_ones_go_on(clients, name):
    clients.create_topic(name, max_message_bytes=10_000)
    producer = clients.producer(message_max_bytes=5_000_000)
    with pytest.raises(KafkaException) as caught:
        send(producer, name, [b"x" * 20_000])
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    send(producer, name, [b"x" * 9_000])
    assert len(read(clients.reader(name), 1)) == 1


def test_a_batch_above_the_default_limit_is_refused(clients, name):
    clients.create_topic(name)
    with pytest.raises(KafkaException) as caught:
        send(clients.producer(message_max_bytes=5_000_000), name, [b"x" * 1_100_000])
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.parametrize("bad", ["two words", "a/b", "a:b", "ü", "..", ".", "x" * 250])
def test_names_that_kafka_cannot_spell_are_refused(clients, bad):
    assert create(clients, bad) == KafkaError.TOPIC_EXCEPTION


def test_the_longest_name_is_allowed(clients, name):
    longest = name + "x" * (249 - len(name))
    assert create(clients, longest) == KafkaError.NO_ERROR
    send(clients.producer(), longest, [b"v"])


@pytest.mark.parametrize("copies", [2, 3])
def test_more_copies_than_there_are_nodes_are_refused(clients, name, copies):
    assert create(clients, name, copies=copies) == KafkaError.INVALID_REPLICATION_FACTOR
    assert name not in clients.admin().list_topics(timeout=SECONDS).topics


def test_a_topic_without_partitions_is_refused(clients, name):
    assert create(clients, name, partitions=0) == KafkaError.INVALID_PARTITIONS


@pytest.mark.parametrize("setting", [{"retention.ms": "soon"}, {"no.such.setting": "1"}])
def test_settings_that_do_not_exist_or_fit_are_refused(clients, name, setting):
    assert create(clients, name, **setting) == KafkaError.INVALID_CONFIG
    assert name not in clients.admin().list_topics(timeout=SECONDS).topics


def test_an_offset_out_of_range_follows_the_reset_policy(clients, name):
    clients.create_topic(name)
    send(clients.producer(), name, [b"a", b"b"])
    strict = clients.reader(name, offset=1000, auto_offset_reset="error")
    assert next_error(strict).code() == KafkaError._AUTO_OFFSET_RESET
    lenient = clients.reader(name, offset=1000, auto_offset_reset="earliest")
    assert values(read(lenient, 2)) == [b"a", b"b"]


@pytest.mark.since("2.3")  # 2.0 never ends its close after this, with Apache Kafka neither.
def test_a_topic_deleted_under_its_consumer_is_an_error_for_it(clients, name):
    clients.create_topic(name)
    consumer = clients.consumer(
        group=name, topic_metadata_refresh_interval_ms=500, topic_metadata_propagation_max_ms=500
    )
    consumer.subscribe([name])
    send(clients.producer(), name, [b"v"])
    read(consumer, 1)
    clients.admin().delete_topics([name])[name].result(SECONDS)
    gone = (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    )
    assert next_error(consumer).code() in gone

"""Reading: from the beginning, the end, an offset, a time; what a fetch gives and when."""

import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, TopicPartition

from kafka_client import SECONDS, read, read_nothing, send, until, values

# An hour ago: what is older than a week goes when retention looks next.
BASE = (int(time.time()) - 3600) * 1000


@pytest.fixture
def hundred(clients, name):
    """A topic of one partition: value n at offset n, at time BASE + 1000 n, in batches of 10."""
    topic = clients.create_topic(name)
    producer = clients.producer(batch_num_messages=10, linger_ms=100)
    stamp = lambda n: BASE + 1000 * n
    send(producer, topic, [b"%d" % n for n in range(100)], timestamp=stamp, partition=0)
    return topic


def test_from_the_beginning(clients, hundred):
    came = read(clients.reader(hundred, offset=OFFSET_BEGINNING), 100)
    assert values(came) == [b"%d" % n for n in range(100)]


def test_from_the_end_only_later_messages_come(clients, hundred):
    reader = clients.reader(hundred, offset=OFFSET_END)
    read_nothing(reader)
    send(clients.producer(), hundred, [b"later"])
    (message,) = read(reader, 1)
    assert (message.offset(), message.value()) == (100, b"later")


@pytest.mark.parametrize("offset", [0, 1, 9, 10, 37, 99])
def test_from_an_offset_also_inside_a_batch(clients, hundred, offset):
    came = read(clients.reader(hundred, offset=offset), 100 - offset)
    assert [message.offset() for message in came] == list(range(offset, 100))


@pytest.mark.parametrize(
    "stamp, offset",
    [(0, 0), (BASE, 0), (BASE + 1, 1), (BASE + 37_000, 37), (BASE + 37_001, 38), (BASE + 99_000, 99)],
)
def test_an_offset_is_found_by_time(clients, hundred, stamp, offset):
    consumer = clients.consumer()
    (found,) = consumer.offsets_for_times([TopicPartition(hundred, 0, stamp)], SECONDS)
    assert found.error is None
    assert found.offset == offset


def test_a_time_after_the_last_message_finds_the_end(clients, hundred):
    consumer = clients.consumer()
    (found,) = consumer.offsets_for_times([TopicPartition(hundred, 0, BASE + 99_001)], SECONDS)
    assert found.offset == OFFSET_END


def test_the_first_of_unordered_times_is_found(clients, name):
    topic = clients.create_topic(name)
    producer = clients.producer()
    for stamp in (500, 100, 900, 300, 900):
        send(producer, topic, [b"%d" % stamp], timestamp=BASE + stamp)
    consumer = clients.consumer()
    wanted = {50: 0, 400: 0, 501: 2, 900: 2}
    for stamp, offset in wanted.items():
        (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, BASE + stamp)], SECONDS)
        assert found.offset == offset, stamp


def test_watermarks_are_the_first_and_the_next_offset(clients, hundred, name):
    consumer = clients.consumer()
    assert consumer.get_watermark_offsets(TopicPartition(hundred, 0), SECONDS) == (0, 100)
    empty = clients.create_topic(name + "-empty")
    assert consumer.get_watermark_offsets(TopicPartition(empty, 0), SECONDS) == (0, 0)


def test_seek_goes_back_and_forth(clients, hundred):
    reader = clients.reader(hundred)
    read(reader, 50)
    for offset in (5, 80, 0):
        reader.seek(TopicPartition(hundred, 0, offset))
        assert read(reader, 1)[0].offset() == offset


def test_the_end_of_a_partition_is_told(clients, hundred):
    reader = clients.reader(hundred, offset=98, enable_partition_eof=True)
    messages = []
    until(lambda: False if (m := reader.poll(0.1)) is None else messages.append(m) or m.error())
    assert [message.offset() for message in messages] == [98, 99, 100]
    assert messages[-1].error().code() == KafkaError._PARTITION_EOF


def test_a_message_larger_than_the_fetch_limit_still_comes(clients, name):
    topic = clients.create_topic(name)
    large = b"x" * 300_000
    send(clients.producer(), topic, [b"small", large, b"small"])
    limits = {"fetch_message_max_bytes": 1000, "fetch_max_bytes": 1000, "message_max_bytes": 1000}
    assert values(read(clients.reader(topic, **limits), 3)) == [b"small", large, b"small"]


def test_small_fetches_lose_nothing(clients, hundred):
    reader = clients.reader(hundred, max_partition_fetch_bytes=1024, queued_min_messages=1)
    assert len(read(reader, 100)) == 100


def test_a_waiting_fetch_is_answered_when_a_message_comes(clients, name):
    topic = clients.create_topic(name)
    reader = clients.reader(topic, fetch_wait_max_ms=40_000)
    read_nothing(reader, 1.0)
    sent_at = time.monotonic()
    send(clients.producer(linger_ms=0), topic, [b"v"])
    read(reader, 1)
    assert time.monotonic() - sent_at < 15


def test_a_fetch_waits_for_its_least_bytes_but_not_longer_than_its_wait(clients, name):
    topic = clients.create_topic(name)
    # From before the first fetch: it is under way while the message is sent.
    started = time.monotonic()
    reader = clients.reader(topic, fetch_min_bytes=100_000, fetch_wait_max_ms=1500)
    send(clients.producer(linger_ms=0), topic, [b"v"])
    read(reader, 1)
    assert 1.4 < time.monotonic() - started < 30


def test_pause_and_resume(clients, hundred):
    reader = clients.reader(hundred)
    read(reader, 10)
    reader.pause([TopicPartition(hundred, 0)])
    read_nothing(reader)
    reader.resume([TopicPartition(hundred, 0)])
    assert read(reader, 1)[0].offset() == 10


def test_many_partitions_are_read_together(clients, name):
    topic = clients.create_topic(name, partitions=20)
    send(clients.producer(), topic, [b"%d" % n for n in range(400)], partition=lambda n: n % 20)
    reader = clients.consumer()
    reader.assign([TopicPartition(topic, partition, 0) for partition in range(20)])
    came = read(reader, 400)
    for partition in range(20):
        numbers = [int(m.value()) for m in came if m.partition() == partition]
        assert numbers == list(range(partition, 400, 20))


def test_topics_are_subscribed_to_by_pattern(clients, name):
    for suffix in ("a", "b"):
        topic = clients.create_topic(f"{name}.{suffix}")
        send(clients.producer(), topic, [suffix.encode()])
    clients.create_topic(f"{name}-other")
    consumer = clients.consumer(group=name)
    consumer.subscribe([f"^{name}\\..*"])
    assert sorted(values(read(consumer, 2))) == [b"a", b"b"]


def test_metadata_names_the_broker_the_topic_and_its_partitions(clients, name):
    topic = clients.create_topic(name, partitions=3)
    metadata = clients.consumer().list_topics(timeout=SECONDS)
    assert len(metadata.brokers) == 1
    (node,) = metadata.brokers.values()
    assert f"{node.host}:{node.port}" == clients.address
    assert sorted(metadata.topics[topic].partitions) == [0, 1, 2]
    for partition in metadata.topics[topic].partitions.values():
        assert partition.leader == node.id
        assert partition.replicas == partition.isrs == [node.id]

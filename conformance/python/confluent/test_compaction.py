"""Compacted topics, and what `compression.type` makes of batches."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource

from kafka_client import SECONDS, Clients, read, send, until, values


@pytest.fixture(scope="module")
def quick_broker(start_any):
    """It looks for what is to be compacted, or too old, all the time."""
    often = {"compaction_interval": "100ms", "retention_check_interval": "200ms"}
    return start_any({"groups": {"initial_rebalance_delay": "0s"}, "topics": often})


@pytest.fixture
def clients(quick_broker):
    with Clients(quick_broker) as clients:
        yield clients


def compacted(clients, name, **config):
    """A topic that is compacted whenever something new is there."""
    settings = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": 0.0, **config}
    return clients.create_topic(name, **settings)


def put(clients, topic, pairs, **settings):
    """Each record in a batch of its own, so that offsets are known."""
    producer = clients.producer(linger_ms=0, **settings)
    for key, value in pairs:
        send(producer, topic, [value], key=key)


def whole(clients, topic):
    """What is there now, by offset: key and value."""
    reader = clients.consumer(enable_partition_eof=True)
    _, end = reader.get_watermark_offsets(TopicPartition(topic, 0), SECONDS)
    reader.assign([TopicPartition(topic, 0, 0)])
    found = {}
    while True:
        message = reader.poll(SECONDS)
        assert message is not None, f"the end at {end} is never reached"
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            clients.close(reader)
            return found
        found[message.offset()] = (message.key(), message.value())


def refusal(send_it):
    with pytest.raises(KafkaException) as caught:
        send_it()
    return caught.value.args[0].code()


def test_the_latest_of_each_key_stays_at_its_offset(clients, name):
    topic = compacted(clients, name)
    put(clients, topic, [(b"k%d" % (n % 3), b"%d" % n) for n in range(30)])
    latest = {27: (b"k0", b"27"), 28: (b"k1", b"28"), 29: (b"k2", b"29")}
    until(lambda: whole(clients, topic) == latest)
    reader = clients.consumer()
    _, end = reader.get_watermark_offsets(TopicPartition(topic, 0), SECONDS)
    assert end == 30
    put(clients, topic, [(b"k0", b"next")])
    assert values(read(clients.reader(topic, offset=5), 4))[-1] == b"next"


def test_batches_keep_what_is_left_of_them(clients, name):
    topic = compacted(clients, name)
    producer = clients.producer(linger_ms=100, compression_type="lz4")
    send(producer, topic, [b"%d" % n for n in range(100)], key=lambda n: b"%d" % (n % 10))
    latest = {n: (b"%d" % (n % 10), b"%d" % n) for n in range(90, 100)}
    until(lambda: whole(clients, topic) == latest)


def test_a_tombstone_deletes_its_key_and_goes_when_its_time_is_over(clients, name):
    topic = compacted(clients, name, delete_retention_ms=1500)
    put(clients, topic, [(b"a", b"1"), (b"b", b"2"), (b"a", None), (b"end", b"")])
    rest = {1: (b"b", b"2"), 3: (b"end", b"")}
    # Readers who are behind see it for a while.
    until(lambda: whole(clients, topic) == {**rest, 2: (b"a", None)})
    until(lambda: whole(clients, topic) == rest)


def test_nothing_is_touched_that_is_younger_than_the_lag(clients, name):
    topic = compacted(clients, name, min_compaction_lag_ms=3_600_000)
    other = compacted(clients, f"{name}-other")
    for each in (topic, other):
        put(clients, each, [(b"a", b"1"), (b"a", b"2")])
    until(lambda: whole(clients, other) == {1: (b"a", b"2")})
    assert whole(clients, topic) == {0: (b"a", b"1"), 1: (b"a", b"2")}


def test_compact_and_delete_together(clients, name):
    topic = compacted(clients, name, cleanup_policy="compact,delete", retention_ms=-1)
    put(clients, topic, [(b"a", b"1"), (b"a", b"2"), (b"b", b"3")])
    until(lambda: whole(clients, topic) == {1: (b"a", b"2"), 2: (b"b", b"3")})
    resource = ConfigResource("topic", topic, set_config={
        "cleanup.policy": "compact,delete",
        "min.cleanable.dirty.ratio": "0.0",
        "retention.ms": "1",
    })
    clients.admin().alter_configs([resource])[resource].result(SECONDS)
    # Retention does not ask whether a key has another value.
    until(lambda: whole(clients, topic) == {})
    reader = clients.consumer()
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), SECONDS) == (3, 3)


def test_a_record_without_a_key_is_refused_and_the_others_go_on(clients, name):
    topic = compacted(clients, name)
    refused = refusal(lambda: send(clients.producer(), topic, [b"no key"]))
    assert refused == KafkaError.INVALID_RECORD
    put(clients, topic, [(b"k", b"v")])
    assert whole(clients, topic) == {0: (b"k", b"v")}


def test_a_topic_becomes_compacted_and_loses_what_has_no_key(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(linger_ms=0), topic, [b"no key"])
    put(clients, topic, [(b"a", b"1"), (b"a", b"2")])
    resource = ConfigResource("topic", topic, set_config={
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.0",
    })
    clients.admin().alter_configs([resource])[resource].result(SECONDS)
    until(lambda: whole(clients, topic) == {2: (b"a", b"2")})


def test_what_was_compacted_stays_so_over_kill_9(start_broker, name):
    broker = start_broker({"topics": {"compaction_interval": "100ms"}})
    with Clients(broker) as clients:
        topic = compacted(clients, name)
        put(clients, topic, [(b"k%d" % (n % 5), b"%d" % n) for n in range(50)])
        latest = {n: (b"k%d" % (n % 5), b"%d" % n) for n in range(45, 50)}
        until(lambda: whole(clients, topic) == latest)
        broker.kill()
        broker.start()
        assert whole(clients, topic) == latest
        put(clients, topic, [(b"k0", None)])
        del latest[45]
        until(lambda: whole(clients, topic) == {**latest, 50: (b"k0", None)})


@pytest.mark.parametrize("to", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("sent", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_batches_are_stored_as_the_topic_says_and_read_as_they_were_sent(clients, name, sent, to):
    topic = clients.create_topic(name, compression_type=to)
    producer = clients.producer(linger_ms=50, compression_type=sent, enable_idempotence=True)
    sent_values = [b"%d " % n * 200 for n in range(50)]
    headers = [("h", b"1"), ("h", b"2")]
    send(producer, topic, sent_values, key=lambda n: b"%d" % n, headers=lambda _: headers)
    messages = read(clients.reader(topic), 50)
    assert values(messages) == sent_values
    assert [message.key() for message in messages] == [b"%d" % n for n in range(50)]
    assert [message.offset() for message in messages] == list(range(50))
    assert messages[7].headers() == headers

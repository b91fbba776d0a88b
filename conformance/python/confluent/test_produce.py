"""Producing: what was sent is what is read, in order, once."""

import time

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from kafka_client import read, read_nothing, send, values

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_comes_back_as_sent(clients, name, codec):
    topic = clients.create_topic(name)
    sent = [b"%d " % n + b"tramline " * 40 for n in range(500)]
    send(clients.producer(compression_type=codec, linger_ms=50), topic, sent)
    assert values(read(clients.reader(topic), 500)) == sent


def test_codecs_mix_in_one_partition(clients, name):
    topic = clients.create_topic(name)
    sent = []
    for codec in CODECS:
        part = [b"%s %d" % (codec.encode(), n) for n in range(20)]
        send(clients.producer(compression_type=codec), topic, part)
        sent += part
    assert values(read(clients.reader(topic), 100)) == sent


@pytest.mark.parametrize("acks", ["1", "all"])
def test_acknowledged_messages_carry_the_offset_they_are_read_at(clients, name, acks):
    topic = clients.create_topic(name)
    sent = send(clients.producer(acks=acks), topic, [b"%d" % n for n in range(50)])
    assert [message.offset() for message in sent] == list(range(50))
    came = read(clients.reader(topic), 50)
    assert [(m.offset(), m.value()) for m in came] == [(n, b"%d" % n) for n in range(50)]


def test_messages_without_acknowledgement_arrive(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(acks="0"), topic, [b"%d" % n for n in range(50)])
    assert values(read(clients.reader(topic), 50)) == [b"%d" % n for n in range(50)]


def test_idempotent_producer_keeps_order_and_count_over_partitions(clients, name):
    topic = clients.create_topic(name, partitions=3)
    sent = [b"%d" % n for n in range(3000)]
    producer = clients.producer(enable_idempotence=True, batch_num_messages=50)
    send(producer, topic, sent, partition=lambda n: n % 3)
    for partition in range(3):
        reader = clients.reader(topic, partition)
        assert values(read(reader, 1000)) == sent[partition::3]
        read_nothing(reader, 0.3)


def test_two_idempotent_producers_do_not_disturb_each_other(clients, name):
    topic = clients.create_topic(name)
    for _ in range(2):
        producers = [clients.producer(enable_idempotence=True) for _ in range(2)]
        for producer in producers:
            send(producer, topic, [b"a", b"b"])
    assert values(read(clients.reader(topic), 8)) == [b"a", b"b"] * 4


def test_one_key_goes_to_one_partition(clients, name):
    topic = clients.create_topic(name, partitions=8)
    sent = send(clients.producer(), topic, [b"v"] * 400, key=lambda n: b"key %d" % (n % 40))
    partitions = {}
    for message in sent:
        partitions.setdefault(message.key(), set()).add(message.partition())
    assert all(len(used) == 1 for used in partitions.values())
    assert len(set.union(*partitions.values())) > 1


def test_absent_and_empty_keys_and_values_stay_apart(clients, name):
    topic = clients.create_topic(name)
    producer = clients.producer()
    pairs = [(None, None), (b"", b""), (b"k", None), (None, b"v"), (b"k", b""), (b"\x00\xff", b"\xfe\x00")]
    for key, value in pairs:
        send(producer, topic, [value], key=key)
    assert [(m.key(), m.value()) for m in read(clients.reader(topic), len(pairs))] == pairs


def test_headers_keep_order_duplicates_empty_and_absent_values(clients, name):
    topic = clients.create_topic(name)
    headers = [("a", b"1"), ("b", None), ("a", b"2"), ("", b""), ("a", b"1"), ("z", b"\x00\xff")]
    send(clients.producer(), topic, [b"v"], headers=headers)
    send(clients.producer(), topic, [b"w"])
    with_headers, without = read(clients.reader(topic), 2)
    assert with_headers.headers() == headers
    assert without.headers() is None


def test_the_producers_timestamp_is_kept(clients, name):
    topic = clients.create_topic(name, retention_ms=-1)  # They are old.
    stamps = [1_700_000_000_000, 1, 1_700_000_000_500]
    send(clients.producer(), topic, [b"v"] * 3, timestamp=lambda n: stamps[n])
    came = [message.timestamp() for message in read(clients.reader(topic), 3)]
    assert came == [(TIMESTAMP_CREATE_TIME, stamp) for stamp in stamps]


def test_log_append_time_replaces_the_producers(clients, name):
    topic = clients.create_topic(name, message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    sent = send(clients.producer(), topic, [b"v"] * 3, timestamp=1_700_000_000_000)
    after = time.time() * 1000
    came = [message.timestamp() for message in read(clients.reader(topic), 3)]
    for kind, stamp in came:
        assert kind == TIMESTAMP_LOG_APPEND_TIME
        assert before - 5 <= stamp <= after + 5
    assert came[0] == sent[0].timestamp()


def test_a_value_just_under_the_limit_comes_back(clients, name):
    topic = clients.create_topic(name)
    value = bytes(range(256)) * 3900
    send(clients.producer(), topic, [value])
    assert values(read(clients.reader(topic), 1)) == [value]


def test_ten_thousand_small_messages_keep_their_order(clients, name):
    topic = clients.create_topic(name)
    sent = [b"%d" % n for n in range(10_000)]
    send(clients.producer(linger_ms=1), topic, sent)
    assert values(read(clients.reader(topic), 10_000)) == sent


def test_batches_to_many_partitions_go_in_one_run(clients, name):
    topic = clients.create_topic(name, partitions=50)
    sent = send(clients.producer(), topic, [b"%d" % n for n in range(500)], partition=lambda n: n % 50)
    assert all(message.offset() == n // 50 for n, message in enumerate(sent))

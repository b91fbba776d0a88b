"""Producing: what was sent is what is read, in order, once."""

import time

import pytest

from waits import numbers, read, read_nothing, send, values


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_comes_back_as_sent(clients, name, codec):
    topic = await clients.create_topic(name)
    sent = [b"%d " % n + b"tramline " * 40 for n in range(300)]
    await send(await clients.producer(compression_type=codec, linger_ms=20), topic, sent)
    assert values(await read(await clients.reader(topic), 300)) == sent


@pytest.mark.parametrize("acks", [1, "all"])
async def test_acknowledged_messages_carry_the_offset_they_are_read_at(clients, name, acks):
    topic = await clients.create_topic(name)
    sent = await send(await clients.producer(acks=acks), topic, numbers(0, 50))
    assert [one.offset for one in sent] == list(range(50))
    came = await read(await clients.reader(topic), 50)
    assert [(one.offset, one.value) for one in came] == list(enumerate(numbers(0, 50)))


async def test_messages_without_acknowledgement_arrive(clients, name):
    topic = await clients.create_topic(name)
    producer = await clients.producer(acks=0)
    await send(producer, topic, numbers(0, 50))
    assert values(await read(await clients.reader(topic), 50)) == numbers(0, 50)


async def test_idempotent_producer_keeps_order_and_count_over_partitions(clients, name):
    topic = await clients.create_topic(name, partitions=3)
    producer = await clients.producer(enable_idempotence=True, max_batch_size=1000)
    await send(producer, topic, numbers(0, 1500), partition=lambda n: n % 3)
    for partition in range(3):
        reader = await clients.reader(topic, partition)
        assert values(await read(reader, 500)) == numbers(0, 1500)[partition::3]
        await read_nothing(reader)


async def test_one_key_goes_to_one_partition(clients, name):
    topic = await clients.create_topic(name, partitions=8)
    sent = await send(await clients.producer(), topic, [b"v"] * 200, key=lambda n: b"%d" % (n % 20))
    used = {}
    for n, one in enumerate(sent):
        used.setdefault(n % 20, set()).add(one.partition)
    assert all(len(partitions) == 1 for partitions in used.values())
    assert len(set.union(*used.values())) > 1


async def test_absent_and_empty_keys_and_values_stay_apart(clients, name):
    topic = await clients.create_topic(name)
    producer = await clients.producer()
    pairs = [(b"", b""), (b"k", None), (None, b"v"), (b"k", b""), (b"\x00\xff", b"\xfe\x00")]
    for key, value in pairs:
        await producer.send_and_wait(topic, value, key=key)
    came = await read(await clients.reader(topic), len(pairs))
    assert [(one.key, one.value) for one in came] == pairs


async def test_headers_keep_order_and_duplicates(clients, name):
    topic = await clients.create_topic(name)
    headers = [("a", b"1"), ("b", b"\x00\xff"), ("a", b"2"), ("", b""), ("a", b"1")]
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", headers=headers)
    await producer.send_and_wait(topic, b"w")
    with_headers, without = await read(await clients.reader(topic), 2)
    assert list(with_headers.headers) == headers
    assert list(without.headers) == []


async def test_the_producers_timestamp_is_kept(clients, name):
    topic = await clients.create_topic(name, retention_ms=-1)  # They are old.
    stamps = [1_700_000_000_000, 1, 1_700_000_000_500]
    await send(await clients.producer(), topic, [b"v"] * 3, timestamp_ms=lambda n: stamps[n])
    came = await read(await clients.reader(topic), 3)
    assert [(one.timestamp, one.timestamp_type) for one in came] == [(stamp, 0) for stamp in stamps]


async def test_log_append_time_replaces_the_producers(clients, name):
    topic = await clients.create_topic(name, message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    producer = await clients.producer()
    sent = await producer.send_and_wait(topic, b"v", timestamp_ms=1_700_000_000_000)
    (came,) = await read(await clients.reader(topic), 1)
    assert came.timestamp_type == 1
    assert before - 5 <= came.timestamp <= time.time() * 1000 + 5
    assert sent.timestamp == came.timestamp


async def test_naming_an_unknown_topic_creates_it(clients, name):
    await (await clients.producer()).send_and_wait(name, b"v")
    assert values(await read(await clients.reader(name), 1)) == [b"v"]

"""What was sent is what is read, in order, once; from wherever the reader starts."""

import time

import pytest
from kafka import TopicPartition

from waits import numbers, read, read_nothing, send, values

# An hour ago: what is older than a week goes when retention looks next.
BASE = (int(time.time()) - 3600) * 1000


@pytest.fixture
def hundred(clients, name):
    """A topic of one partition: value n at offset n, at time BASE + 1000 n, in batches."""
    topic = clients.create_topic(name)
    producer = clients.producer(batch_size=400, linger_ms=20)
    send(producer, topic, numbers(0, 100), timestamp_ms=lambda n: BASE + 1000 * n, partition=0)
    return topic


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_comes_back_as_sent(clients, name, codec):
    topic = clients.create_topic(name)
    sent = [b"%d " % n + b"tramline " * 40 for n in range(300)]
    send(clients.producer(compression_type=codec, linger_ms=20), topic, sent)
    assert values(read(clients.reader(topic), 300)) == sent


@pytest.mark.parametrize("acks", [1, "all"])
def test_acknowledged_messages_carry_the_offset_they_are_read_at(clients, name, acks):
    topic = clients.create_topic(name)
    producer = clients.producer(acks=acks, enable_idempotence=False)
    sent = send(producer, topic, numbers(0, 50))
    assert [one.offset for one in sent] == list(range(50))
    came = read(clients.reader(topic), 50)
    assert [(one.offset, one.value) for one in came] == list(enumerate(numbers(0, 50)))


def test_messages_without_acknowledgement_arrive(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(acks=0, enable_idempotence=False), topic, numbers(0, 50))
    assert values(read(clients.reader(topic), 50)) == numbers(0, 50)


def test_idempotent_producer_keeps_order_and_count_over_partitions(clients, name):
    topic = clients.create_topic(name, partitions=3)
    producer = clients.producer(enable_idempotence=True, batch_size=1000)
    send(producer, topic, numbers(0, 1500), partition=lambda n: n % 3)
    for partition in range(3):
        reader = clients.reader(topic, partition)
        assert values(read(reader, 500)) == numbers(0, 1500)[partition::3]
        read_nothing(reader)


def test_one_key_goes_to_one_partition(clients, name):
    topic = clients.create_topic(name, partitions=8)
    sent = send(clients.producer(), topic, [b"v"] * 200, key=lambda n: b"%d" % (n % 20))
    used = {}
    for n, one in enumerate(sent):
        used.setdefault(n % 20, set()).add(one.partition)
    assert all(len(partitions) == 1 for partitions in used.values())
    assert len(set.union(*used.values())) > 1


def test_absent_and_empty_keys_and_values_stay_apart(clients, name):
    topic = clients.create_topic(name)
    pairs = [(b"", b""), (b"k", None), (None, b"v"), (b"k", b""), (b"\x00\xff", b"\xfe\x00")]
    for key, value in pairs:
        send(clients.producer(), topic, [value], key=key)
    came = read(clients.reader(topic), len(pairs))
    assert [(one.key, one.value) for one in came] == pairs


def test_headers_keep_order_and_duplicates(clients, name):
    topic = clients.create_topic(name)
    headers = [("a", b"1"), ("b", b"\x00\xff"), ("a", b"2"), ("", b""), ("a", b"1")]
    send(clients.producer(), topic, [b"v"], headers=headers)
    (came,) = read(clients.reader(topic), 1)
    assert list(came.headers) == headers


def test_the_producers_timestamp_is_kept(clients, name):
    topic = clients.create_topic(name, retention_ms=-1)  # They are old.
    stamps = [1_700_000_000_000, 1, 1_700_000_000_500]
    send(clients.producer(), topic, [b"v"] * 3, timestamp_ms=lambda n: stamps[n])
    came = read(clients.reader(topic), 3)
    assert [(one.timestamp, one.timestamp_type) for one in came] == [(stamp, 0) for stamp in stamps]


def test_log_append_time_replaces_the_producers(clients, name):
    topic = clients.create_topic(name, message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    (sent,) = send(clients.producer(), topic, [b"v"], timestamp_ms=1_700_000_000_000)
    (came,) = read(clients.reader(topic), 1)
    assert came.timestamp_type == 1
    assert before - 5 <= came.timestamp <= time.time() * 1000 + 5
    assert sent.timestamp == came.timestamp


def test_naming_an_unknown_topic_creates_it(clients, name):
    send(clients.producer(), name, [b"v"])
    assert values(read(clients.reader(name), 1)) == [b"v"]


def test_from_the_beginning(clients, hundred):
    assert values(read(clients.consumer(hundred), 100)) == numbers(0, 100)


def test_from_the_end_only_later_messages_come(clients, hundred):
    reader = clients.reader(hundred, offset="end")
    read_nothing(reader)
    send(clients.producer(), hundred, [b"later"])
    (message,) = read(reader, 1)
    assert (message.offset, message.value) == (100, b"later")


@pytest.mark.parametrize("offset", [1, 37, 99])
def test_from_an_offset_also_inside_a_batch(clients, hundred, offset):
    came = read(clients.reader(hundred, offset=offset), 100 - offset)
    assert [one.offset for one in came] == list(range(offset, 100))


def test_offsets_are_found_by_time_and_at_both_ends(clients, hundred):
    place = TopicPartition(hundred, 0)
    consumer = clients.consumer()
    wanted = {0: 0, BASE: 0, BASE + 1: 1, BASE + 37_000: 37, BASE + 37_001: 38}
    for stamp, offset in wanted.items():
        assert consumer.offsets_for_times({place: stamp})[place].offset == offset, stamp
    assert consumer.offsets_for_times({place: BASE + 99_001})[place] is None
    assert consumer.beginning_offsets([place]) == {place: 0}
    assert consumer.end_offsets([place]) == {place: 100}


def test_small_fetches_lose_nothing(clients, hundred):
    reader = clients.reader(hundred, max_partition_fetch_bytes=500)
    assert values(read(reader, 100)) == numbers(0, 100)


def test_fetches_without_sessions_read_the_same(clients, hundred):
    reader = clients.reader(hundred, enable_incremental_fetch_sessions=False)
    assert values(read(reader, 100)) == numbers(0, 100)


def test_topics_are_subscribed_to_by_pattern(clients, name):
    for suffix in (".a", ".b", "-other"):
        send(clients.producer(), clients.create_topic(name + suffix), [suffix.encode()])
    consumer = clients.consumer(group_id=name)
    consumer.subscribe(pattern=f"^{name}\\..*")
    assert sorted(values(read(consumer, 2))) == [b".a", b".b"]

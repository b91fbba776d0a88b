"""Topics with `order=total`: read as one partition, in one order, through `<topic>.ordered`."""

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, NewPartitions

from kafka_client import SECONDS, read, send, until, values

WRITERS = 4
PARTITIONS = 8
EACH = 400


@pytest.fixture
def total(clients, name):
    """A topic of eight partitions in total order."""
    return clients.create_topic(name, partitions=PARTITIONS, order="total")


def write_at_once(clients, topic, each=EACH):
    """Several producers at a time, each to every partition; gives the values by partition."""
    failures = []

    def write(writer):
        try:
            producer = clients.producer(linger_ms=1, enable_idempotence=writer % 2 == 0)
            sent = [b"%d-%d" % (writer, n) for n in range(each)]
            send(producer, topic, sent, partition=lambda n: (n + writer) % PARTITIONS)
        except Exception as error:  # Shown in the test's own thread.
            failures.append(error)

    threads = [threading.Thread(target=write, args=[n]) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    return threads, failures


def finish(threads, failures):
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "a producer does not end"
    assert failures == []


def test_two_readers_see_the_same_order_while_producers_write(clients, total):
    view = f"{total}.ordered"
    threads, failures = write_at_once(clients, total)
    count = WRITERS * EACH
    early = values(read(clients.reader(view), count))
    finish(threads, failures)
    late = values(read(clients.reader(view), count))
    assert early == late
    assert len(set(late)) == count


def test_the_order_agrees_with_every_partition(clients, total):
    finish(*write_at_once(clients, total))
    order = values(read(clients.reader(f"{total}.ordered"), WRITERS * EACH))
    place = {value: n for n, value in enumerate(order)}
    for partition in range(PARTITIONS):
        of_partition = values(read(clients.reader(total, partition), WRITERS * EACH // PARTITIONS))
        places = [place[value] for value in of_partition]
        assert places == sorted(places), f"partition {partition} is in another order"


def test_the_order_has_no_gaps_and_agrees_with_time(clients, total):
    producer = clients.producer(linger_ms=0)
    for n in range(40):
        send(producer, total, [b"%d" % n], partition=lambda _, n=n: n * 5 % PARTITIONS)
    messages = read(clients.reader(f"{total}.ordered"), 40)
    assert values(messages) == [b"%d" % n for n in range(40)]
    assert [message.offset() for message in messages] == list(range(40))
    assert {message.partition() for message in messages} == {0}


def test_a_group_reads_the_view_commits_and_goes_on(clients, total, name):
    view = f"{total}.ordered"
    finish(*write_at_once(clients, total, each=50))
    count = WRITERS * 50
    first = clients.consumer(group=name)
    first.subscribe([view])
    begun = read(first, count // 2)
    first.commit(begun[-1], asynchronous=False)
    clients.close(first)
    second = clients.consumer(group=name)
    second.subscribe([view])
    rest = read(second, count - len(begun))
    assert values(begun) + values(rest) == values(read(clients.reader(view), count))
    assert [partition.partition for partition in second.assignment()] == [0]
    (kept,) = second.committed([TopicPartition(view, 0)], SECONDS)
    assert kept.offset == count // 2


def test_a_pattern_finds_the_view(clients, total, name):
    send(clients.producer(), total, [b"x"], partition=lambda _: 3)
    consumer = clients.consumer(group=name)
    consumer.subscribe([f"^{name}.ordered$"])
    assert values(read(consumer, 1)) == [b"x"]


def test_the_view_is_listed_with_one_partition_and_its_settings(clients, total):
    view = f"{total}.ordered"
    listed = clients.admin().list_topics(timeout=SECONDS).topics
    assert len(listed[total].partitions) == PARTITIONS
    assert len(listed[view].partitions) == 1
    assert listed[view].error is None
    for topic in (total, view):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        config = clients.admin().describe_configs([resource])[resource].result(SECONDS)
        assert config["order"].value == "total"
        assert config["order"].is_read_only


def test_a_time_is_found_in_the_view(clients, name):
    total = clients.create_topic(name, partitions=PARTITIONS, order="total", retention_ms=-1)
    producer = clients.producer()
    for n in range(6):
        at = 1000 * (n + 1)
        send(producer, total, [b"%d" % n], partition=lambda _, n=n: n, timestamp=lambda _, at=at: at)
    reader = clients.consumer()
    (found,) = reader.offsets_for_times([TopicPartition(f"{total}.ordered", 0, 4000)], SECONDS)
    assert found.offset == 3


def refused(future):
    with pytest.raises(KafkaException) as refusal:
        future.result(SECONDS)
    return refusal.value.args[0]


def test_the_view_is_read_only(clients, total):
    view = f"{total}.ordered"
    with pytest.raises(KafkaException) as refusal:
        send(clients.producer(), view, [b"x"])
    error = refusal.value.args[0]
    assert error.code() == KafkaError.TOPIC_EXCEPTION
    assert not error.retriable()
    admin = clients.admin()
    assert refused(admin.delete_topics([view])[view]).code() == KafkaError.TOPIC_EXCEPTION
    more = admin.create_partitions([NewPartitions(view, 2)])
    assert refused(more[view]).code() == KafkaError.TOPIC_EXCEPTION
    ends = clients.consumer().get_watermark_offsets(TopicPartition(view, 0), SECONDS)
    assert ends == (0, 0), "nothing was written to it"


def test_the_view_goes_with_its_topic(clients, total):
    view = f"{total}.ordered"
    send(clients.producer(), total, [b"x"])
    clients.admin().delete_topics([total])[total].result(SECONDS)
    until(lambda: view not in clients.admin().list_topics(timeout=SECONDS).topics)
    clients.create_topic(view)


@pytest.mark.since("2.3")
def test_order_is_never_altered(clients, name, total):
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    plain = clients.create_topic(f"{name}-plain")
    for topic, value in ((plain, "total"), (total, "partition")):
        entry = ConfigEntry("order", value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource("topic", topic, incremental_configs=[entry])
        altering = clients.admin().incremental_alter_configs([resource])[resource]
        assert refused(altering).code() == KafkaError.INVALID_CONFIG


def test_an_unknown_order_is_refused(clients, name):
    with pytest.raises(KafkaException) as refusal:
        clients.create_topic(name, order="random")
    assert refusal.value.args[0].code() == KafkaError.INVALID_CONFIG


class Writer(threading.Thread):
    """Sends to all partitions until it is told to stop; knows what was acknowledged."""

    def __init__(self, clients, topic, number):
        super().__init__(daemon=True)
        # Idempotent, and patient: it repeats what a kill interrupts.
        self.producer = clients.producer(
            enable_idempotence=True, message_timeout_ms=60000, linger_ms=2
        )
        self.topic, self.number = topic, number
        self.stopping = threading.Event()
        self.acknowledged, self.failed = [], []

    def run(self):
        sent = 0
        while not self.stopping.is_set():
            for partition in range(PARTITIONS):
                value = b"%d-%d" % (self.number, sent)
                self.producer.produce(
                    self.topic, value, partition=partition, on_delivery=self.delivered
                )
                sent += 1
            self.producer.poll(0.005)
        self.producer.flush(60)

    def delivered(self, error, message):
        if error is None:
            self.acknowledged.append(message.value())
        else:
            self.failed.append(error)


def everything(clients, topic, partition=0):
    reader = clients.consumer()
    _, end = reader.get_watermark_offsets(TopicPartition(topic, partition), SECONDS)
    reader.assign([TopicPartition(topic, partition, 0)])
    return values(read(reader, end, seconds=60))


def test_the_order_survives_kill_9_under_load(own_broker, own_clients, name):
    topic = own_clients.create_topic(name, partitions=PARTITIONS, order="total")
    view = f"{topic}.ordered"
    writers = [Writer(own_clients, topic, number) for number in range(3)]
    for writer in writers:
        writer.start()
    before = []
    for round in range(5):
        time.sleep(0.3 + 0.2 * round)
        own_broker.kill()
        own_broker.start()
        seen = everything(own_clients, view)
        assert seen[: len(before)] == before, "what was read once stands where it stood"
        before = seen
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(90)
        assert not writer.is_alive() and writer.failed == []
    order = everything(own_clients, view)
    assert order[: len(before)] == before
    place = {value: n for n, value in enumerate(order)}
    assert len(place) == len(order), "a message is there twice"
    assert {value for writer in writers for value in writer.acknowledged} == set(order)
    for partition in range(PARTITIONS):
        places = [place[value] for value in everything(own_clients, topic, partition)]
        assert places == sorted(places)
    assert len(order) > 1000

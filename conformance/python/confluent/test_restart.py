"""Over a restart, clean or by kill -9, nothing acknowledged is lost and clients go on."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import ConfigResource

from kafka_client import SECONDS, read, read_nothing, send, values

ENDS = ["stop", "kill"]


def restart(broker, how):
    getattr(broker, how)()
    broker.start()


@pytest.mark.parametrize("how", ENDS)
def test_acknowledged_messages_are_there_afterwards(own_broker, own_clients, name, how):
    topic = own_clients.create_topic(name, partitions=3)
    sent = [b"%d" % n for n in range(900)]
    send(own_clients.producer(), topic, sent, partition=lambda n: n % 3)
    restart(own_broker, how)
    for partition in range(3):
        reader = own_clients.reader(topic, partition)
        assert values(read(reader, 300)) == sent[partition::3]


@pytest.mark.parametrize("how", ENDS)
def test_offsets_go_on_where_they_were(own_broker, own_clients, name, how):
    topic = own_clients.create_topic(name)
    for round_ in range(4):
        (sent,) = send(own_clients.producer(), topic, [b"%d" % round_])
        assert sent.offset() == round_
        restart(own_broker, how)
    assert values(read(own_clients.reader(topic), 4)) == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("how", ENDS)
def test_a_group_resumes_from_its_commit(own_broker, own_clients, name, how):
    topic = own_clients.create_topic(name)
    send(own_clients.producer(), topic, [b"%d" % n for n in range(20)])
    first = own_clients.consumer(group=name)
    first.subscribe([topic])
    first.commit(read(first, 8)[-1], asynchronous=False)
    own_clients.close(first)
    restart(own_broker, how)
    second = own_clients.consumer(group=name)
    second.subscribe([topic])
    assert values(read(second, 12)) == [b"%d" % n for n in range(8, 20)]


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@pytest.mark.parametrize("how", ENDS)
def test_a_member_goes_on_over_a_restart(own_broker, own_clients, name, how, static):
    topic = own_clients.create_topic(name)
    producer = own_clients.producer()
    send(producer, topic, [b"before"])
    consumer = own_clients.consumer(group=name, **({"group_instance_id": "one"} if static else {}))
    moves = []
    note = lambda _, partitions: moves.append(partitions)  # noqa: E731
    consumer.subscribe([topic], on_assign=note, on_revoke=note, on_lost=note)
    read(consumer, 1)
    member, n_moves = consumer.memberid(), len(moves)
    restart(own_broker, how)
    consumer.commit(asynchronous=False)
    send(producer, topic, [b"after"])
    (message,) = read(consumer, 1)
    assert message.value() == b"after"
    consumer.commit(message, asynchronous=False)
    (found,) = consumer.committed([TopicPartition(topic, 0)], SECONDS)
    assert found.offset == 2
    assert consumer.memberid() == member
    assert len(moves) == n_moves, "partitions were given or taken"


@pytest.mark.parametrize("how", ENDS)
def test_an_idempotent_producer_goes_on_without_gap_or_double(own_broker, own_clients, name, how):
    topic = own_clients.create_topic(name, partitions=2)
    producer = own_clients.producer(enable_idempotence=True)
    sent = [b"%d" % n for n in range(300)]
    for start in (0, 100, 200):
        send(producer, topic, sent[start : start + 100], partition=lambda n: n % 2)
        restart(own_broker, how)
    for partition in range(2):
        reader = own_clients.reader(topic, partition)
        assert values(read(reader, 150)) == sent[partition::2]
        read_nothing(reader, 0.3)


def test_messages_sent_while_the_broker_is_down_arrive_once(own_broker, own_clients, name):
    topic = own_clients.create_topic(name)
    producer = own_clients.producer(enable_idempotence=True)
    send(producer, topic, [b"before"])
    own_broker.kill()
    for n in range(10):
        producer.produce(topic, b"%d" % n)
    assert producer.flush(0.5) == 10
    own_broker.start()
    assert producer.flush(SECONDS) == 0
    reader = own_clients.reader(topic)
    assert values(read(reader, 11)) == [b"before"] + [b"%d" % n for n in range(10)]
    read_nothing(reader, 0.3)


@pytest.mark.parametrize("how", ENDS)
def test_topics_and_their_settings_are_there_afterwards(own_broker, own_clients, name, how):
    topic = own_clients.create_topic(name, partitions=5, retention_ms=123_456_789)
    gone = own_clients.create_topic(f"{name}-gone")
    own_clients.admin().delete_topics([gone])[gone].result(SECONDS)
    restart(own_broker, how)
    metadata = own_clients.consumer().list_topics(timeout=SECONDS)
    assert set(metadata.topics) == {topic}
    assert len(metadata.topics[topic].partitions) == 5
    resource = ConfigResource("topic", topic)
    settings = own_clients.admin().describe_configs([resource])[resource].result(SECONDS)
    assert settings["retention.ms"].value == "123456789"


def test_many_kills_in_a_row_lose_nothing(own_broker, own_clients, name):
    topic = own_clients.create_topic(name)
    sent = []
    for round_ in range(6):
        part = [b"%d-%d" % (round_, n) for n in range(200)]
        send(own_clients.producer(), topic, part)
        sent += part
        restart(own_broker, "kill")
    assert values(read(own_clients.reader(topic), 1200)) == sent

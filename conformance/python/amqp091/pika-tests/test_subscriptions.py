"""Subscriptions: what Kafka producers put into a topic, AMQP consumers work off, each subscription
for itself, and the topic keeps it."""

import json
import urllib.request

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from amqp_support import Consumer, close, connect, count, get, publish
from kafka_client import SECONDS, read, send, until, values

PARTITIONS = 3


@pytest.fixture
def topic(clients, name):
    """A topic of several partitions, deleted after the test."""
    topic = f"{name}-topic"
    clients.create_topic(topic, partitions=PARTITIONS)
    yield topic
    if topic in clients.admin().list_topics(timeout=SECONDS).topics:
        clients.admin().delete_topics([topic])[topic].result(SECONDS)


def subscribe(channel, queue, topic, start="earliest", **arguments):
    arguments = {"x-topic": topic, "x-topic-start": start, **arguments}
    channel.queue_declare(queue, durable=True, arguments=arguments)


def many(prefix, n=60):
    return [b"%s%d" % (prefix, i) for i in range(n)]


def by_key(index):
    return b"key-%d" % (index % 7)


def work_off(connection, queue, n, **options):
    consumer = Consumer(connection.channel(), queue, **options)
    consumer.wait(n).settle_down()
    consumer.channel.basic_ack(consumer.tags[-1], multiple=True)
    return consumer


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_of_every_codec_are_messages(connection, clients, topic, name, codec):
    channel = connection.channel()
    subscribe(channel, name, topic)
    producer = clients.producer(compression_type=codec, linger_ms=50, enable_idempotence=True)
    sent = many(b"m ")
    send(producer, topic, sent, key=by_key)
    assert count(channel, name) == len(sent)
    consumer = work_off(connection, name, len(sent))
    assert sorted(consumer.bodies) == sorted(sent)
    assert {method.routing_key.encode() for method, _, _ in consumer.deliveries} == {
        by_key(index) for index in range(len(sent))
    }
    until(lambda: count(channel, name) == 0)
    channel.queue_delete(name)


def test_keys_headers_and_times_come_along(connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    headers = [("content-type", b"text/plain"), ("correlation-id", b"c-1"), ("mine", b"yes")]
    send(clients.producer(), topic, [b"x"], key=lambda _: b"k", headers=lambda _: headers)
    method, properties, body = get(channel, name)
    assert (body, method.routing_key, method.exchange) == (b"x", "k", "")
    assert (properties.content_type, properties.correlation_id) == ("text/plain", "c-1")
    assert properties.headers["mine"] == "yes"
    channel.queue_delete(name)


def test_two_subscriptions_and_a_group_of_kafka_each_get_everything(
    connection, clients, topic, name
):
    channel = connection.channel()
    queues = [f"{name}-{n}" for n in range(2)]
    for queue in queues:
        subscribe(channel, queue, topic)
    sent = many(b"a")
    send(clients.producer(), topic, sent, key=by_key)
    for queue in queues:
        assert sorted(work_off(connection, queue, len(sent)).bodies) == sorted(sent)
    consumer = clients.consumer(group=name)
    consumer.subscribe([topic])
    assert sorted(values(read(consumer, len(sent)))) == sorted(sent)
    for queue in queues:
        channel.queue_delete(queue)


def test_more_consumers_than_partitions_share_the_work(connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    consumers = []
    for _ in range(2 * PARTITIONS + 1):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=2)
        consumers.append(Consumer(channel, name))
    sent = many(b"w", 70)
    send(clients.producer(), topic, sent, key=by_key)
    acked = [0] * len(consumers)

    def work():
        connection.process_data_events(time_limit=0.05)
        for n, consumer in enumerate(consumers):
            for tag in consumer.tags[acked[n] :]:
                consumer.channel.basic_ack(tag)
            acked[n] = len(consumer.deliveries)
        return sum(acked) >= len(sent)

    until(work)
    assert sorted(sum((consumer.bodies for consumer in consumers), [])) == sorted(sent)
    assert all(consumer.bodies for consumer in consumers)
    channel = connection.channel()
    until(lambda: count(channel, name) == 0)
    channel.queue_delete(name)


def test_latest_begins_with_what_comes_after_and_is_the_default(connection, clients, topic, name):
    channel = connection.channel()
    send(clients.producer(), topic, many(b"before"), key=by_key)
    channel.queue_declare(name, durable=True, arguments={"x-topic": topic})
    assert count(channel, name) == 0
    send(clients.producer(), topic, [b"after"])
    assert get(channel, name)[2] == b"after"
    channel.queue_delete(name)


def test_nacks_counts_and_dead_letters(connection, clients, topic, name):
    channel = connection.channel()
    dead = f"{name}-dead"
    channel.queue_declare(dead, durable=True)
    arguments = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
        "x-queue-type": "quorum",
        "x-delivery-limit": 2,
    }
    subscribe(channel, name, topic, **arguments)
    send(clients.producer(), topic, [b"again", b"never"], partition=lambda _: 0)
    for deliveries in range(3):
        method, properties, body = get(channel, name, auto_ack=False)
        assert (body, method.redelivered) == (b"again", deliveries > 0)
        assert (properties.headers or {}).get("x-delivery-count", 0) == deliveries
        channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = get(channel, name, auto_ack=False)
    assert body == b"never"
    channel.basic_reject(method.delivery_tag, requeue=False)
    found = {}
    for _ in range(2):
        _, properties, body = get(channel, dead)
        (death,) = properties.headers["x-death"]
        assert death["queue"] == name
        found[body] = death["reason"]
    assert found == {b"again": "delivery_limit", b"never": "rejected"}
    assert values(read(clients.reader(topic, partition=0), 2)) == [b"again", b"never"]
    for queue in (name, dead):
        channel.queue_delete(queue)


def test_a_closed_channel_gives_back_what_it_held(connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    send(clients.producer(), topic, many(b"x", 5), key=by_key)
    first = Consumer(connection.channel(), name).wait(5)
    first.channel.close()
    second = Consumer(connection.channel(), name).wait(5)
    assert sorted(second.bodies) == sorted(first.bodies)
    assert all(method.redelivered for method, _, _ in second.deliveries)
    second.channel.basic_ack(0, multiple=True)
    channel.queue_delete(name)


def test_what_is_settled_stays_so_over_kill_9(own_broker, own_clients, name):
    topic = own_clients.create_topic(f"{name}-topic", partitions=PARTITIONS)
    connection = connect(own_broker)
    channel = connection.channel()
    subscribe(channel, name, topic)
    sent = many(b"k", 30)
    send(own_clients.producer(compression_type="zstd", linger_ms=20), topic, sent, key=by_key)
    consumer = Consumer(connection.channel(), name).wait(len(sent))
    settled = [delivery[2] for delivery in consumer.deliveries[::2]]
    for tag in consumer.tags[::2]:
        consumer.channel.basic_ack(tag)
    # An answer on the same channel comes behind them, and a commit of its own makes them durable.
    consumer.channel.queue_declare(f"{name}-later", durable=True)
    own_broker.kill()
    own_broker.start()
    connection = connect(own_broker)
    channel = connection.channel()
    assert count(channel, name) == len(sent) - len(settled)
    again = work_off(connection, name, len(sent) - len(settled))
    assert sorted(again.bodies + settled) == sorted(sent)
    consumer = own_clients.consumer(group=name)
    consumer.subscribe([topic])
    assert sorted(values(read(consumer, len(sent)))) == sorted(sent)
    close(connection)


def test_nothing_is_published_into_a_subscription(connection, refused, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    channel.confirm_delivery()
    code, text = refused(publish, channel, name, b"x")
    assert (code, name in text and topic in text) == (403, True)
    channel = connection.channel()
    code, _ = refused(channel.queue_bind, name, "amq.fanout")
    assert code == 403
    with pytest.raises(KafkaException) as caught:
        send(clients.producer(message_timeout_ms=5000), name, [b"x"])
    assert caught.value.args[0].code() in (
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._MSG_TIMED_OUT,
    )
    channel = connection.channel()
    assert count(channel, name) == 0
    channel.queue_delete(name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-max-priority": 3},
        {"x-max-length": 3},
        {"x-max-length-bytes": 3},
        {"x-overflow": "reject-publish"},
        {"x-track": True},
        {"x-topic-start": "somewhere"},
        {"x-topic": "no topic"},
    ],
)
def test_arguments_that_make_no_sense_are_refused(connection, refused, topic, name, arguments):
    channel = connection.channel()
    code, text = refused(subscribe, channel, name, topic, **arguments)
    assert code == 406, text


def test_a_subscription_is_durable_and_its_topic_must_exist(connection, refused, topic, name):
    for options in ({"durable": False}, {"durable": True, "exclusive": True}):
        channel = connection.channel()
        code, _ = refused(channel.queue_declare, name, arguments={"x-topic": topic}, **options)
        assert code == 406
    code, text = refused(subscribe, connection.channel(), name, "no-such-topic")
    assert (code, "no-such-topic" in text) == (404, True)
    channel = connection.channel()
    subscribe(channel, name, topic)
    subscribe(channel, name, topic)
    code, _ = refused(subscribe, channel, name, topic, start="latest")
    assert code == 406
    connection.channel().queue_delete(name)


def test_records_that_are_deleted_are_not_waited_for(connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    for n in range(10):
        send(clients.producer(), topic, [b"%d" % n], partition=lambda _: 0)
    method, _, body = get(channel, name, auto_ack=False)
    assert body == b"0"
    place = TopicPartition(topic, 0, 8)
    clients.admin().delete_records([place])[place].result(SECONDS)
    channel.basic_nack(method.delivery_tag, requeue=True)
    until(lambda: count(channel, name) == 2)
    assert [get(channel, name)[2] for _ in range(2)] == [b"8", b"9"]
    assert count(channel, name) == 0
    channel.queue_delete(name)


def test_a_subscription_goes_with_its_topic(connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    consumer = Consumer(channel, name)
    send(clients.producer(), topic, [b"old"])
    consumer.wait(1)
    clients.admin().delete_topics([topic])[topic].result(SECONDS)
    until(lambda: connection.process_data_events(time_limit=0.05) or cancelled)
    clients.create_topic(topic, partitions=PARTITIONS)
    other = connection.channel()
    subscribe(other, name, topic)
    send(clients.producer(), topic, [b"new"])
    assert get(other, name)[2] == b"new"
    other.queue_delete(name)


def test_it_is_shown_with_its_topic(broker, connection, clients, topic, name):
    channel = connection.channel()
    subscribe(channel, name, topic)
    send(clients.producer(), topic, [b"a", b"b"])
    with urllib.request.urlopen(f"http://{broker.http}/v1/queues/{name}") as answer:
        shown = json.load(answer)
    assert (shown["topic"], shown["ready"]) == (topic, 2)
    assert shown["settings"]["start"] == "earliest"
    assert channel.queue_purge(name).method.message_count == 2
    channel.queue_delete(name)

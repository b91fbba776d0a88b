"""One queue, two protocols: what AMQP publishes Kafka reads, what Kafka produces AMQP consumes."""

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from amqp_support import Consumer, close, connect, count, get, publish
from kafka_client import SECONDS, read, send, until, values


def ends(clients, topic, partition=0):
    return clients.consumer().get_watermark_offsets(TopicPartition(topic, partition), SECONDS)


def test_kafka_reads_what_is_in_a_queue_and_settles_nothing(channel, queue, clients):
    channel.confirm_delivery()
    publish(channel, queue, b"a", b"b", b"c")
    messages = read(clients.reader(queue), 3)
    assert values(messages) == [b"a", b"b", b"c"]
    assert [message.offset() for message in messages] == [0, 1, 2]
    assert [message.key() for message in messages] == [queue.encode()] * 3
    assert count(channel, queue) == 3


def test_headers_and_properties_are_text(channel, queue, clients):
    channel.confirm_delivery()
    publish(
        channel,
        queue,
        b"x",
        headers={"name": "J\u00fcrgen", "count": 7, "yes": True},
        content_type="text/plain",
        correlation_id="c-1",
        message_id="m-1",
        reply_to="back",
        type="kind",
    )
    (message,) = read(clients.reader(queue), 1)
    headers = dict(message.headers())
    for name, value in {
        "name": "J\u00fcrgen",
        "count": "7",
        "yes": "true",
        "content-type": "text/plain",
        "correlation-id": "c-1",
        "message-id": "m-1",
        "reply-to": "back",
        "type": "kind",
    }.items():
        assert headers[name].decode() == value, name


def test_amqp_consumes_what_kafka_produces(channel, queue, clients):
    headers = [("content-type", b"text/plain"), ("correlation-id", b"c-1"), ("mine", b"yes")]
    send(clients.producer(), queue, [b"1", b"2"], key=lambda _: b"key", headers=lambda _: headers)
    consumer = Consumer(channel, queue)
    consumer.wait(2)
    assert consumer.bodies == [b"1", b"2"]
    method, properties, _ = consumer.deliveries[0]
    assert (method.routing_key, method.redelivered) == ("key", False)
    assert (properties.content_type, properties.correlation_id) == ("text/plain", "c-1")
    assert properties.headers["mine"] == "yes"
    channel.basic_ack(consumer.tags[-1], multiple=True)
    until(lambda: count(channel, queue) == 0)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_and_idempotence(channel, queue, clients, codec):
    producer = clients.producer(compression_type=codec, enable_idempotence=True, linger_ms=50)
    sent = [b"%d " % n * 100 for n in range(100)]
    delivered = send(producer, queue, sent)
    assert [message.offset() for message in delivered] == list(range(100))
    assert count(channel, queue) == 100
    assert Consumer(channel, queue, auto_ack=True).wait(100).bodies == sent


def test_a_header_of_bytes_is_a_header_of_bytes(channel, queue, clients):
    channel.confirm_delivery()
    publish(channel, queue, b"m", headers={"raw": b"\x00\xff"})
    (message,) = read(clients.reader(queue), 1)
    assert ("raw", b"\x00\xff") in message.headers()
    assert get(channel, queue)[1].headers["raw"] == b"\x00\xff"


def test_both_write_and_both_see_one_order(channel, queue, clients):
    channel.confirm_delivery()
    for n in range(10):
        if n % 2 == 0:
            publish(channel, queue, b"%d" % n)
        else:
            send(clients.producer(), queue, [b"%d" % n])
    expected = [b"%d" % n for n in range(10)]
    assert values(read(clients.reader(queue), 10)) == expected
    assert Consumer(channel, queue, auto_ack=True).wait(10).bodies == expected


def test_a_level_of_priority_is_a_partition(connection, clients, name):
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments={"x-max-priority": 3})
    channel.confirm_delivery()
    publish(channel, name, b"low", priority=0)
    publish(channel, name, b"high", priority=2)
    listed = clients.admin().list_topics(name, timeout=SECONDS).topics[name]
    assert sorted(listed.partitions) == [0, 1, 2, 3]
    assert values(read(clients.reader(name, partition=2), 1)) == [b"high"]
    send(clients.producer(), name, [b"highest"], partition=lambda _: 3)
    bodies = [get(channel, name)[2] for _ in range(3)]
    assert bodies == [b"highest", b"high", b"low"]
    channel.queue_delete(name)


def test_a_group_of_kafka_goes_on_where_it_was_also_after_kill_9(own_broker, own_clients, name):
    connection = connect(own_broker)
    channel = connection.channel()
    channel.queue_declare(name, durable=True)
    channel.confirm_delivery()
    publish(channel, name, *[b"%d" % n for n in range(10)])
    first = own_clients.consumer(group=name)
    first.subscribe([name])
    begun = read(first, 4)
    first.commit(begun[-1], asynchronous=False)
    own_clients.close(first)
    send(own_clients.producer(), name, [b"10"])
    close(connection)
    own_broker.kill()
    own_broker.start()
    second = own_clients.consumer(group=name)
    second.subscribe([name])
    assert values(read(second, 7)) == [b"%d" % n for n in range(4, 11)]
    connection = connect(own_broker)
    channel = connection.channel()
    assert count(channel, name) == 11, "what was acknowledged to either is there"
    close(connection)


def test_what_is_settled_goes_from_the_front_many_at_a_time(channel, queue, clients):
    send(clients.producer(), queue, [b"%d" % n for n in range(3000)])
    assert ends(clients, queue) == (0, 3000)
    get(channel, queue)
    assert ends(clients, queue) == (0, 3000), "a few stay for a while"
    Consumer(channel, queue, auto_ack=True).wait(2999)
    until(lambda: ends(clients, queue)[0] > 1500)
    first, end = ends(clients, queue)
    assert end == 3000
    if first < end:
        assert values(read(clients.reader(queue, offset=first), 1)) == [b"%d" % first]


def test_a_queue_at_its_bound_refuses_kafka_as_well(connection, clients, name):
    channel = connection.channel()
    arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
    channel.queue_declare(name, durable=True, arguments=arguments)
    send(clients.producer(), name, [b"1", b"2"])
    with pytest.raises(KafkaException) as refused:
        send(clients.producer(), name, [b"3"])
    assert refused.value.args[0].code() == KafkaError.POLICY_VIOLATION
    assert count(channel, name) == 2
    channel.queue_delete(name)


def test_a_deleted_queue_is_no_topic_any_more(connection, clients, name):
    channel = connection.channel()
    channel.queue_declare(name, durable=True)
    send(clients.producer(), name, [b"x"])
    assert name in clients.admin().list_topics(timeout=SECONDS).topics
    channel.queue_delete(name)
    until(lambda: name not in clients.admin().list_topics(timeout=SECONDS).topics)


def test_queues_of_one_connection_and_in_memory_are_no_topics(connection, clients, name):
    channel = connection.channel()
    for options in ({"exclusive": True}, {"durable": False}):
        channel.queue_declare(name, **options)
        channel.confirm_delivery()
        publish(channel, name, b"x")
        listed = clients.admin().list_topics(timeout=SECONDS).topics
        assert name not in listed
        channel.queue_delete(name)
        channel = connection.channel()


def test_a_queue_is_not_changed_as_a_topic(channel, queue, clients):
    send(clients.producer(), queue, [b"x"])
    admin = clients.admin()
    place = TopicPartition(queue, 0, 1)
    for refused, code in (
        (lambda: admin.delete_topics([queue])[queue], KafkaError.UNKNOWN_TOPIC_OR_PART),
        (lambda: admin.delete_records([place])[place], KafkaError.TOPIC_AUTHORIZATION_FAILED),
        (
            lambda: admin.create_topics([confluent_kafka.admin.NewTopic(queue, 1, 1)])[queue],
            KafkaError.TOPIC_ALREADY_EXISTS,
        ),
    ):
        with pytest.raises(KafkaException) as caught:
            refused().result(SECONDS)
        assert caught.value.args[0].code() == code
    assert count(channel, queue) == 1

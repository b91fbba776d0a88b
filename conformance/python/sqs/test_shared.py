"""The same queues through AMQP 0-9-1, Kafka and SQS."""

import json

import confluent_kafka
import pika
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from sqs_support import attribute, receive, wait_until


def connect(broker):
    host, port = broker.amqp.rsplit(":", 1)
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))


def test_sent_by_sqs_and_consumed_by_amqp(broker, sqs, queue):
    attributes = {
        "n": {"DataType": "Number", "StringValue": "5"},
        "text": {"DataType": "String", "StringValue": "ä"},
        "content-type": {"DataType": "String", "StringValue": "text/plain"},
    }
    sent = sqs.send_message(QueueUrl=queue, MessageBody="hello", MessageAttributes=attributes)
    connection = connect(broker)
    channel = connection.channel()
    method, properties, body = channel.basic_get(queue.rsplit("/", 1)[1])
    assert body == b"hello"
    assert properties.message_id == sent["MessageId"]
    assert properties.content_type == "text/plain"
    assert properties.headers["n"] == "5" and properties.headers["text"] == "ä"
    assert "sqs" not in properties.headers
    # Given back, it is seen by SQS with its types.
    channel.basic_nack(method.delivery_tag, requeue=True)
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"], wait=20)
    assert message["MessageAttributes"] == attributes
    connection.close()


def test_published_by_amqp_and_received_by_sqs(broker, sqs, name):
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare(name, durable=True)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert url in sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
    properties = pika.BasicProperties(
        headers={"n": 5, "s": "text"}, content_type="text/plain", message_id="mine"
    )
    channel.basic_publish("", name, "häh".encode(), properties)
    channel.basic_publish("", name, b"\xff\x00")
    wait_until(lambda: attribute(sqs, url, "ApproximateNumberOfMessages") == "2")
    first, second = receive(sqs, url, MessageAttributeNames=["All"], VisibilityTimeout=1)
    assert first["Body"] == "häh"
    assert first["MessageAttributes"]["n"] == {"DataType": "String", "StringValue": "5"}
    assert first["MessageAttributes"]["content-type"]["StringValue"] == "text/plain"
    assert second["Body"] == "/wA="
    assert second["MessageAttributes"]["body-encoding"]["StringValue"] == "base64"
    # The id of a message stays the same.
    again = receive(sqs, url, wait=5)
    assert {message["MessageId"] for message in again} <= {first["MessageId"], second["MessageId"]}
    sqs.delete_queue(QueueUrl=url)
    connection.close()


def test_dead_lettered_by_amqp_and_seen_by_sqs(broker, sqs, queue, name):
    connection = connect(broker)
    channel = connection.channel()
    arguments = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue.rsplit("/", 1)[1],
    }
    channel.queue_declare(name, durable=True, arguments=arguments)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="b")
    method, _, body = channel.basic_get(name)
    assert body == b"b"
    channel.basic_reject(method.delivery_tag, requeue=False)
    (message,) = receive(sqs, queue, AttributeNames=["All"])
    assert message["Body"] == "b"
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":" + name)
    channel.queue_delete(name)
    connection.close()


def test_queues_of_connections_and_names_that_sqs_cannot_spell_are_hidden(broker, sqs, name):
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare(name + "-mine", exclusive=True)
    channel.queue_declare(name + ".dotted", durable=True)
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)
    channel.queue_delete(name + ".dotted")
    connection.close()


ATTRIBUTES = {
    "text": {"DataType": "String", "StringValue": "ä"},
    "number": {"DataType": "Number", "StringValue": "-1.50"},
    "custom": {"DataType": "Number.float", "StringValue": "1e3"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x01"},
    "image": {"DataType": "Binary.png", "BinaryValue": b"\x89PNG"},
}


def name_of(url):
    return url.rsplit("/", 1)[1]


def get(channel, queue, **options):
    """A message that is there, or comes soon."""
    found = []

    def look():
        found[:] = channel.basic_get(queue, **options)
        return found[0] is not None

    wait_until(look, seconds=30)
    return found


def test_round_by_every_side_types_and_ids_stay(broker, sqs, new_queue, name):
    """Sent by SQS, rejected by AMQP, dead-lettered, and seen by SQS as it was sent."""
    dead = new_queue()
    connection = connect(broker)
    channel = connection.channel()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name_of(dead)}
    channel.queue_declare(name, durable=True, arguments=arguments)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody="käse", MessageAttributes=ATTRIBUTES)
    method, properties, body = get(channel, name)
    assert body.decode() == "käse"
    assert properties.message_id == sent["MessageId"]
    assert properties.headers["number"] == "-1.50" and properties.headers["custom"] == "1e3"
    assert properties.headers["text"] == "ä"
    assert properties.headers["bytes"] == b"\x00\xff\x01"
    channel.basic_reject(method.delivery_tag, requeue=False)
    (message,) = receive(sqs, dead, MessageAttributeNames=["All"], AttributeNames=["All"], wait=20)
    assert message["Body"] == "käse"
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"] == ATTRIBUTES
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":" + name)
    sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
    channel.queue_delete(name)
    connection.close()


def test_dead_lettered_by_sqs_and_consumed_by_amqp(broker, sqs, new_queue):
    dead = new_queue()
    policy = {"deadLetterTargetArn": attribute(sqs, dead, "QueueArn"), "maxReceiveCount": 1}
    queue = new_queue({"RedrivePolicy": json.dumps(policy)})
    sent = sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=ATTRIBUTES)
    (message,) = receive(sqs, queue, wait=20)
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
    connection = connect(broker)
    _, properties, body = get(connection.channel(), name_of(dead), auto_ack=True)
    assert (body, properties.message_id) == (b"b", sent["MessageId"])
    (death,) = properties.headers["x-death"]
    assert death["queue"] == name_of(queue) and death["count"] == 1
    connection.close()


def test_headers_of_amqp_are_attributes(broker, sqs, name):
    connection = connect(broker)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    headers = {"int": -7, "large": 2**40, "yes": True, "text": "ä", "bytes": b"\x00\xff"}
    channel.basic_publish("", name, b"b", pika.BasicProperties(headers=headers, delivery_mode=2))
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    (message,) = receive(sqs, url, MessageAttributeNames=["All"], wait=20)
    attributes = message["MessageAttributes"]
    assert attributes.pop("bytes") == {"DataType": "Binary", "BinaryValue": b"\x00\xff"}
    texts = {key: value["StringValue"] for key, value in attributes.items()}
    assert texts == {"int": "-7", "large": str(2**40), "yes": "true", "text": "ä"}
    channel.queue_delete(name)
    connection.close()


def test_a_message_is_with_one_of_them_at_a_time(broker, sqs, queue):
    connection = connect(broker)
    channel = connection.channel()
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    (message,) = receive(sqs, queue, wait=20, VisibilityTimeout=600)
    assert channel.basic_get(name_of(queue))[0] is None
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
    method, _, _ = get(channel, name_of(queue))
    assert method.redelivered
    assert receive(sqs, queue, wait=0) == []
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "1"
    channel.basic_ack(method.delivery_tag)
    wait_until(lambda: attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "0", 30)
    connection.close()


def test_a_consumer_of_amqp_gets_what_sqs_sends(broker, sqs, queue):
    connection = connect(broker)
    channel = connection.channel()
    bodies = []
    channel.basic_consume(
        name_of(queue), lambda ch, method, _, body: bodies.append(body.decode()), auto_ack=True
    )
    for batch in range(5):
        entries = [{"Id": str(n), "MessageBody": str(batch * 10 + n)} for n in range(10)]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    def all_there():
        connection.process_data_events(time_limit=0.1)
        return len(bodies) >= 50

    wait_until(all_there, seconds=30)
    assert bodies == [str(n) for n in range(50)]
    connection.close()


def test_a_fifo_queue_by_amqp_keeps_its_groups(broker, sqs, fifo):
    for n in range(3):
        sqs.send_message(QueueUrl=fifo, MessageBody=str(n), MessageGroupId="g")
    connection = connect(broker)
    channel = connection.channel()
    for n in range(3):
        method, _, body = get(channel, name_of(fifo))
        assert body == str(n).encode()
        # What comes after it in its group waits for it.
        assert receive(sqs, fifo, wait=0) == []
        channel.basic_ack(method.delivery_tag)
    connection.close()


def test_both_sides_see_and_change_the_same_queue(broker, sqs, name):
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments={"x-max-priority": 3})
    channel.confirm_delivery()
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert attribute(sqs, url, "QueueArn").endswith(":" + name)
    sqs.tag_queue(QueueUrl=url, Tags={"team": "a"})
    for priority in (1, 3, 2):
        channel.basic_publish("", name, str(priority), pika.BasicProperties(priority=priority))
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == "3"
    assert [message["Body"] for message in receive(sqs, url, wait=20)] == ["3", "2", "1"]
    assert channel.queue_declare(name, passive=True).method.message_count == 0
    sqs.purge_queue(QueueUrl=url)
    channel.basic_publish("", name, "x")
    channel.queue_purge(name)
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == "0"
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        connection.channel().queue_declare(name, passive=True)
    assert caught.value.reply_code == 404
    connection.close()


def test_a_queue_of_sqs_is_read_by_kafka_clients_as_a_topic(broker, sqs, queue):
    for n in range(5):
        attributes = {"n": {"DataType": "Number", "StringValue": str(n)}}
        sqs.send_message(QueueUrl=queue, MessageBody=f"b{n}", MessageAttributes=attributes)
    options = {"bootstrap.servers": broker.kafka, "group.id": name_of(queue)}
    consumer = confluent_kafka.Consumer({**options, "auto.offset.reset": "earliest"})
    consumer.assign([confluent_kafka.TopicPartition(name_of(queue), 0, 0)])
    records = []

    def all_there():
        record = consumer.poll(0.2)
        if record is not None and record.error() is None:
            records.append(record)
        return len(records) >= 5

    wait_until(all_there, seconds=30)
    assert [record.value() for record in records] == [f"b{n}".encode() for n in range(5)]
    assert [dict(record.headers())["n"] for record in records] == [str(n).encode() for n in range(5)]
    consumer.close()
    # Reading settles nothing.
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == "5"


def test_a_subscription_to_a_topic_is_received_from_and_not_sent_to(broker, sqs, new_queue, name):
    settings = {"bootstrap.servers": broker.kafka, "broker.address.family": "v4"}
    admin = AdminClient(settings)
    topic = f"{name}-topic"
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(60)
    dead = new_queue()
    connection = connect(broker)
    channel = connection.channel()
    arguments = {"x-topic": topic, "x-topic-start": "earliest"}
    channel.queue_declare(name, durable=True, arguments=arguments)
    producer = confluent_kafka.Producer({**settings, "compression.type": "zstd"})
    sent = [f"order {n}" for n in range(12)]
    for n, body in enumerate(sent):
        producer.produce(topic, body, key=f"k{n}", headers={"kind": "order"})
    assert producer.flush(60) == 0
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == str(len(sent))
    policy = {"deadLetterTargetArn": attribute(sqs, dead, "QueueArn"), "maxReceiveCount": 1}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    bodies = []
    while len(bodies) < len(sent) - 1:
        for message in receive(sqs, url, MessageAttributeNames=["All"], wait=20):
            assert message["MessageAttributes"]["kind"]["StringValue"] == "order"
            handle = message["ReceiptHandle"]
            if message["Body"] == sent[0]:
                sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
                )
                continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
            bodies.append(message["Body"])
    assert sorted(bodies) == sorted(sent[1:])
    (message,) = receive(sqs, dead, AttributeNames=["All"], wait=20)
    assert message["Body"] == sent[0]
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":" + name)
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == "0"
    with pytest.raises(sqs.exceptions.UnsupportedOperation):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    entries = [{"Id": "a", "MessageBody": "x"}]
    (failed,) = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Failed"]
    assert failed["Code"] == "AWS.SimpleQueueService.UnsupportedOperation"
    channel.queue_delete(name)
    connection.close()

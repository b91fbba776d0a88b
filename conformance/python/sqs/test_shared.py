"""The same queues through AMQP 0-9-1 and through SQS."""

import pika
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
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"])
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

"""Direct reply-to: answers without a queue."""

import pika
import pytest

from amqp_support import Consumer, publish

PSEUDO = "amq.rabbitmq.reply-to"


def test_a_reply_comes_back_to_who_asked(connection, other_connection, queue):
    asking, answering = connection.channel(), other_connection.channel()
    replies = Consumer(asking, PSEUDO, auto_ack=True)
    publish(asking, queue, b"question", reply_to=PSEUDO, correlation_id="1")
    questions = Consumer(answering, queue, auto_ack=True).wait(1)
    _, properties, body = questions.deliveries[0]
    assert body == b"question" and properties.reply_to.startswith(PSEUDO + ".")
    reply = pika.BasicProperties(correlation_id=properties.correlation_id)
    answering.queue_declare(properties.reply_to, passive=True)
    answering.basic_publish("", properties.reply_to, b"answer", reply, mandatory=True)
    method, properties, body = replies.wait(1).deliveries[0]
    assert (body, properties.correlation_id, method.exchange) == (b"answer", "1", "")


def test_a_reply_to_nobody_is_returned(channel, queue, other_connection):
    asking = other_connection.channel()
    Consumer(asking, PSEUDO, auto_ack=True)
    publish(asking, queue, b"question", reply_to=PSEUDO)
    questions = Consumer(channel, queue, auto_ack=True).wait(1)
    address = questions.deliveries[0][1].reply_to
    other_connection.close()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", address, b"answer", mandatory=True)


def test_wrong_uses(connection, queue, refused):
    code, text = refused(connection.channel().basic_consume, PSEUDO, print)
    assert (code, text) == (406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
    channel = connection.channel()
    Consumer(channel, PSEUDO, auto_ack=True)
    code, text = refused(channel.basic_consume, PSEUDO, print, auto_ack=True)
    assert (code, text) == (406, "PRECONDITION_FAILED - reply consumer already set")
    channel = connection.channel()
    channel.confirm_delivery()
    code, text = refused(publish, channel, queue, b"x", reply_to=PSEUDO)
    assert (code, text) == (406, "PRECONDITION_FAILED - fast reply consumer does not exist")

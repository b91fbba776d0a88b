"""What outlives a restart and a kill -9, and clients that come back."""

import threading

import pika
import pika.exceptions
import pytest

from amqp_support import close, connect, count, drain, get, publish


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_durable_state_outlives_the_broker(own_broker, end):
    connection = connect(own_broker)
    channel = connection.channel()
    channel.exchange_declare("ex", "topic", durable=True)
    channel.exchange_declare("transient-ex", "topic")
    arguments = {"x-max-priority": 3, "x-message-ttl": 600_000}
    channel.queue_declare("kept", durable=True, arguments=arguments)
    channel.queue_declare("lost")
    channel.queue_bind("kept", "ex", "a.#")
    channel.confirm_delivery()
    properties = pika.BasicProperties(delivery_mode=2, headers={"n": 1})
    for body in [b"1", b"2", b"3"]:
        channel.basic_publish("ex", "a.b", body, properties, mandatory=True)
    channel.basic_get("kept", auto_ack=True)
    assert channel.basic_get("kept")[2] == b"2"
    if end == "kill":
        # Nobody waits for an acknowledgement; what is confirmed after it became durable after it.
        channel.queue_declare("other", durable=True)
        publish(channel, "other", b"")
        own_broker.kill()
    else:
        own_broker.stop()
    own_broker.start()

    connection = connect(own_broker)
    channel = connection.channel()
    channel.exchange_declare("ex", "topic", durable=True)
    channel.queue_declare("kept", durable=True, arguments=arguments)
    method, got, body = get(channel, "kept")
    assert (body, method.redelivered, got.headers) == (b"2", True, {"n": 1})
    method, _, body = get(channel, "kept")
    assert (body, method.redelivered) == (b"3", False)
    channel.confirm_delivery()
    channel.basic_publish("ex", "a.c", b"4", mandatory=True)
    assert drain(channel, "kept") == [b"4"]
    for call in [
        lambda ch: ch.queue_declare("lost", passive=True),
        lambda ch: ch.exchange_declare("transient-ex", passive=True),
    ]:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            call(connection.channel())
    close(connection)


def test_confirmed_messages_are_never_lost_by_kills(own_broker):
    confirmed, sent = [], 0
    for _round in range(4):
        connection = connect(own_broker)
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        killer = threading.Timer(0.5, own_broker.kill)
        killer.start()
        try:
            while True:
                publish(channel, "q", b"%d" % sent)
                confirmed.append(sent)
                sent += 1
        except pika.exceptions.AMQPError:
            sent += 1
        killer.join()
        own_broker.start()
    connection = connect(own_broker)
    got = [int(body) for body in drain(connection.channel(), "q")]
    assert set(confirmed) <= set(got) and got == sorted(got)
    assert len(confirmed) > 20
    close(connection)


def test_acknowledged_messages_do_not_come_back_after_a_clean_stop(own_broker):
    connection = connect(own_broker)
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    publish(channel, "q", *(b"%d" % i for i in range(50)))
    for _ in range(25):
        channel.basic_ack(channel.basic_get("q")[0].delivery_tag)
    connection.close()
    own_broker.stop()
    own_broker.start()
    connection = connect(own_broker)
    channel = connection.channel()
    assert count(channel, "q") == 25
    assert drain(channel, "q") == [b"%d" % i for i in range(25, 50)]
    close(connection)


def test_a_stopping_broker_says_so(own_broker):
    connection = connect(own_broker)
    connection.channel()
    own_broker.stop()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        connection.process_data_events(time_limit=2)
        connection.channel()
    assert caught.value.reply_code == 320
    assert caught.value.reply_text.startswith("CONNECTION_FORCED")
    own_broker.start()
    close(connect(own_broker))

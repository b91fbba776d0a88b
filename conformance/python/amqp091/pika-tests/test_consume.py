"""Consumers: credit, fairness, cancellation, recovery."""

import socket
import time

import pytest

from amqp_support import (
    Consumer,
    Raw,
    connect,
    count,
    drain,
    get,
    publish,
    wait_until,
)


def test_messages_come_in_order(channel, queue):
    bodies = [b"%d" % i for i in range(500)]
    publish(channel, queue, *bodies[:250])
    consumer = Consumer(channel, queue, auto_ack=True)
    publish(channel, queue, *bodies[250:])
    assert consumer.wait(500).bodies == bodies
    assert consumer.tags == list(range(1, 501))


def test_tags_are_made_up_where_none_is_given(channel, queue):
    one, two = Consumer(channel, queue), Consumer(channel, queue, consumer_tag="mine")
    assert two.tag == "mine" and one.tag != two.tag


def test_prefetch_of_a_consumer(connection, queue):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3)
    publish(channel, queue, *(b"%d" % i for i in range(10)))
    consumer = Consumer(channel, queue).wait(3).settle_down()
    assert consumer.bodies == [b"0", b"1", b"2"]
    channel.basic_ack(consumer.tags[0])
    assert consumer.wait(4).settle_down().bodies == [b"0", b"1", b"2", b"3"]
    channel.basic_ack(consumer.tags[-1], multiple=True)
    assert len(consumer.wait(7).settle_down().bodies) == 7


def test_prefetch_of_a_channel_is_shared_by_its_consumers(connection, name):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    consumers = []
    for queue in [f"{name}-1", f"{name}-2"]:
        channel.queue_declare(queue, exclusive=True)
        publish(channel, queue, *(b"%d" % i for i in range(5)))
        consumers.append(Consumer(channel, queue))
    connection.process_data_events(time_limit=0.5)
    deliveries = sum(len(consumer.deliveries) for consumer in consumers)
    assert deliveries == 3
    channel.basic_ack(0, multiple=True)
    connection.process_data_events(time_limit=0.5)
    assert sum(len(consumer.deliveries) for consumer in consumers) == 6


def test_prefetch_is_for_consumers_from_then_on(connection, queue):
    channel = connection.channel()
    publish(channel, queue, *(b"%d" % i for i in range(10)))
    channel.basic_qos(prefetch_count=1)
    one = Consumer(channel, queue).wait(1)
    channel.basic_qos(prefetch_count=2)
    two = Consumer(channel, queue).wait(2).settle_down()
    assert (len(one.deliveries), len(two.deliveries)) == (1, 2)


def test_get_is_empty_or_has_the_next(channel, queue):
    assert channel.basic_get(queue) == (None, None, None)
    publish(channel, queue, b"1", b"2")
    method, _, body = channel.basic_get(queue, auto_ack=True)
    assert (body, method.message_count) == (b"1", 1)
    method, _, body = channel.basic_get(queue)
    assert (body, method.message_count, method.redelivered) == (b"2", 0, False)
    channel.basic_ack(method.delivery_tag)


def test_requeued_messages_return_to_their_place(channel, queue):
    publish(channel, queue, b"1", b"2", b"3")
    first = channel.basic_get(queue)[0]
    channel.basic_reject(first.delivery_tag, requeue=True)
    method, _, body = channel.basic_get(queue)
    assert (body, method.redelivered) == (b"1", True)
    channel.basic_nack(method.delivery_tag, requeue=True)
    assert drain(channel, queue) == [b"1", b"2", b"3"]


def test_rejected_messages_are_gone(channel, queue):
    publish(channel, queue, b"1", b"2", b"3")
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(3)]
    channel.basic_reject(tags[0], requeue=False)
    channel.basic_nack(tags[2], multiple=True, requeue=False)
    assert count(channel, queue) == 0
    channel.close()


def test_what_is_out_returns_when_its_channel_or_connection_ends(broker, channel, queue):
    publish(channel, queue, b"1", b"2")
    other = connect(broker)
    by_channel = other.channel()
    assert get(by_channel, queue, auto_ack=False)[2] == b"1"
    by_channel.close()
    by_connection = other.channel()
    assert get(by_connection, queue, auto_ack=False)[0].redelivered
    assert get(by_connection, queue, auto_ack=False)[2] == b"2"
    other.close()
    for expected in [b"1", b"2"]:
        method, _, body = get(channel, queue)
        assert (body, method.redelivered) == (expected, True)


def test_recover_hands_out_again(channel, queue):
    publish(channel, queue, b"1", b"2")
    consumer = Consumer(channel, queue).wait(2)
    channel.basic_recover(requeue=True)
    consumer.wait(4)
    assert consumer.bodies == [b"1", b"2", b"1", b"2"]
    redelivered = [method.redelivered for method, _, _ in consumer.deliveries]
    assert redelivered == [False, False, True, True]


def test_a_cancelled_consumer_gets_nothing_more_and_keeps_what_it_has(channel, queue):
    publish(channel, queue, b"1")
    consumer = Consumer(channel, queue).wait(1)
    channel.basic_cancel(consumer.tag)
    publish(channel, queue, b"2")
    assert consumer.settle_down().bodies == [b"1"]
    channel.basic_ack(consumer.tags[0])
    assert drain(channel, queue) == [b"2"]
    channel.basic_cancel("never there")


def test_consumers_are_told_that_their_queue_is_gone(connection, name):
    channel = connection.channel()
    channel.queue_declare(name)
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    consumer = Consumer(channel, name)
    connection.channel().queue_delete(name)
    deadline = time.monotonic() + 60
    while not cancelled and time.monotonic() < deadline:
        connection.process_data_events(time_limit=0.05)
    assert cancelled == [consumer.tag]
    assert channel.is_open


def test_an_exclusive_consumer_is_alone(connection, queue, refused):
    Consumer(connection.channel(), queue, exclusive=True)
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    for call in [
        lambda ch: ch.basic_consume(queue, print),
        lambda ch: ch.basic_consume(queue, print, exclusive=True),
    ]:
        assert refused(call, connection.channel()) == (403, text)


def test_consumers_take_turns(connection, queue):
    consumers = []
    for _ in range(3):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        consumers.append(Consumer(channel, queue))
    publish(connection.channel(), queue, *(b"%d" % i for i in range(30)))
    wait_for = time.monotonic() + 60
    while sum(len(c.deliveries) for c in consumers) < 30 and time.monotonic() < wait_for:
        connection.process_data_events(time_limit=0.05)
    assert [len(consumer.deliveries) for consumer in consumers] == [10, 10, 10]


def test_higher_priority_consumers_are_served_first(connection, queue):
    low_channel, high_channel = connection.channel(), connection.channel()
    for channel in [low_channel, high_channel]:
        channel.basic_qos(prefetch_count=2)
    low = Consumer(low_channel, queue)
    high = Consumer(high_channel, queue, arguments={"x-priority": 10})
    publisher = connection.channel()
    for body in [b"1", b"2"]:
        publish(publisher, queue, body)
        connection.process_data_events(time_limit=0.2)
    assert (low.bodies, high.bodies) == ([], [b"1", b"2"])
    publish(publisher, queue, b"3")
    low.wait(1)
    assert low.bodies == [b"3"]


def test_a_single_active_consumer_is_followed_by_the_next(connection, name):
    arguments = {"x-single-active-consumer": True}
    connection.channel().queue_declare(name, durable=True, arguments=arguments)
    one, two = Consumer(connection.channel(), name), Consumer(connection.channel(), name)
    publisher = connection.channel()
    publish(publisher, name, b"1", b"2")
    one.wait(2)
    assert two.settle_down().bodies == []
    one.channel.close()
    assert two.wait(2).bodies == [b"1", b"2"]
    connection.channel().queue_delete(name)


def test_flow_stops_and_starts_deliveries(connection, queue):
    channel = connection.channel()
    consumer = Consumer(channel, queue, auto_ack=True)
    assert channel.flow(False) is False
    publish(connection.channel(), queue, b"1", b"2")
    assert consumer.settle_down().bodies == []
    assert channel.flow(True) is True
    assert consumer.wait(2).bodies == [b"1", b"2"]


def test_a_client_that_never_reads_holds_up_nobody_else(broker, channel, queue, name):
    raw = Raw(broker)
    raw.open()
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.open_channel()
    consume = b"\x00\x00" + bytes([len(queue)]) + queue.encode() + b"\x01t\x02" + b"\x00" * 4
    raw.send_method(1, 60, 20, consume)
    body = b"x" * 100_000
    # The sockets take a part: some 5 MB, on a busy machine twice that.
    publish(channel, queue, *[body] * 400)
    other = f"{name}-other"
    channel.queue_declare(other, exclusive=True)
    publish(channel, other, b"fine")
    assert drain(channel, other) == [b"fine"]
    left = len(drain(channel, queue))
    assert left > 200, "what the silent client has no room for is there for others"
    raw.socket.close()


@pytest.mark.parametrize("of", ["broker", "queue"])
def test_consumer_timeout_closes_the_channel(start_broker, of):
    broker = start_broker({"amqp": {"consumer_timeout": "500ms" if of == "broker" else "1h"}})
    connection = connect(broker)
    channel = connection.channel()
    arguments = {"x-consumer-timeout": 500} if of == "queue" else {}
    channel.queue_declare("slow", durable=True, arguments=arguments)
    publish(channel, "slow", b"m")
    assert count(channel, "slow") == 1
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    raw.send_method(1, 60, 70, b"\x00\x00\x04slow\x00")
    assert raw.method()[:2] == (60, 71)
    class_id, method_id, arguments = raw.method()
    assert (class_id, method_id, arguments[:2]) == (20, 40, (406).to_bytes(2, "big"))
    assert b"on channel 1 timed out. Timeout value used: 500 ms" in arguments
    method, _, _ = get(channel, "slow")
    assert method.redelivered
    connection.close()


def test_acknowledged_messages_are_gone_for_good(broker, channel, queue):
    publish(channel, queue, *(b"%d" % i for i in range(100)))
    consumer = Consumer(channel, queue).wait(100)
    channel.basic_ack(consumer.tags[-1], multiple=True)
    channel.close()
    other = connect(broker)
    wait_until(lambda: count(other.channel(), queue) == 0)
    assert other.channel().basic_get(queue)[0] is None
    other.close()

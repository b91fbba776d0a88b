"""Queues: names, lifetimes, arguments, bounds."""

import time

import pika.exceptions
import pytest

from amqp_support import Consumer, close, connect, count, drain, get, publish, wait_until


def exists(connection, name):
    channel = connection.channel()
    try:
        channel.queue_declare(name, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    channel.close()
    return True


def test_the_broker_names_a_queue(channel):
    one, two = (channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
    assert one.startswith("amq.gen-") and one != two
    channel.queue_declare(one, passive=True)
    channel.queue_declare(one, exclusive=True)


def test_an_empty_name_is_the_last_one_declared(channel):
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", "amq.direct", f"key-{name}")
    channel.basic_publish("amq.direct", f"key-{name}", b"m")
    assert channel.basic_get("", auto_ack=True)[2] == b"m"
    assert channel.queue_purge("").method.message_count == 0


def test_counts_of_messages_and_consumers(channel, queue):
    publish(channel, queue, b"1", b"2", b"3")
    assert count(channel, queue) == 3
    other = channel.connection.channel()
    other.basic_qos(prefetch_count=1)
    Consumer(other, queue).wait(1)
    declared = channel.queue_declare(queue, passive=True).method
    assert (declared.message_count, declared.consumer_count) == (2, 1)
    other.close()
    assert count(channel, queue) == 3


def test_purge_takes_what_is_ready_and_not_what_is_out(channel, queue):
    publish(channel, queue, b"1", b"2", b"3")
    method = channel.basic_get(queue)[0]
    assert channel.queue_purge(queue).method.message_count == 2
    channel.basic_nack(method.delivery_tag)
    assert drain(channel, queue) == [b"1"]


def test_delete_tells_how_many_messages_go(channel, name):
    channel.queue_declare(name, durable=True)
    publish(channel, name, b"1", b"2")
    assert channel.queue_delete(name).method.message_count == 2
    assert not exists(channel.connection, name)


def test_delete_if_empty_and_if_unused(connection, queue, refused):
    publish(connection.channel(), queue, b"m")
    code, text = refused(connection.channel().queue_delete, queue, if_empty=True)
    assert (code, text) == (406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' is not empty")
    consumer = Consumer(connection.channel(), queue, auto_ack=True).wait(1)
    code, text = refused(connection.channel().queue_delete, queue, if_unused=True)
    assert (code, text) == (406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use")
    consumer.channel.basic_cancel(consumer.tag)
    connection.channel().queue_delete(queue, if_unused=True, if_empty=True)


def test_exclusive_queues_go_with_their_connection(broker, connection, name):
    other = connect(broker)
    other.channel().queue_declare(name, exclusive=True)
    close(other)
    wait_until(lambda: not exists(connection, name))


def test_auto_delete_queues_go_with_their_last_consumer(connection, name):
    channel = connection.channel()
    channel.queue_declare(name, auto_delete=True)
    publish(channel, name, b"kept while nobody consumed")
    one, two = Consumer(channel, name), Consumer(channel, name)
    channel.basic_cancel(one.tag)
    assert exists(connection, name)
    channel.basic_cancel(two.tag)
    wait_until(lambda: not exists(connection, name))


def test_unused_queues_expire(connection, name):
    connection.channel().queue_declare(name, arguments={"x-expires": 1000})
    assert exists(connection, name)
    time.sleep(1.5)
    for _ in range(20):
        if not exists(connection, name):
            return
        time.sleep(3)  # To look at it is to use it: it starts anew.
    pytest.fail("the queue is there still")


def test_messages_of_a_queue_expire(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-message-ttl": 2000})
    publish(channel, name, b"1")
    assert count(channel, name) == 1
    wait_until(lambda: count(channel, name) == 0)


def test_single_messages_expire(channel, queue):
    publish(channel, queue, b"short", expiration="100")
    publish(channel, queue, b"long", expiration="60000")
    time.sleep(0.3)
    assert drain(channel, queue) == [b"long"]


def test_a_ttl_of_zero_needs_a_waiting_consumer(channel, queue):
    publish(channel, queue, b"gone", expiration="0")
    time.sleep(0.05)
    assert channel.basic_get(queue)[0] is None


def test_length_drops_the_oldest(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length": 2})
    publish(channel, name, b"1", b"2", b"3")
    assert drain(channel, name) == [b"2", b"3"]


def test_bytes_drop_the_oldest(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length-bytes": 10})
    publish(channel, name, b"12345", b"67890", b"abcde")
    assert drain(channel, name) == [b"67890", b"abcde"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_full_queue_refuses_when_told_to(channel, name, durable):
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, durable=durable, arguments=arguments)
    channel.confirm_delivery()
    publish(channel, name, b"1")
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, name, b"2")
    assert drain(channel, name) == [b"1"]
    publish(channel, name, b"3")
    assert drain(channel, name) == [b"3"]
    channel.queue_delete(name)


def test_priorities_are_served_highest_first(channel, name):
    channel.queue_declare(name, durable=True, arguments={"x-max-priority": 5})
    for body, priority in [(b"low", 1), (b"none", None), (b"high", 5), (b"above", 9), (b"mid", 3)]:
        publish(channel, name, body, priority=priority)
    assert drain(channel, name) == [b"high", b"above", b"mid", b"low", b"none"]
    channel.queue_delete(name)


def test_legacy_and_unknown_arguments_are_accepted(channel, name):
    arguments = {
        "x-queue-mode": "lazy",
        "x-queue-version": 2,
        "x-queue-master-locator": "min-masters",
        "x-unknown": "whatever",
    }
    channel.queue_declare(name, exclusive=True, arguments=arguments)


def test_quorum_queues(connection, refused, name):
    arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments=arguments)
    publish(channel, name, b"m")
    method, properties, _ = get(channel, name, auto_ack=False)
    assert not method.redelivered and not (properties.headers or {})
    channel.basic_nack(method.delivery_tag)
    method, properties, _ = get(channel, name, auto_ack=False)
    assert method.redelivered and properties.headers == {"x-delivery-count": 1}
    channel.queue_delete(name)
    for wrong in [{"durable": False}, {"durable": True, "exclusive": True}]:
        call = connection.channel().queue_declare
        code, text = refused(call, name, arguments=arguments, **wrong)
        assert code == 406 and text.startswith("PRECONDITION_FAILED - invalid property")


def test_transient_queues_take_large_and_small_messages(channel, name):
    channel.queue_declare(name)
    bodies = [b"", b"x", b"y" * 200_000, b"z" * 2_000_000]
    publish(channel, name, *bodies)
    assert drain(channel, name) == bodies
    channel.queue_delete(name)


def test_names_of_other_scripts(channel):
    for name in ["Schlüssel / ä", "队列", "with spaces", "a" * 255]:
        channel.queue_declare(name, exclusive=True)
        publish(channel, name, b"m")
        assert drain(channel, name) == [b"m"]

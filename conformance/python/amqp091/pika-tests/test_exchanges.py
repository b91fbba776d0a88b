"""Exchanges of every kind, bindings, and where messages go."""

import pika
import pika.exceptions
import pytest

from amqp_support import drain, get


def bound(channel, exchange, *keys, arguments=None):
    """A queue of its own that is bound by these keys."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(queue, exchange, key, arguments)
    return queue


def test_direct_goes_by_the_whole_key(channel, name):
    channel.exchange_declare(name, "direct", auto_delete=True)
    one, both = bound(channel, name, "a"), bound(channel, name, "a", "b")
    for key in ["a", "b", "c"]:
        channel.basic_publish(name, key, key.encode())
    assert (drain(channel, one), drain(channel, both)) == ([b"a"], [b"a", b"b"])


def test_fanout_goes_to_all(channel, name):
    channel.exchange_declare(name, "fanout", auto_delete=True)
    queues = [bound(channel, name, "") for _ in range(3)]
    channel.basic_publish(name, "whatever", b"m")
    assert [drain(channel, queue) for queue in queues] == [[b"m"]] * 3


@pytest.mark.parametrize(
    "pattern, matching",
    [
        ("a.*", {"a.b", "a.c"}),
        ("a.#", {"a", "a.b", "a.c", "a.b.c"}),
        ("#", {"a", "b", "a.b", "a.c", "a.b.c", ""}),
        ("*.b", {"a.b"}),
        ("#.c", {"a.c", "a.b.c"}),
        ("a.*.c", {"a.b.c"}),
        ("*", {"a", "b"}),
    ],
)
def test_topic_goes_by_patterns(channel, name, pattern, matching):
    channel.exchange_declare(name, "topic", auto_delete=True)
    queue = bound(channel, name, pattern)
    for key in ["a", "b", "a.b", "a.c", "a.b.c", ""]:
        channel.basic_publish(name, key, key.encode() or b"empty")
    got = {body.decode() for body in drain(channel, queue)}
    assert got == {key or "empty" for key in matching}


@pytest.mark.parametrize(
    "match, expected",
    [
        ({"x-match": "all", "a": 1, "b": "x"}, ["both"]),
        ({"x-match": "any", "a": 1, "b": "x"}, ["a", "b", "both"]),
        ({"x-match": "all", "x-k": "v"}, ["a", "b", "both", "x", "none"]),
        ({"x-match": "all-with-x", "x-k": "v"}, ["x"]),
        ({"x-match": "any-with-x", "x-k": "v", "a": 1}, ["a", "both", "x"]),
    ],
)
def test_headers_go_by_all_four_ways_to_match(channel, name, match, expected):
    channel.exchange_declare(name, "headers", auto_delete=True)
    queue = bound(channel, name, "", arguments=match)
    messages = {
        "a": {"a": 1},
        "b": {"b": "x"},
        "both": {"a": 1, "b": "x", "c": 2},
        "x": {"x-k": "v"},
        "none": {},
    }
    for body, headers in messages.items():
        channel.basic_publish(name, "", body, pika.BasicProperties(headers=headers))
    assert [body.decode() for body in drain(channel, queue)] == expected


def test_exchanges_are_bound_to_each_other(channel, name):
    source, middle = f"{name}-source", f"{name}-middle"
    channel.exchange_declare(source, "topic", auto_delete=True)
    channel.exchange_declare(middle, "direct")
    queue = bound(channel, middle, "a.b")
    channel.exchange_bind(middle, source, "a.*")
    channel.basic_publish(source, "a.b", b"through")
    channel.basic_publish(source, "a.c", b"not in the queue")
    assert drain(channel, queue) == [b"through"]
    channel.exchange_unbind(middle, source, "a.*")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.exchange_declare(source, passive=True)  # went with its last binding


def test_cycles_between_exchanges_deliver_once(channel, name):
    one, two = f"{name}-1", f"{name}-2"
    for exchange in [one, two]:
        channel.exchange_declare(exchange, "fanout")
    channel.exchange_bind(one, two)
    channel.exchange_bind(two, one)
    queue = bound(channel, two, "")
    channel.basic_publish(one, "", b"m")
    assert drain(channel, queue) == [b"m"]
    for exchange in [one, two]:
        channel.exchange_delete(exchange)


def test_alternate_exchange_gets_what_nobody_wants(channel, name):
    channel.exchange_declare(f"{name}-other", "fanout")
    arguments = {"alternate-exchange": f"{name}-other"}
    channel.exchange_declare(name, "direct", arguments=arguments)
    wanted, rest = bound(channel, name, "a"), bound(channel, f"{name}-other", "")
    channel.confirm_delivery()
    for key in ["a", "b"]:
        channel.basic_publish(name, key, key.encode(), mandatory=True)
    assert (drain(channel, wanted), drain(channel, rest)) == ([b"a"], [b"b"])
    channel.exchange_delete(name)
    channel.exchange_delete(f"{name}-other")


def test_internal_exchanges_take_nothing_from_clients(connection, refused, name):
    channel = connection.channel()
    channel.exchange_declare(name, "fanout", internal=True)
    channel.confirm_delivery()
    code, text = refused(channel.basic_publish, name, "", b"m")
    assert code == 403 and "internal exchange" in text
    connection.channel().exchange_delete(name)


def test_a_used_exchange_is_not_deleted_if_unused(connection, refused, name):
    channel = connection.channel()
    channel.exchange_declare(name, "fanout")
    queue = bound(channel, name, "")
    code, text = refused(channel.exchange_delete, name, if_unused=True)
    assert (code, text) == (406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use")
    channel = connection.channel()
    channel.queue_delete(queue)
    channel.exchange_delete(name, if_unused=True)


def test_declaring_an_exchange_again(connection, refused, name):
    channel = connection.channel()
    channel.exchange_declare(name, "direct", durable=True)
    channel.exchange_declare(name, "direct", durable=True)
    channel.exchange_declare(name, passive=True)
    code, text = refused(channel.exchange_declare, name, "topic", durable=True)
    start = f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{name}' in vhost '/': "
    assert (code, text) == (406, start + "received 'topic' but current is 'direct'")
    connection.channel().exchange_delete(name)


def test_predeclared_exchanges(channel):
    kinds = {
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
    }
    for exchange, kind in kinds.items():
        channel.exchange_declare(exchange, passive=True)
        channel.exchange_declare(exchange, kind, durable=True)
    channel.exchange_declare("amq.rabbitmq.trace", passive=True)


def test_unbinding_stops_the_flow(channel):
    queue = bound(channel, "amq.direct", f"key-{id(channel)}")
    key = f"key-{id(channel)}"
    channel.basic_publish("amq.direct", key, b"1")
    channel.queue_unbind(queue, "amq.direct", key)
    channel.basic_publish("amq.direct", key, b"2")
    assert drain(channel, queue) == [b"1"]
    channel.queue_unbind(queue, "amq.direct", key)  # gone already, which is fine


def test_cc_and_bcc_add_routing_keys(channel):
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    headers = {"CC": [queues[1]], "BCC": [queues[2]]}
    properties = pika.BasicProperties(headers=headers)
    channel.basic_publish("", queues[0], b"m", properties)
    for queue in queues:
        method, got, body = get(channel, queue)
        assert (body, method.routing_key) == (b"m", queues[0])
        assert got.headers == {"CC": [queues[1]]}, "nobody sees BCC"


def test_a_message_bound_twice_arrives_once(channel, name):
    channel.exchange_declare(name, "topic", auto_delete=True)
    queue = bound(channel, name, "a.#", "#.b")
    channel.basic_publish(name, "a.b", b"m")
    assert drain(channel, queue) == [b"m"]

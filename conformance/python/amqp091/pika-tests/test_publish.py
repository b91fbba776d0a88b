"""Publishing: properties, bodies, confirms, returns."""

import datetime
import decimal

import pika
import pika.exceptions
import pytest

from amqp_support import Raw, drain, get, publish


@pytest.fixture(params=["durable", "transient"])
def any_queue(request, channel, name):
    channel.queue_declare(name, durable=request.param == "durable")
    yield name
    channel.queue_delete(name)


def test_every_property_comes_back_as_it_was_sent(channel, any_queue):
    headers = {
        "text": "täxt",
        "int": -7,
        "long": 1 << 40,
        "bool": True,
        "none": None,
        "list": [1, "two", [3, {"four": 4}]],
        "table": {"k": {"n": [True]}},
        "bytes": b"\x00\xff",
        "time": datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        "decimal": decimal.Decimal("1.25"),
        "content-type": "a header of this name",
        "amqp091": "and of this",
    }
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=5,
        correlation_id="c-1",
        reply_to="somewhere",
        expiration="60000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="kind",
        user_id="guest",
        app_id="app",
        cluster_id="cl",
    )
    channel.basic_publish("", any_queue, b"body", sent)
    method, got, body = get(channel, any_queue)
    assert (method.exchange, method.routing_key, body) == ("", any_queue, b"body")
    for field in sent.__dict__:
        if field != "headers":
            assert getattr(got, field) == getattr(sent, field), field
    got.headers["time"] = got.headers["time"].replace(tzinfo=datetime.timezone.utc)
    assert got.headers == headers


def test_no_properties_come_back_as_none(channel, any_queue):
    channel.basic_publish("", any_queue, b"bare")
    _, got, _ = get(channel, any_queue)
    assert all(value is None for value in got.__dict__.values())


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 131_064, 131_065, 1 << 20, 10 << 20])
def test_bodies_of_every_size(channel, any_queue, size):
    body = bytes(i * 7 % 256 for i in range(min(size, 4096))) * (size // 4096 + 1)
    body = body[:size]
    channel.confirm_delivery()
    channel.basic_publish("", any_queue, body)
    assert get(channel, any_queue)[2] == body


def test_confirms_come_in_order_and_for_all(broker, name):
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    queue = name.encode()
    raw.send_method(1, 50, 10, b"\x00\x00" + bytes([len(queue)]) + queue + b"\x02" + b"\x00" * 4)
    assert raw.method()[:2] == (50, 11)
    raw.send_method(1, 85, 10, b"\x00")
    assert raw.method()[:2] == (85, 11)
    one = bytearray()

    def frame(kind, payload):
        return bytes([kind]) + b"\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"

    one += frame(1, b"\x00\x3c\x00\x28\x00\x00\x00" + bytes([len(queue)]) + queue + b"\x00")
    one += frame(2, b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big") + b"\x10\x00\x02")
    one += frame(3, b"abc")
    raw.socket.sendall(bytes(one) * 1000)
    confirmed = 0
    while confirmed < 1000:
        class_id, method_id, arguments = raw.method()
        assert (class_id, method_id) == (60, 80)
        tag, multiple = int.from_bytes(arguments[:8], "big"), arguments[8] & 1
        assert tag > confirmed and (multiple or tag == confirmed + 1)
        confirmed = tag
    raw.send_method(1, 50, 40, b"\x00\x00" + bytes([len(queue)]) + queue + b"\x00")
    assert raw.method() == (50, 41, (1000).to_bytes(4, "big"))


def test_a_mandatory_message_without_a_queue_comes_back_before_its_confirm(channel, name):
    channel.confirm_delivery()
    properties = pika.BasicProperties(headers={"k": "v"}, message_id="m")
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("amq.direct", name, b"body", properties, mandatory=True)
    (returned,) = caught.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("amq.direct", name)
    assert (returned.properties, returned.body) == (properties, b"body")


def test_what_nobody_wants_is_confirmed(channel, name):
    channel.confirm_delivery()
    channel.basic_publish("amq.direct", name, b"into the void")


def test_returns_without_confirms(connection, name):
    channel = connection.channel()
    returned = []
    channel.add_on_return_callback(lambda *arguments: returned.append(arguments[-1]))
    channel.basic_publish("", name, b"back", mandatory=True)
    connection.process_data_events(time_limit=0.5)
    assert returned == [b"back"]


def test_publishes_of_many_channels_at_once(connection, name):
    channels = [connection.channel() for _ in range(20)]
    for number, channel in enumerate(channels):
        queue = f"{name}-{number}"
        channel.queue_declare(queue, exclusive=True)
        publish(channel, queue, *(b"%d" % i for i in range(50)))
    for number, channel in enumerate(channels):
        assert drain(channel, f"{name}-{number}") == [b"%d" % i for i in range(50)]


def test_transient_messages_in_a_durable_queue(channel, queue):
    channel.confirm_delivery()
    publish(channel, queue, b"1", delivery_mode=1)
    publish(channel, queue, b"2", delivery_mode=2)
    assert drain(channel, queue) == [b"1", b"2"]

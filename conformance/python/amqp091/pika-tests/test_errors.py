"""Which error costs what: the codes and texts of RabbitMQ, on the channel or the connection."""

import pika
import pytest

from amqp_support import Raw, connect, publish


def test_an_error_of_a_channel_leaves_the_others_alone(connection, refused):
    broken, other = connection.channel(), connection.channel()
    assert refused(broken.queue_declare, "missing", passive=True)[0] == 404
    assert other.is_open and connection.is_open
    again = connection.channel(broken.channel_number)
    assert again.is_open, "its number can be used again"


def test_unknown_names(connection, refused, name):
    no_queue = f"NOT_FOUND - no queue '{name}' in vhost '/'"
    no_exchange = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
    for call, expected in [
        (lambda ch: ch.queue_declare(name, passive=True), no_queue),
        (lambda ch: ch.queue_purge(name), no_queue),
        (lambda ch: ch.queue_bind(name, "amq.direct"), no_queue),
        (lambda ch: ch.basic_get(name), no_queue),
        (lambda ch: ch.basic_consume(name, print), no_queue),
        (lambda ch: ch.exchange_declare(name, passive=True), no_exchange),
        (lambda ch: ch.exchange_bind(name, "amq.direct"), no_exchange),
        (lambda ch: ch.exchange_bind("amq.direct", name), no_exchange),
    ]:
        assert refused(call, connection.channel()) == (404, expected)


def test_deleting_what_is_not_there_is_fine(channel, name):
    assert channel.queue_delete(name).method.message_count == 0
    channel.exchange_delete(name)


def test_publishing_to_an_unknown_exchange(connection, refused, name):
    channel = connection.channel()
    channel.confirm_delivery()
    code, text = refused(channel.basic_publish, name, "key", b"x")
    assert (code, text) == (404, f"NOT_FOUND - no exchange '{name}' in vhost '/'")


def test_inequivalent_queue_arguments(connection, refused, queue, name):
    channel = connection.channel()
    start = f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': "
    code, text = refused(channel.queue_declare, queue, durable=False)
    assert (code, text) == (406, start + "received 'false' but current is 'true'")
    channel = connection.channel()
    arguments = {"x-message-ttl": 5}
    code, text = refused(channel.queue_declare, queue, durable=True, arguments=arguments)
    assert code == 406
    assert f"inequivalent arg 'x-message-ttl' for queue '{queue}' in vhost '/'" in text
    connection.channel().queue_declare(queue, durable=True)


def test_equal_numbers_of_other_widths_are_equivalent(channel, name):
    for ttl in [60000, 60000.0 and 60000, (1 << 40)][:2]:
        channel.queue_declare(name, exclusive=True, arguments={"x-message-ttl": ttl})


def test_reserved_names(connection, refused):
    code, text = refused(connection.channel().queue_declare, "amq.mine")
    assert (code, text) == (
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    )
    code, text = refused(connection.channel().exchange_declare, "amq.mine")
    assert code == 403 and "reserved prefix" in text
    for call in [
        lambda ch: ch.exchange_delete("amq.direct"),
        lambda ch: ch.exchange_declare("", "direct"),
        lambda ch: ch.exchange_delete(""),
    ]:
        assert refused(call, connection.channel())[0] == 403


def test_the_default_exchange_cannot_be_bound(connection, refused, queue):
    code, text = refused(connection.channel().queue_bind, queue, "", "key")
    assert code == 403 and "operation not permitted on the default exchange" in text


def test_unknown_exchange_type(connection, refused, name):
    code, text = refused(connection.channel().exchange_declare, name, "x-unknown")
    assert code == 406 and "x-unknown" in text


def test_exclusive_queues_are_locked_to_their_connection(
    channel, other_connection, refused, name
):
    channel.queue_declare(name, exclusive=True)
    for call in [
        lambda ch: ch.queue_declare(name, exclusive=True),
        lambda ch: ch.queue_declare(name, passive=True),
        lambda ch: ch.basic_get(name),
        lambda ch: ch.basic_consume(name, print),
        lambda ch: ch.queue_delete(name),
        lambda ch: ch.queue_purge(name),
        lambda ch: ch.queue_bind(name, "amq.direct"),
    ]:
        code, text = refused(call, other_connection.channel())
        start = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"
        assert code == 405 and text.startswith(f"{start} '{name}' in vhost '/'")


def test_unknown_delivery_tag(channel, refused):
    channel.basic_ack(99)
    code, text = refused(channel.queue_declare, "", exclusive=True)
    assert (code, text) == (406, "PRECONDITION_FAILED - unknown delivery tag 99")


def test_settling_twice(connection, queue, refused):
    channel = connection.channel()
    publish(channel, queue, b"m")
    tag = channel.basic_get(queue)[0].delivery_tag
    channel.basic_ack(tag)
    channel.basic_ack(tag)
    code, text = refused(channel.queue_declare, queue, passive=True)
    assert (code, text) == (406, f"PRECONDITION_FAILED - unknown delivery tag {tag}")


def test_prefetch_size_is_not_implemented(connection, hung_up):
    code, text = hung_up(connection.channel().basic_qos, prefetch_size=5)
    assert code == 540 and text.startswith("NOT_IMPLEMENTED - prefetch_size!=0")


def test_immediate_is_not_implemented(broker):
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    raw.send_method(1, 60, 40, b"\x00\x00\x00\x01q\x02")
    assert raw.close_reason() == (540, "NOT_IMPLEMENTED - immediate=true")


def test_recover_without_requeue_is_not_implemented(connection, hung_up):
    code, text = hung_up(connection.channel().basic_recover, requeue=False)
    assert code == 540 and "requeue=false" in text


def test_a_consumer_tag_is_used_once(connection, queue, broker):
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    consume = b"\x00\x00" + bytes([len(queue)]) + queue.encode() + b"\x01t\x00" + b"\x00" * 4
    raw.send_method(1, 60, 20, consume)
    assert raw.method()[:2] == (60, 21)
    raw.send_method(1, 60, 20, consume)
    assert raw.close_reason() == (530, "NOT_ALLOWED - attempt to reuse consumer tag 't'")


def test_user_id_must_be_who_logged_in(connection, refused, queue):
    channel = connection.channel()
    channel.confirm_delivery()
    publish(channel, queue, b"mine", user_id="guest")
    code, text = refused(publish, channel, queue, b"other", user_id="other")
    assert code == 406
    assert "user_id property set to 'other' but authenticated user was 'guest'" in text


def test_expiration_must_be_a_number(connection, refused, queue):
    channel = connection.channel()
    channel.confirm_delivery()
    code, text = refused(publish, channel, queue, b"x", expiration="soon")
    assert code == 406 and "invalid expiration 'soon'" in text


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-message-ttl": -1},
        {"x-message-ttl": "1"},
        {"x-expires": 0},
        {"x-max-length": -1},
        {"x-overflow": "explode"},
        {"x-max-priority": 256},
        {"x-queue-type": "unknown"},
        {"x-dead-letter-routing-key": "without exchange"},
    ],
)
def test_invalid_queue_arguments(connection, refused, name, arguments):
    code, text = refused(connection.channel().queue_declare, name, arguments=arguments)
    argument = next(iter(arguments))
    assert code == 406 and f"invalid arg '{argument}' for queue '{name}' in vhost '/'" in text


def test_frames_that_do_not_belong_cost_the_connection(broker):
    for send, expected in [
        (lambda raw: raw.send_method(7, 60, 10, b"\x00" * 7), 504),
        (lambda raw: raw.send_method(1, 20, 10, b"\x00"), 504),
        (lambda raw: raw.send_frame(3, 1, b"body"), 505),
        (lambda raw: raw.send_frame(2, 1, b"\x00\x3c" + b"\x00" * 12), 505),
        (lambda raw: raw.send_frame(9, 1, b""), 501),
        (lambda raw: raw.send_frame(1, 1, b"\x00\x3c\x00\x50" + b"\x00" * 9, end=b"x"), 501),
        (lambda raw: raw.send_frame(1, 1, b"\x00\x3c\x00\x50"), 502),
        (lambda raw: raw.send_method(1, 60, 41), 540),
        (lambda raw: raw.send_method(1, 60, 60, b"\x00" * 20), 502),
        (lambda raw: raw.send_method(1, 60, 21, b"\x00"), 503),
        (lambda raw: raw.send_method(0, 60, 10, b"\x00" * 7), 503),
        (lambda raw: raw.send_frame(8, 1, b""), 501),
    ]:
        raw = Raw(broker)
        raw.open()
        raw.open_channel()
        send(raw)
        assert raw.close_reason()[0] == expected


def test_tables_that_lie_cost_the_connection(broker, channel, name):
    deep = b""
    for _ in range(100):
        deep = b"\x01nF" + len(deep).to_bytes(4, "big") + deep
    for table in [
        b"\x01aS\xff\xff\xff\xff",
        b"\x01aA\xff\xff\xff\xffV",
        b"\x01a?",
        b"\xffa",
        deep,
    ]:
        raw = Raw(broker)
        raw.open()
        raw.open_channel()
        declare = b"\x00\x00\x01q\x00" + len(table).to_bytes(4, "big") + table
        raw.send_method(1, 50, 10, declare)
        assert raw.close_reason()[0] == 502
    channel.queue_declare(name, exclusive=True)


def test_a_message_above_the_limit_is_refused_by_its_header(broker):
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    raw.send_method(1, 60, 40, b"\x00\x00\x00\x01q\x00")
    size = 1 << 40
    raw.send_frame(2, 1, b"\x00\x3c\x00\x00" + size.to_bytes(8, "big") + b"\x00\x00")
    class_id, method_id, arguments = raw.method()
    assert (class_id, method_id) == (20, 40)
    assert arguments[:2] == b"\x01\x96" and b"larger than configured max size" in arguments


def test_a_body_longer_than_its_header_says(broker):
    raw = Raw(broker)
    raw.open()
    raw.open_channel()
    raw.send_method(1, 60, 40, b"\x00\x00\x00\x01q\x00")
    raw.send_frame(2, 1, b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big") + b"\x00\x00")
    raw.send_frame(3, 1, b"four")
    assert raw.close_reason()[0] == 505


def test_others_are_not_hurt_by_any_of_this(broker, name):
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"fine", pika.BasicProperties())
    assert channel.basic_get(name, auto_ack=True)[2] == b"fine"
    connection.close()

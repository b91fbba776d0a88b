"""Dead-lettering: why, where to, and what is said about it."""

import time

import pytest

from amqp_support import Consumer, drain, get, publish


@pytest.fixture
def dead(channel, name):
    queue = f"{name}-dead"
    channel.queue_declare(queue, durable=True)
    yield queue
    channel.connection.channel().queue_delete(queue)


def declare(channel, name, dead, **arguments):
    arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
    arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    channel.queue_declare(name, durable=True, arguments=arguments)


def check(headers, name, reason, count=1):
    for which in ["first", "last"]:
        assert headers[f"x-{which}-death-queue"] == name
        assert headers[f"x-{which}-death-reason"] == reason
        assert headers[f"x-{which}-death-exchange"] == ""
    (death,) = headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == (name, reason, count)
    assert (death["exchange"], death["routing-keys"]) == ("", [name])
    assert abs(death["time"].timestamp() - time.time()) < 86400


def test_rejected_messages(channel, name, dead):
    declare(channel, name, dead)
    publish(channel, name, b"m", headers={"mine": 1}, content_type="text/plain")
    channel.basic_reject(get(channel, name, auto_ack=False)[0].delivery_tag, requeue=False)
    method, properties, body = get(channel, dead)
    assert (body, method.exchange, method.routing_key) == (b"m", "", dead)
    assert (properties.content_type, properties.headers["mine"]) == ("text/plain", 1)
    check(properties.headers, name, "rejected")
    channel.queue_delete(name)


def test_expired_messages(channel, name, dead):
    declare(channel, name, dead, x_message_ttl=100)
    publish(channel, name, b"m")
    check(get(channel, dead)[1].headers, name, "expired")
    channel.queue_delete(name)


def test_messages_with_their_own_ttl_lose_it(channel, name, dead):
    declare(channel, name, dead)
    publish(channel, name, b"m", expiration="100")
    _, properties, _ = get(channel, dead)
    check(properties.headers, name, "expired")
    assert properties.expiration is None
    assert properties.headers["x-death"][0]["original-expiration"] == "100"
    channel.queue_delete(name)


def test_messages_that_do_not_fit(channel, name, dead):
    declare(channel, name, dead, x_max_length=1)
    publish(channel, name, b"1", b"2")
    _, properties, body = get(channel, dead)
    assert body == b"1"
    check(properties.headers, name, "maxlen")
    channel.queue_delete(name)


def test_messages_delivered_too_often(channel, name, dead):
    declare(channel, name, dead, **{"x_queue_type": "quorum", "x_delivery_limit": 2})
    publish(channel, name, b"m")
    for _ in range(3):
        channel.basic_nack(get(channel, name, auto_ack=False)[0].delivery_tag, requeue=True)
    _, properties, body = get(channel, dead)
    assert body == b"m"
    check(properties.headers, name, "delivery_limit")
    channel.queue_delete(name)


def test_a_retry_loop_counts(channel, name):
    """The pattern of retries with a delay: work -> rejected -> wait -> expired -> work."""
    work, wait = f"{name}-work", f"{name}-wait"
    declare(channel, work, wait)
    declare(channel, wait, work, x_message_ttl=50)
    publish(channel, work, b"m")
    consumer = Consumer(channel, work)
    for round_number in range(1, 4):
        consumer.wait(round_number)
        method, properties, _ = consumer.deliveries[-1]
        if round_number > 1:
            deaths = {(d["queue"], d["reason"]): d["count"] for d in properties.headers["x-death"]}
            times = round_number - 1
            assert deaths == {(wait, "expired"): times, (work, "rejected"): times}
            assert properties.headers["x-first-death-queue"] == work
            assert properties.headers["x-last-death-queue"] == wait
        channel.basic_nack(method.delivery_tag, requeue=False)
    channel.queue_delete(work)
    channel.queue_delete(wait)


def test_through_an_exchange_with_its_own_key(channel, name, dead):
    exchange = f"{name}-dlx"
    channel.exchange_declare(exchange, "topic")
    channel.queue_bind(dead, exchange, "#")
    channel.queue_declare(name, durable=True, arguments={"x-dead-letter-exchange": exchange})
    publish(channel, name, b"m")
    channel.basic_reject(get(channel, name, auto_ack=False)[0].delivery_tag, requeue=False)
    method, _, _ = get(channel, dead)
    assert (method.exchange, method.routing_key) == (exchange, name)
    channel.queue_delete(name)
    channel.exchange_delete(exchange)


def test_order_is_kept(channel, name, dead):
    declare(channel, name, dead)
    publish(channel, name, *(b"%d" % i for i in range(100)))
    tags = [get(channel, name, auto_ack=False)[0].delivery_tag for _ in range(100)]
    channel.basic_nack(tags[-1], multiple=True, requeue=False)
    got = [get(channel, dead)[2] for _ in range(100)]
    assert got == [b"%d" % i for i in range(100)]
    assert drain(channel, name) == []
    channel.queue_delete(name)

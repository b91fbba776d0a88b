"""Jobs of AMQP clients: what workers report by a message, and what follows theirs."""

import json
import time
import urllib.parse
import urllib.request

import pika
import pika.exceptions
import pytest

from amqp_support import Consumer, count

SECONDS = 30


@pytest.fixture
def jobs(broker, connection, name):
    """A tracked queue that another one follows, and the API."""
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments={"x-track": True})
    channel.queue_declare(f"{name}-after", durable=True, arguments={"x-track": True})
    api = f"http://{broker.http}/v1"
    rule = json.dumps({"track": True, "on_done": [f"{name}-after"]}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{api}/queues/{name}/track", rule, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        assert answer.status == 200
    yield api
    channel.queue_delete(name)
    channel.queue_delete(f"{name}-after")


def publish(channel, queue, *ids):
    for of in ids:
        properties = pika.BasicProperties(delivery_mode=2, message_id=of)
        channel.basic_publish("", queue, of.encode(), properties)


def until(seen, wanted):
    deadline = time.monotonic() + SECONDS
    while seen() != wanted:
        assert time.monotonic() < deadline, (seen(), wanted)
        time.sleep(0.02)


def job(api, of):
    url = f"{api}/jobs/{urllib.parse.quote(of, safe='')}"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return json.load(answer)


def test_progress_comes_by_routing_key_and_is_confirmed(connection, jobs, name):
    channel = connection.channel()
    publish(channel, name, name)
    channel.basic_get(name)
    reporter = connection.channel()
    reporter.confirm_delivery()
    for separator in (".", "/"):
        body = b'{"percent": 40, "message": "by ' + separator.encode() + b'"}'
        reporter.basic_publish("", separator.join(["$jobs", name, "progress"]), body, mandatory=True)
        progress = job(jobs, name)["progress"]
        assert (progress["percent"], progress["message"]) == (40, f"by {separator}")
    with pytest.raises(pika.exceptions.NackError):
        reporter.basic_publish("", f"$jobs.{name}.progress", b"no JSON")
    with pytest.raises(pika.exceptions.UnroutableError):
        reporter.basic_publish("", f"$jobs.{name}-none.progress", b"{}", mandatory=True)
    assert job(jobs, name)["state"] == "processing"


def test_a_report_of_a_job_that_nobody_works_on_is_refused(connection, jobs, name):
    channel = connection.channel()
    publish(channel, name, name)
    assert count(channel, name) == 1
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", f"$jobs.{name}.progress", b'{"percent": 1}')


def test_an_acknowledged_message_is_followed(connection, jobs, name):
    channel = connection.channel()
    publish(channel, name, f"{name}-1", f"{name}-2")
    consumer = Consumer(channel, name).wait(2)
    channel.basic_ack(consumer.tags[1], multiple=True)
    until(lambda: count(connection.channel(), f"{name}-after"), 2)
    assert job(jobs, f"{name}-1")["state"] == "done"
    assert job(jobs, f"{name}-1/{name}-after")["parent"] == f"{name}-1"


def test_a_message_that_is_not_acknowledged_is_followed_as_well(connection, jobs, name):
    channel = connection.channel()
    publish(channel, name, f"{name}-1", f"{name}-2")
    until(lambda: count(channel, name), 2)
    assert channel.basic_get(name, auto_ack=True)[2] == f"{name}-1".encode()
    consumer = connection.channel()
    got = []
    consumer.basic_consume(name, lambda *delivery: got.append(delivery[3]), auto_ack=True)
    deadline = time.monotonic() + SECONDS
    while not got:
        assert time.monotonic() < deadline
        connection.process_data_events(0.1)
    until(lambda: count(connection.channel(), f"{name}-after"), 2)
    assert [job(jobs, f"{name}-{n}")["state"] for n in (1, 2)] == ["done", "done"]


def test_what_a_transaction_acknowledges_is_followed_with_its_commit(connection, jobs, name):
    publish(connection.channel(), name, name)
    channel = connection.channel()
    channel.tx_select()
    consumer = Consumer(channel, name).wait(1)
    channel.basic_ack(consumer.tags[0])
    other = connection.channel()
    assert count(other, f"{name}-after") == 0
    channel.tx_commit()
    assert count(other, f"{name}-after") == 1
    assert job(jobs, name)["state"] == "done"

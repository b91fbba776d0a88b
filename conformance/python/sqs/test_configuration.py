"""Queues that the configuration declares or lets clients create, and the form of queue URLs."""

import json
import urllib.error
import urllib.request

import boto3
import pytest
from conftest import SETTINGS
from sqs_support import attribute, client_of, receive, refused


def settings(**options):
    return SETTINGS | {"sqs": SETTINGS["sqs"] | options}


def test_declared_queues_are_there_and_stay_as_they_are(start_broker):
    queues = {
        "orders.fifo": {
            "attributes": {"VisibilityTimeout": 60, "ContentBasedDeduplication": True},
            "tags": {"team": "shop"},
            "dead_letter": {"queue": "orders-dead.fifo", "receives_max": 3},
        },
        "orders-dead.fifo": {},
    }
    broker = start_broker(settings(queues=queues))
    sqs = client_of(broker)
    queue = sqs.get_queue_url(QueueName="orders.fifo")["QueueUrl"]
    dead = sqs.get_queue_url(QueueName="orders-dead.fifo")["QueueUrl"]
    assert attribute(sqs, queue, "VisibilityTimeout") == "60"
    assert attribute(sqs, queue, "ContentBasedDeduplication") == "true"
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"team": "shop"}
    assert json.loads(attribute(sqs, queue, "RedrivePolicy")) == {
        "deadLetterTargetArn": attribute(sqs, dead, "QueueArn"),
        "maxReceiveCount": 3,
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "61"})
    sqs.send_message(QueueUrl=queue, MessageBody="kept", MessageGroupId="g")
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    queue = sqs.get_queue_url(QueueName="orders.fifo")["QueueUrl"]
    assert attribute(sqs, queue, "VisibilityTimeout") == "61"
    assert [message["Body"] for message in receive(sqs, queue)] == ["kept"]


def test_a_queue_is_created_by_its_first_use_where_that_is_allowed(start_broker):
    sqs = client_of(start_broker(settings(auto_create=True)))
    queue = sqs.get_queue_url(QueueName="made.fifo")["QueueUrl"]
    assert attribute(sqs, queue, "FifoQueue") == "true"
    other = queue.replace("made.fifo", "other")
    sqs.send_message(QueueUrl=other, MessageBody="b")
    assert [message["Body"] for message in receive(sqs, other)] == ["b"]
    code = "AWS.SimpleQueueService.NonExistentQueue"
    refused(lambda: sqs.purge_queue(QueueUrl=queue.replace("made.fifo", "third")), code)
    refused(lambda: sqs.get_queue_url(QueueName="no name"))


def test_queue_urls_name_the_region_in_their_host(start_broker):
    broker = start_broker(settings(queue_urls="host"))
    port = broker.sqs.rsplit(":", 1)[1]
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    endpoint = f"http://localhost:{port}"
    sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="eu-west-1", **keys)
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    assert queue == f"http://sqs.eu-west-1.localhost:{port}/000000000000/q"
    by_address = client_of(broker, region="eu-west-1")
    assert by_address.get_queue_url(QueueName="q")["QueueUrl"].startswith(f"http://{broker.sqs}/")
    by_address.send_message(QueueUrl=f"http://{broker.sqs}/000000000000/q", MessageBody="b")


def test_a_reset_for_tests_where_it_is_allowed(start_broker):
    broker = start_broker(settings(allow_reset=True, queues={"declared": {}}))
    sqs = client_of(broker)
    other = client_of(broker, key="111122223333")
    for client in (sqs, other):
        client.send_message(
            QueueUrl=client.create_queue(QueueName="q")["QueueUrl"], MessageBody="b"
        )
    reset = urllib.request.Request(f"http://{broker.sqs}/_tramline/reset", method="POST")
    with urllib.request.urlopen(reset, timeout=20) as answer:
        assert json.loads(answer.read()) == {"deleted": 2}
    broker.kill()
    broker.start()
    urls = client_of(broker).list_queues()["QueueUrls"]
    assert [url.rsplit("/", 1)[1] for url in urls] == ["declared"]
    assert len(client_of(broker, key="111122223333").list_queues()["QueueUrls"]) == 1


def test_a_reset_is_refused_elsewhere(broker, sqs, queue):
    reset = urllib.request.Request(f"http://{broker.sqs}/_tramline/reset", method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(reset, timeout=20)
    assert caught.value.code == 403 and b"sqs.allow_reset" in caught.value.read()
    assert attribute(sqs, queue, "QueueArn")


def test_messages_are_looked_at_without_receiving_them(broker, sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    name = queue.rsplit("/", 1)[1]
    url = f"http://{broker.http}/v1/queues/{name}/messages"
    for _ in range(2):
        with urllib.request.urlopen(url, timeout=20) as answer:
            (message,) = json.loads(answer.read())["messages"]
        assert (message["value"], message["deliveries"]) == ("b", 0)
    (received,) = receive(sqs, queue, AttributeNames=["ApproximateReceiveCount"])
    assert received["Attributes"]["ApproximateReceiveCount"] == "1"

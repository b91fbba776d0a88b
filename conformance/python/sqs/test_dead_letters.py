"""Redrive policies and dead-letter queues."""

import json

import pytest
from sqs_support import attribute, receive, receive_all, refused


def policy(sqs, target, count=2):
    return json.dumps(
        {"deadLetterTargetArn": attribute(sqs, target, "QueueArn"), "maxReceiveCount": count}
    )


def fail(sqs, queue, times):
    for _ in range(times):
        (message,) = receive(sqs, queue)
        sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )


def test_a_message_that_is_received_too_often_moves(sqs, new_queue):
    dead = new_queue()
    queue = new_queue({"RedrivePolicy": policy(sqs, dead), "VisibilityTimeout": "1"})
    attributes = {"n": {"DataType": "Number", "StringValue": "1"}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=attributes)
    assert len(receive(sqs, queue)) == 1
    assert len(receive(sqs, queue, wait=5)) == 1
    (moved,) = receive(sqs, dead, wait=10, AttributeNames=["All"], MessageAttributeNames=["All"])
    assert (moved["Body"], moved["MessageId"]) == ("b", sent["MessageId"])
    assert moved["MessageAttributes"] == attributes
    source = attribute(sqs, queue, "QueueArn")
    assert moved["Attributes"]["DeadLetterQueueSourceArn"] == source
    assert receive(sqs, queue, wait=0) == []


def test_the_policy_can_be_set_changed_and_taken_away(sqs, new_queue):
    dead, queue = new_queue(), new_queue()
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    fail(sqs, queue, 3)
    wanted = policy(sqs, dead, "4")
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": wanted})
    as_number = json.loads(wanted) | {"maxReceiveCount": 4}
    assert json.loads(attribute(sqs, queue, "RedrivePolicy")) == as_number
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    fail(sqs, queue, 1)
    assert len(receive(sqs, dead)) == 1
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": ""})
    assert not sqs.list_dead_letter_source_queues(QueueUrl=dead).get("queueUrls")
    sqs.send_message(QueueUrl=queue, MessageBody="again")
    fail(sqs, queue, 6)
    assert len(receive(sqs, queue)) == 1


def test_policies_outlive_a_restart(start_broker, name):
    from sqs_support import client_of

    broker = start_broker({})
    sqs = client_of(broker)
    dead = sqs.create_queue(QueueName=name + "-dead")["QueueUrl"]
    queue = sqs.create_queue(QueueName=name, tags={"a": "b"})["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy(sqs, dead, 1)})
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "b"}
    fail(sqs, queue, 1)
    assert [message["Body"] for message in receive(sqs, dead)] == ["b"]


def test_fifo_queues_have_fifo_dead_letter_queues(sqs, new_queue):
    kind = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    dead = new_queue(kind, ".fifo")
    queue = new_queue({**kind, "RedrivePolicy": policy(sqs, dead, 1)}, ".fifo")
    for n in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n), MessageGroupId="g")
    for _ in range(3):
        (message,) = receive(sqs, queue, n=1)
        sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    moved = []
    while len(moved) < 3:
        (message,) = receive(sqs, dead, n=1, AttributeNames=["All"])
        assert message["Attributes"]["MessageGroupId"] == "g"
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
        moved.append(message["Body"])
    assert moved == ["0", "1", "2"]
    wrong = {"RedrivePolicy": policy(sqs, new_queue(), 1)}
    refused(
        lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes=wrong), "InvalidParameterValue"
    )


@pytest.mark.parametrize(
    "policy",
    [
        {"maxReceiveCount": 1},
        {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:none", "maxReceiveCount": 1},
        {"deadLetterTargetArn": "OWN", "maxReceiveCount": 0},
        {"deadLetterTargetArn": "OWN", "maxReceiveCount": 1001},
        {"deadLetterTargetArn": "nonsense", "maxReceiveCount": 1},
        {"deadLetterTargetArn": "OWN"},
    ],
)
def test_wrong_policies_are_refused(sqs, queue, policy):
    arn = attribute(sqs, queue, "QueueArn")
    text = json.dumps(policy).replace("OWN", arn)
    refused(
        lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": text}),
        "InvalidParameterValue",
    )


def test_who_may_use_a_dead_letter_queue(sqs, new_queue):
    dead, other, queue = new_queue(), new_queue(), new_queue()
    arn = attribute(sqs, other, "QueueArn")

    def allow(**allowed):
        sqs.set_queue_attributes(
            QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(allowed)}
        )

    def use(url):
        wanted = {"RedrivePolicy": policy(sqs, dead)}
        return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)

    allow(redrivePermission="denyAll")
    refused(use(queue), "InvalidParameterValue")
    allow(redrivePermission="byQueue", sourceQueueArns=[arn])
    refused(use(queue), "InvalidParameterValue")
    use(other)()
    allow(redrivePermission="allowAll")
    use(queue)()
    for wrong in [{"redrivePermission": "some"}, {"redrivePermission": "byQueue"}]:
        refused(lambda: allow(**wrong), "InvalidParameterValue")


def test_messages_of_several_queues_in_one(sqs, new_queue):
    dead = new_queue()
    queues = [new_queue({"RedrivePolicy": policy(sqs, dead, 1)}) for _ in range(3)]
    for n, queue in enumerate(queues):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
        fail(sqs, queue, 1)
    messages = receive_all(sqs, dead, 3, AttributeNames=["DeadLetterQueueSourceArn"])
    sources = {m["Body"]: m["Attributes"]["DeadLetterQueueSourceArn"] for m in messages}
    assert sources == {str(n): attribute(sqs, q, "QueueArn") for n, q in enumerate(queues)}

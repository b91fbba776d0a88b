"""Everything in botocore's model of the service has its counterpart: actions, members, errors.

Each environment has a model of its own: the newest, and the last one of the Query protocol with
its codes and statuses.
"""

import json
import pathlib
import re

import botocore.loaders
import pytest
from sqs_support import attribute, receive, wait_until
from test_dead_letters import fail, policy
from test_protocols import Raw

MODEL = botocore.loaders.Loader().load_service_model("sqs", "service-2")
SHAPES = MODEL["shapes"]
SOURCES = pathlib.Path(__file__).parents[3] / "crates/sqs/src"
ERRORS = (SOURCES / "error.rs").read_text()

# What is not there, and why.
MEMBERS_MISSING = {
    "StringListValues": "not implemented by the service, says the model",
    "BinaryListValues": "not implemented by the service, says the model",
}
ERRORS_NEVER = {
    "InvalidIdFormat": "deprecated",
    "InvalidSecurity": "no request is refused for how it came",
    "RequestThrottled": "nothing is throttled",
    "KmsAccessDenied": "keys are kept, not used",
    "KmsDisabled": "keys are kept, not used",
    "KmsInvalidKeyUsage": "keys are kept, not used",
    "KmsInvalidState": "keys are kept, not used",
    "KmsNotFound": "keys are kept, not used",
    "KmsOptInRequired": "keys are kept, not used",
    "KmsThrottled": "keys are kept, not used",
}

ACTIONS = sorted(MODEL["operations"])


@pytest.fixture
def raw(broker):
    return Raw(broker)


def shape_of(text):
    return json.loads(text)["__type"].split("#")[1]


def wrong_members(shape, around=lambda value: value):
    """Requests that have one member of a wrong type each."""
    for member, reference in SHAPES[shape]["members"].items():
        if member in MEMBERS_MISSING:
            continue
        yield around({member: True})
        kind = SHAPES[reference["shape"]]
        if kind["type"] == "list" and SHAPES[kind["member"]["shape"]]["type"] == "structure":
            entry = kind["member"]["shape"]
            yield from wrong_members(entry, lambda value, m=member: around({m: [value]}))
        if kind["type"] == "map" and SHAPES[kind["value"]["shape"]]["type"] == "structure":
            value = kind["value"]["shape"]
            yield from wrong_members(value, lambda value, m=member: around({m: {"x": value}}))


@pytest.mark.parametrize("action", ACTIONS)
def test_every_member_of_a_request_is_read(raw, action):
    operation = MODEL["operations"][action]
    n = 0
    for request in wrong_members(operation["input"]["shape"]):
        status, _, text = raw.json(action, request)
        assert (status, shape_of(text)) == (400, "SerializationException"), request
        n += 1
    assert n > 0


def spellings():
    """What `error.rs` says, by shape: the code and the status."""
    table = ERRORS[ERRORS.index("codes! {") :]
    row = r'own!\("(\w+)"\),\s*(simple!\()?"([\w.]+)"\)?,\s*(\w+);'
    prefix = "AWS.SimpleQueueService."
    statuses = {"BAD_REQUEST": 400, "FORBIDDEN": 403, "NOT_FOUND": 404}
    return {
        shape: ((prefix if simple else "") + code, statuses[status])
        for shape, simple, code, status in re.findall(row, table)
    }


def test_every_error_is_spelt_as_the_model_has_it():
    errors = {name: shape for name, shape in SHAPES.items() if shape.get("exception")}
    ours = spellings()
    assert set(errors) - set(ours) <= set(ERRORS_NEVER)
    assert not set(ours) & set(ERRORS_NEVER)
    for name, shape in errors.items():
        if name in ours and "error" in shape:
            assert ours[name] == (shape["error"]["code"], shape["error"]["httpStatusCode"]), name


def members(shape):
    return set(SHAPES[shape]["members"]) - set(MEMBERS_MISSING)


def test_answers_have_every_member_of_the_model(raw, sqs, fifo, queue):
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    body = {
        "MessageBody": "b",
        "MessageGroupId": "g",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": system,
    }

    def call(action, **request):
        status, _, text = raw.json(action, request)
        assert status == 200, text
        return json.loads(text)

    sent = call("SendMessage", QueueUrl=fifo, **body)
    assert set(sent) == members("SendMessageResult")
    entries = [{"Id": "1", **body, "MessageBody": "c"}, {"Id": "2", "MessageGroupId": "g"}]
    sent = call("SendMessageBatch", QueueUrl=fifo, Entries=entries)
    assert set(sent["Successful"][0]) == members("SendMessageBatchResultEntry")
    assert set(sent["Failed"][0]) == members("BatchResultErrorEntry")
    names = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    (message,) = call("ReceiveMessage", QueueUrl=fifo, **names)["Messages"]
    assert set(message) == members("Message")
    wanted = set(SHAPES["MessageSystemAttributeName"]["enum"]) - {"All", "DeadLetterQueueSourceArn"}
    assert set(message["Attributes"]) == wanted
    given = {"Policy": "{}", "KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60"}
    given["RedriveAllowPolicy"] = '{"redrivePermission":"allowAll"}'
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes=given)
    have = call("GetQueueAttributes", QueueUrl=fifo, AttributeNames=["All"])["Attributes"]
    assert set(have) == set(SHAPES["QueueAttributeName"]["enum"]) - {"All", "RedrivePolicy"}


def test_answers_about_queues_and_tasks_have_every_member(raw, sqs, new_queue):
    def call(action, **request):
        status, _, text = raw.json(action, request)
        assert status == 200, text
        answer = json.loads(text)
        assert set(answer) == members(MODEL["operations"][action]["output"]["shape"]), action
        return answer

    dead = new_queue(tags={"a": "b"})
    queues = [new_queue({"RedrivePolicy": policy(sqs, dead, 1)}) for _ in range(2)]
    call("CreateQueue", QueueName=dead.rsplit("/", 1)[1])
    call("GetQueueUrl", QueueName=dead.rsplit("/", 1)[1])
    call("ListQueues", MaxResults=1)
    call("ListQueueTags", QueueUrl=dead)
    call("ListDeadLetterSourceQueues", QueueUrl=dead, MaxResults=1)
    call("GetQueueAttributes", QueueUrl=dead, AttributeNames=["All"])
    for n in range(3):
        sqs.send_message(QueueUrl=queues[0], MessageBody=str(n))
    messages = receive(sqs, queues[0], VisibilityTimeout=60)
    for action, timeout in [("ChangeMessageVisibilityBatch", 30), ("DeleteMessageBatch", None)]:
        entries = [{"Id": "good", "ReceiptHandle": messages[0]["ReceiptHandle"]}]
        entries.append({"Id": "bad", "ReceiptHandle": "nonsense"})
        for entry in entries:
            entry.update({} if timeout is None else {"VisibilityTimeout": timeout})
        answer = call(action, QueueUrl=queues[0], Entries=entries)
        assert set(answer["Successful"][0]) == members(f"{action}ResultEntry")
        assert set(answer["Failed"][0]) == members("BatchResultErrorEntry")
    for n in range(3):
        sqs.send_message(QueueUrl=queues[1], MessageBody=str(n))
        fail(sqs, queues[1], 1)
    wait_until(lambda: attribute(sqs, dead, "ApproximateNumberOfMessages") == "3")
    arn, to = attribute(sqs, dead, "QueueArn"), attribute(sqs, queues[0], "QueueArn")
    task = {"SourceArn": arn, "DestinationArn": to, "MaxNumberOfMessagesPerSecond": 1}
    handle = call("StartMessageMoveTask", **task)["TaskHandle"]
    (listed,) = call("ListMessageMoveTasks", SourceArn=arn)["Results"]
    # The reason is that of a task that failed.
    assert set(listed) == members("ListMessageMoveTasksResultEntry") - {"FailureReason"}
    call("CancelMessageMoveTask", TaskHandle=handle)

"""Messages: sent, received, hidden, deleted."""

import hashlib
import threading
import time

import pytest
from sqs_support import OLD, attribute, bodies, receive, receive_all, refused, wait_until


def test_a_message_comes_back_as_it_was_sent(sqs, queue):
    text = "<a>&\"'\r\n\tä€😀 " + "x" * 1000
    sent = sqs.send_message(QueueUrl=queue, MessageBody=text)
    assert sent["MD5OfMessageBody"] == hashlib.md5(text.encode()).hexdigest()
    (message,) = receive(sqs, queue)
    assert (message["Body"], message["MessageId"]) == (text, sent["MessageId"])
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert "Attributes" not in message and "MessageAttributes" not in message
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "0"


def test_attributes_come_back_with_their_types(sqs, queue):
    attributes = {
        "text": {"DataType": "String", "StringValue": "<ä>"},
        "number": {"DataType": "Number", "StringValue": "1493147359900"},
        "own.type": {"DataType": "Number.int", "StringValue": "-5"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\0\xff\x80"},
        "picture": {"DataType": "Binary.png", "BinaryValue": b"text"},
        "priority": {"DataType": "String", "StringValue": "high"},
        "content-type": {"DataType": "String", "StringValue": "text/plain"},
    }
    sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=attributes)
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"])
    assert message["MessageAttributes"] == attributes


def test_the_digest_of_attributes_is_that_of_aws(sqs, queue):
    attributes = {"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=attributes)
    assert sent["MD5OfMessageAttributes"] == "235c5c510d26fb653d073faed50ae77c"
    (message,) = receive(sqs, queue, MessageAttributeNames=["timestamp"])
    assert message["MD5OfMessageAttributes"] == "235c5c510d26fb653d073faed50ae77c"


@pytest.mark.parametrize(
    "names, wanted",
    [
        ([], []),
        (["All"], ["a.x", "a.y", "b"]),
        ([".*"], ["a.x", "a.y", "b"]),
        (["a.*"], ["a.x", "a.y"]),
        (["b", "c"], ["b"]),
        (["a"], []),
    ],
)
def test_attributes_are_filtered_by_name(sqs, queue, names, wanted):
    attributes = {name: {"DataType": "String", "StringValue": name} for name in ("a.x", "a.y", "b")}
    sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=attributes)
    (message,) = receive(sqs, queue, MessageAttributeNames=names)
    assert sorted(message.get("MessageAttributes", {})) == wanted


def test_system_attributes(sqs, queue):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="b", MessageSystemAttributes=system)
    assert len(sent["MD5OfMessageSystemAttributes"]) == 32
    (message,) = receive(sqs, queue, AttributeNames=["All"], VisibilityTimeout=0)
    attributes = message["Attributes"]
    now = time.time() * 1000
    assert abs(int(attributes["SentTimestamp"]) - now) < 60_000
    assert abs(int(attributes["ApproximateFirstReceiveTimestamp"]) - now) < 60_000
    assert attributes["ApproximateReceiveCount"] == "1"
    assert attributes["AWSTraceHeader"] == trace
    assert attributes["SenderId"]
    (again,) = receive(sqs, queue, AttributeNames=["ApproximateReceiveCount"])
    assert again["Attributes"] == {"ApproximateReceiveCount": "2"}
    first = "ApproximateFirstReceiveTimestamp"
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0
    )
    (third,) = receive(sqs, queue, AttributeNames=["All"])
    assert third["Attributes"][first] == attributes[first]


def test_system_attributes_by_their_newer_name(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    name = "AttributeNames" if OLD else "MessageSystemAttributeNames"
    (message,) = receive(sqs, queue, **{name: ["SentTimestamp"]})
    assert list(message["Attributes"]) == ["SentTimestamp"]


def test_a_received_message_is_hidden_until_its_time(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    (first,) = receive(sqs, queue, VisibilityTimeout=4)
    assert receive(sqs, queue, wait=0) == []
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "1"
    (second,) = receive(sqs, queue, wait=20)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    # The first one's handle deletes nothing any more, and says nothing.
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "1"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "0"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])


def test_the_last_handle_deletes_also_when_its_time_is_over(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    (message,) = receive(sqs, queue, VisibilityTimeout=1)
    wait_until(lambda: attribute(sqs, queue, "ApproximateNumberOfMessages") == "1")
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == "0"
    assert receive(sqs, queue, wait=0) == []


def test_visibility_changes(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    (message,) = receive(sqs, queue, VisibilityTimeout=4)

    def change(seconds, handle=message["ReceiptHandle"]):
        sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=seconds
        )

    change(60)
    assert receive(sqs, queue, wait=5) == []
    change(0)
    (again,) = receive(sqs, queue, wait=0)
    refused(lambda: change(5), "InvalidParameterValue")
    change(43190, again["ReceiptHandle"])
    refused(lambda: change(43201, again["ReceiptHandle"]), "InvalidParameterValue")
    refused(lambda: change(5, "nonsense"), "ReceiptHandleIsInvalid")


def test_no_visibility_beyond_twelve_hours_from_the_receive(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    (message,) = receive(sqs, queue)
    time.sleep(1.1)
    text = refused(
        lambda: sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=43200
        ),
        "InvalidParameterValue",
    )
    assert "beyond the limit" in text


def test_a_waiting_receive_is_answered_at_once(sqs, queue):
    thread = threading.Timer(0.5, lambda: sqs.send_message(QueueUrl=queue, MessageBody="late"))
    thread.start()
    started = time.monotonic()
    (message,) = receive(sqs, queue, wait=20)
    assert message["Body"] == "late" and time.monotonic() - started < 15
    thread.join()


def test_an_empty_receive_waits_for_as_long_as_it_says(sqs, new_queue):
    queue = new_queue({"ReceiveMessageWaitTimeSeconds": "1"})
    for options, seconds in [({}, 1), ({"WaitTimeSeconds": 2}, 2), ({"WaitTimeSeconds": 0}, 0)]:
        started = time.monotonic()
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, **options)
        assert seconds <= time.monotonic() - started < seconds + 5


def test_delay(sqs, new_queue):
    queue = new_queue({"DelaySeconds": "60"})
    sqs.send_message(QueueUrl=queue, MessageBody="default")
    sqs.send_message(QueueUrl=queue, MessageBody="now", DelaySeconds=0)
    sqs.send_message(QueueUrl=queue, MessageBody="soon", DelaySeconds=4)
    assert [message["Body"] for message in receive(sqs, queue, wait=0)] == ["now"]
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesDelayed") == "2"
    assert [message["Body"] for message in receive(sqs, queue, wait=20)] == ["soon"]


def test_batches(sqs, queue):
    entries = [{"Id": f"e{n}", "MessageBody": f"b{n}"} for n in range(10)]
    entries[3]["MessageAttributes"] = {"a": {"DataType": "String", "StringValue": "x"}}
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == [f"e{n}" for n in range(10)]
    assert "MD5OfMessageAttributes" in sent["Successful"][3] and not sent.get("Failed")
    messages = receive_all(sqs, queue, 10)
    assert [message["Body"] for message in messages] == [f"b{n}" for n in range(10)]
    changes = [
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 100}
        for n, message in enumerate(messages)
    ]
    changes[1]["VisibilityTimeout"] = 43201
    changes[2]["ReceiptHandle"] = "wrong"
    changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=changes)
    assert len(changed["Successful"]) == 8
    codes = {entry["Id"]: entry["Code"] for entry in changed["Failed"]}
    assert codes == {"1": "InvalidParameterValue", "2": "ReceiptHandleIsInvalid"}
    deletes = [
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)
    ]
    deletes[0]["ReceiptHandle"] = "wrong"
    deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=deletes)
    assert len(deleted["Successful"]) == 9
    (failed,) = deleted["Failed"]
    assert (failed["Id"], failed["SenderFault"]) == ("0", True)
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "1"


def test_some_of_a_batch_may_fail(sqs, queue):
    entries = [
        {"Id": "good", "MessageBody": "b"},
        {"Id": "delay", "MessageBody": "b", "DelaySeconds": 901},
        {"Id": "bad", "MessageBody": "\x01"} if not OLD else {"Id": "bad", "MessageBody": "\ufffe"},
    ]
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == ["good"]
    codes = {entry["Id"]: entry["Code"] for entry in sent["Failed"]}
    assert codes == {"delay": "InvalidParameterValue", "bad": "InvalidMessageContents"}


def test_wrong_batches_are_refused_whole(sqs, queue):
    def send(*ids, body="b"):
        entries = [{"Id": id, "MessageBody": body} for id in ids]
        return lambda: sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    prefix = "AWS.SimpleQueueService."
    refused(send(), prefix + "EmptyBatchRequest")
    refused(send(*map(str, range(11))), prefix + "TooManyEntriesInBatchRequest")
    refused(send("a", "a"), prefix + "BatchEntryIdsNotDistinct")
    refused(send("a b"), prefix + "InvalidBatchEntryId")
    refused(send("a", "b", body="x" * 600_000), prefix + "BatchRequestTooLong")
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == "0"


@pytest.mark.parametrize(
    "options, code",
    [
        ({"MessageBody": ""}, "MissingParameter"),
        ({"MessageBody": "\ufffe"}, "InvalidMessageContents"),
        ({"MessageBody": "x" * 1_048_577}, "InvalidParameterValue"),
        ({"MessageBody": "b", "DelaySeconds": 901}, "InvalidParameterValue"),
        ({"MessageBody": "b", "DelaySeconds": -1}, "InvalidParameterValue"),
        ({"MessageBody": "b", "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
        ({"MessageBody": "b", "MessageGroupId": "a b"}, "InvalidParameterValue"),
    ],
)
def test_wrong_messages_are_refused(sqs, queue, options, code):
    refused(lambda: sqs.send_message(QueueUrl=queue, **options), code)


def test_a_message_of_a_mebibyte(sqs, queue):
    body = "ä" * (1_048_576 // 2)
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    (message,) = receive(sqs, queue)
    assert message["Body"] == body


@pytest.mark.parametrize(
    "options",
    [
        {"MaxNumberOfMessages": 0},
        {"MaxNumberOfMessages": 11},
        {"WaitTimeSeconds": 21},
        {"VisibilityTimeout": 43201},
        {"VisibilityTimeout": -1},
    ],
)
def test_wrong_receives_are_refused(sqs, queue, options):
    refused(lambda: sqs.receive_message(QueueUrl=queue, **options), "InvalidParameterValue")


def test_a_batch_with_a_message_that_is_too_long_is_refused_as_a_whole(sqs, queue):
    entries = [{"Id": "a", "MessageBody": "x" * 1_048_577}, {"Id": "b", "MessageBody": "b"}]
    code = "AWS.SimpleQueueService.BatchRequestTooLong"
    refused(lambda: sqs.send_message_batch(QueueUrl=queue, Entries=entries), code)
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == "0"


def test_purge(sqs, queue):
    for n in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    sqs.send_message(QueueUrl=queue, MessageBody="delayed", DelaySeconds=60)
    receive(sqs, queue, n=1)
    sqs.purge_queue(QueueUrl=queue)
    for state in ("", "Delayed", "NotVisible"):
        assert attribute(sqs, queue, "ApproximateNumberOfMessages" + state) == "0"
    assert receive(sqs, queue, wait=0) == []


def test_messages_of_groups_on_a_standard_queue(sqs, queue):
    for n in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n), MessageGroupId="tenant")
    messages = receive_all(sqs, queue, 3, AttributeNames=["MessageGroupId"])
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"tenant"}


def test_a_group_with_many_messages_does_not_hold_up_the_others(sqs, queue):
    for n in range(20):
        entries = [
            {"Id": str(i), "MessageBody": f"noisy {n * 10 + i}", "MessageGroupId": "noisy"}
            for i in range(10)
        ]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    for n in range(6):
        group = f"quiet-{n % 2}"
        sqs.send_message(QueueUrl=queue, MessageBody=f"quiet {n}", MessageGroupId=group)
    got = []
    while len(got) < 20:
        messages = receive(sqs, queue, n=10)
        got += [message["Body"] for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert {body for body in got if body.startswith("quiet")} == {f"quiet {n}" for n in range(6)}
    assert [body for body in got if "noisy" in body] == [f"noisy {n}" for n in range(len(got) - 6)]
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == str(206 - len(got))


def test_many_wait_and_each_gets_one(sqs, queue):
    got = []

    def wait():
        got.extend(bodies(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=15)))

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    for n in range(8):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    for thread in threads:
        thread.join()
    assert sorted(got) == [str(n) for n in range(8)]

"""FIFO queues: order within groups, repeats, numbers."""

import time

from sqs_support import bodies, receive, receive_all, refused


def send(sqs, queue, body, group="g", **options):
    return sqs.send_message(QueueUrl=queue, MessageBody=body, MessageGroupId=group, **options)


def delete(sqs, queue, *messages):
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def drain(sqs, queue, n):
    """Receives and deletes `n` messages, in the order of their coming."""
    got = []
    deadline = time.monotonic() + 60
    while len(got) < n:
        assert time.monotonic() < deadline, got
        messages = receive(sqs, queue, wait=1)
        delete(sqs, queue, *messages)
        got += [message["Body"] for message in messages]
    return got


def test_a_group_keeps_its_order(sqs, fifo):
    for n in range(10):
        send(sqs, fifo, str(n))
    assert drain(sqs, fifo, 10) == [str(n) for n in range(10)]


def test_a_group_is_blocked_while_one_of_it_is_in_flight(sqs, fifo):
    send(sqs, fifo, "a1", "a")
    send(sqs, fifo, "a2", "a")
    send(sqs, fifo, "b1", "b")
    (first,) = receive(sqs, fifo, n=1)
    assert first["Body"] == "a1"
    (other,) = receive(sqs, fifo, n=1)
    assert other["Body"] == "b1"
    assert receive(sqs, fifo, wait=0) == []
    delete(sqs, fifo, first)
    (second,) = receive(sqs, fifo, n=1)
    assert second["Body"] == "a2"


def test_one_receive_gives_several_of_a_group(sqs, fifo):
    for n in range(5):
        send(sqs, fifo, str(n))
    messages = receive(sqs, fifo)
    assert [message["Body"] for message in messages] == [str(n) for n in range(5)]
    send(sqs, fifo, "5")
    delete(sqs, fifo, *messages[:4])
    assert receive(sqs, fifo, wait=0) == []
    delete(sqs, fifo, messages[4])
    assert [message["Body"] for message in receive(sqs, fifo)] == ["5"]


def test_a_message_that_comes_back_comes_first(sqs, fifo):
    send(sqs, fifo, "1")
    send(sqs, fifo, "2")
    (first,) = receive(sqs, fifo, n=1, VisibilityTimeout=1)
    (again,) = receive(sqs, fifo, n=1, wait=5)
    assert (first["Body"], again["Body"]) == ("1", "1")


def test_repeats_are_accepted_and_not_delivered(sqs, fifo):
    first = send(sqs, fifo, "b", MessageDeduplicationId="d")
    again = send(sqs, fifo, "other", MessageDeduplicationId="d")
    assert again["MessageId"] == first["MessageId"]
    assert again["SequenceNumber"] == first["SequenceNumber"]
    (message,) = receive(sqs, fifo, AttributeNames=["All"])
    assert message["Body"] == "b" and message["MessageId"] == first["MessageId"]
    attributes = message["Attributes"]
    assert attributes["MessageDeduplicationId"] == "d" and attributes["MessageGroupId"] == "g"
    assert attributes["SequenceNumber"] == first["SequenceNumber"]
    delete(sqs, fifo, message)
    # Also after it was deleted.
    send(sqs, fifo, "third", MessageDeduplicationId="d")
    assert receive(sqs, fifo, wait=0) == []


def test_the_body_tells_repeats(sqs, fifo):
    send(sqs, fifo, "same", "a")
    send(sqs, fifo, "same", "b")
    send(sqs, fifo, "other", "c")
    assert drain(sqs, fifo, 2) == ["same", "other"]


def test_repeats_within_groups(sqs, new_queue):
    scope = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
    queue = new_queue({**scope, "FifoThroughputLimit": "perMessageGroupId"}, ".fifo")
    for group in ("a", "b", "a"):
        send(sqs, queue, "x", group, MessageDeduplicationId="d")
    assert len(drain(sqs, queue, 2)) == 2
    assert receive(sqs, queue, wait=0) == []


def test_numbers_grow(sqs, fifo):
    entries = [{"Id": str(n), "MessageBody": str(n), "MessageGroupId": "g"} for n in range(5)]
    sent = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)["Successful"]
    sent.append(send(sqs, fifo, "last"))
    numbers = [entry["SequenceNumber"] for entry in sent]
    assert numbers == sorted(set(numbers)) and {len(number) for number in numbers} == {20}


def test_what_fifo_queues_ask_for(sqs, new_queue):
    queue = new_queue({"FifoQueue": "true"}, ".fifo")
    refused(lambda: sqs.send_message(QueueUrl=queue, MessageBody="b"), "MissingParameter")
    refused(lambda: send(sqs, queue, "b"), "InvalidParameterValue")
    refused(
        lambda: send(sqs, queue, "b", MessageDeduplicationId="d", DelaySeconds=1),
        "InvalidParameterValue",
    )
    refused(lambda: send(sqs, queue, "b", MessageDeduplicationId="x" * 129), "InvalidParameterValue")
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["FifoQueue"] == "true" and attributes["ContentBasedDeduplication"] == "false"
    assert attributes["DeduplicationScope"] == "queue"
    assert attributes["FifoThroughputLimit"] == "perQueue"


def test_an_attempt_can_be_repeated(sqs, fifo):
    send(sqs, fifo, "1")
    options = {"ReceiveRequestAttemptId": "attempt-1"}
    (first,) = receive(sqs, fifo, **options)
    (again,) = receive(sqs, fifo, **options)
    assert again["ReceiptHandle"] == first["ReceiptHandle"]
    delete(sqs, fifo, again)
    assert receive(sqs, fifo, wait=0, **options) == []


def test_an_expired_handle_is_an_error_while_the_message_is_there(sqs, fifo):
    send(sqs, fifo, "1")
    (old,) = receive(sqs, fifo, VisibilityTimeout=0)
    code = "InvalidParameterValue"
    text = refused(lambda: delete(sqs, fifo, old), code)
    assert text.endswith("for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")
    entries = [{"Id": "a", "ReceiptHandle": old["ReceiptHandle"]}]
    (failed,) = sqs.delete_message_batch(QueueUrl=fifo, Entries=entries)["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("a", code, True)
    (new,) = receive(sqs, fifo)
    delete(sqs, fifo, new, new, old)
    assert receive(sqs, fifo, wait=0) == []


def test_groups_do_not_wait_for_each_other(sqs, fifo):
    for n in range(10):
        send(sqs, fifo, f"{n}", f"group-{n}")
    assert len(receive_all(sqs, fifo, 10)) == 10


def test_order_and_repeats_outlive_a_crash(start_broker, name):
    from sqs_support import client_of

    broker = start_broker({})
    sqs = client_of(broker)
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    queue = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    numbers = [send(sqs, queue, str(n))["SequenceNumber"] for n in range(5)]
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    send(sqs, queue, "2")
    numbers.append(send(sqs, queue, "5")["SequenceNumber"])
    assert numbers == sorted(numbers)
    assert drain(sqs, queue, 6) == [str(n) for n in range(6)]
    assert bodies(sqs.receive_message(QueueUrl=queue)) == []


def test_a_batch_with_a_message_without_a_group_is_refused_as_a_whole(sqs, new_queue):
    queue = new_queue({"FifoQueue": "true"}, ".fifo")
    good = {"Id": "a", "MessageBody": "a", "MessageGroupId": "g", "MessageDeduplicationId": "a"}
    for missing, code in [
        ("MessageGroupId", "MissingParameter"),
        ("MessageDeduplicationId", "InvalidParameterValue"),
    ]:
        bad = {name: value for name, value in good.items() if name != missing} | {"Id": "b"}
        refused(lambda bad=bad: sqs.send_message_batch(QueueUrl=queue, Entries=[good, bad]), code)
    assert receive(sqs, queue, wait=0) == []

"""Move tasks: dead-lettered messages go back, or elsewhere."""

import pytest
from sqs_support import attribute, client_of, receive, receive_all, refused, wait_until
from test_dead_letters import fail, policy


@pytest.fixture
def dead(sqs, new_queue):
    return new_queue()


@pytest.fixture
def arn(sqs, dead):
    return attribute(sqs, dead, "QueueArn")


def die(sqs, new_queue, dead, n):
    """A queue whose messages are all in its dead-letter queue."""
    queue = new_queue({"RedrivePolicy": policy(sqs, dead, 1)})
    before = int(attribute(sqs, dead, "ApproximateNumberOfMessages"))
    for m in range(n):
        sqs.send_message(QueueUrl=queue, MessageBody=str(m))
        fail(sqs, queue, 1)
    left = str(before + n)
    wait_until(lambda: attribute(sqs, dead, "ApproximateNumberOfMessages") == left)
    return queue


def last(sqs, arn):
    return sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]


def test_messages_go_back_to_where_they_died(sqs, new_queue, dead, arn):
    queues = [die(sqs, new_queue, dead, 3) for _ in range(2)]
    handle = sqs.start_message_move_task(SourceArn=arn)["TaskHandle"]
    assert handle
    wait_until(lambda: last(sqs, arn)["Status"] == "COMPLETED")
    task = last(sqs, arn)
    assert task["ApproximateNumberOfMessagesMoved"] == 6 == task["ApproximateNumberOfMessagesToMove"]
    assert task["SourceArn"] == arn and "TaskHandle" not in task and "DestinationArn" not in task
    for queue in queues:
        bodies = [message["Body"] for message in receive_all(sqs, queue, 3)]
        assert sorted(bodies) == ["0", "1", "2"]
    assert receive(sqs, dead, wait=0) == []
    refused(lambda: sqs.cancel_message_move_task(TaskHandle=handle), "AWS.SimpleQueueService.UnsupportedOperation")


def test_messages_go_elsewhere(sqs, new_queue, dead, arn):
    die(sqs, new_queue, dead, 2)
    other = new_queue()
    target = attribute(sqs, other, "QueueArn")
    sqs.start_message_move_task(SourceArn=arn, DestinationArn=target)
    assert len(receive_all(sqs, other, 2)) == 2
    wait_until(lambda: last(sqs, arn)["Status"] == "COMPLETED")
    assert last(sqs, arn)["DestinationArn"] == target


def test_a_slow_task_is_cancelled(sqs, new_queue, dead, arn):
    die(sqs, new_queue, dead, 5)
    handle = sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    refused(
        lambda: sqs.start_message_move_task(SourceArn=arn),
        "AWS.SimpleQueueService.UnsupportedOperation",
    )
    task = last(sqs, arn)
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", handle)
    assert task["MaxNumberOfMessagesPerSecond"] == 1
    moved = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert moved < 5
    wait_until(lambda: last(sqs, arn)["Status"] == "CANCELLED")
    assert int(attribute(sqs, dead, "ApproximateNumberOfMessages")) > 0


def test_wrong_tasks_are_refused(sqs, new_queue, queue, dead, arn):
    plain = attribute(sqs, queue, "QueueArn")
    refused(lambda: sqs.start_message_move_task(SourceArn=plain), "InvalidParameterValue")
    new_queue({"RedrivePolicy": policy(sqs, dead, 1)})
    none = arn + "-not"
    for call in [
        lambda: sqs.start_message_move_task(SourceArn=none),
        lambda: sqs.list_message_move_tasks(SourceArn=none),
        lambda: sqs.start_message_move_task(SourceArn=arn, DestinationArn=none),
    ]:
        refused(call, "ResourceNotFoundException", 404)
    for call in [
        lambda: sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=501),
        lambda: sqs.list_message_move_tasks(SourceArn=arn, MaxResults=11),
        lambda: sqs.cancel_message_move_task(TaskHandle="nonsense"),
    ]:
        refused(call, "InvalidParameterValue")
    assert not sqs.list_message_move_tasks(SourceArn=arn).get("Results")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_task_goes_on_after_a_restart(start_broker, how):
    n = 200
    broker = start_broker({})
    sqs = client_of(broker)
    dead, to = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "to"))
    queue = sqs.create_queue(QueueName="q", Attributes={"RedrivePolicy": policy(sqs, dead, 1)})
    queue = queue["QueueUrl"]
    for tens in range(n // 10):
        entries = [{"Id": str(m), "MessageBody": str(tens * 10 + m)} for m in range(10)]
        assert len(sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 10
    while receive(sqs, queue, wait=0, VisibilityTimeout=0):
        pass
    wait_until(lambda: attribute(sqs, dead, "ApproximateNumberOfMessages") == str(n))
    arn, target = (attribute(sqs, url, "QueueArn") for url in (dead, to))
    options = {"DestinationArn": target, "MaxNumberOfMessagesPerSecond": 100}
    handle = sqs.start_message_move_task(SourceArn=arn, **options)["TaskHandle"]
    wait_until(lambda: last(sqs, arn)["ApproximateNumberOfMessagesMoved"] >= 20)
    getattr(broker, how)()
    broker.start()
    sqs = client_of(broker)
    task = last(sqs, arn)
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", handle)
    assert task["DestinationArn"] == target and task["MaxNumberOfMessagesPerSecond"] == 100
    assert 20 <= task["ApproximateNumberOfMessagesMoved"] < n
    assert task["ApproximateNumberOfMessagesToMove"] == n
    wait_until(lambda: last(sqs, arn)["Status"] == "COMPLETED")
    assert last(sqs, arn)["ApproximateNumberOfMessagesMoved"] == n
    assert receive(sqs, dead, wait=0) == []
    got = [message["Body"] for message in receive_all(sqs, to, n)]
    assert sorted(got, key=int) == [str(m) for m in range(n)]
    # The end is remembered as well, and a second task goes by another handle.
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    assert last(sqs, arn)["Status"] == "COMPLETED"
    assert sqs.start_message_move_task(SourceArn=arn)["TaskHandle"] != handle


def test_a_task_that_was_cancelled_stays_so(start_broker):
    broker = start_broker({})
    sqs = client_of(broker)
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    queue = sqs.create_queue(QueueName="q", Attributes={"RedrivePolicy": policy(sqs, dead, 1)})
    for m in range(5):
        sqs.send_message(QueueUrl=queue["QueueUrl"], MessageBody=str(m))
        fail(sqs, queue["QueueUrl"], 1)
    wait_until(lambda: attribute(sqs, dead, "ApproximateNumberOfMessages") == "5")
    arn = attribute(sqs, dead, "QueueArn")
    task = sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    sqs.cancel_message_move_task(TaskHandle=task["TaskHandle"])
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    assert last(sqs, arn)["Status"] == "CANCELLED"
    urls = (queue["QueueUrl"], dead)
    left = [int(attribute(sqs, url, "ApproximateNumberOfMessages")) for url in urls]
    assert sum(left) == 5 and left[1] > 0

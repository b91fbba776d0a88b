"""What the tests of SQS clients share."""

import time

import boto3
import botocore
import botocore.config
import botocore.exceptions
import pytest

OLD = tuple(int(part) for part in botocore.__version__.split(".")[:3]) <= (1, 31, 80)


def client_of(broker, key="test", region="us-east-1", service="sqs", secret="secret"):
    config = botocore.config.Config(retries={"max_attempts": 0}, read_timeout=30)
    return boto3.client(
        service,
        endpoint_url=f"http://{broker.sqs}",
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


def refused(call, code=None, status=400):
    """Runs what is refused; gives the message."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    error = caught.value.response
    if code:
        assert error["Error"]["Code"] == code, error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status, error
    return error["Error"]["Message"]


def bodies(answer):
    return [message["Body"] for message in answer.get("Messages", [])]


def receive(sqs, queue, n=10, wait=5, **options):
    return sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=n, WaitTimeSeconds=wait, **options
    ).get("Messages", [])


def receive_all(sqs, queue, n, seconds=60, **options):
    """Receives until there are `n` messages."""
    deadline = time.monotonic() + seconds
    messages = []
    while len(messages) < n:
        assert time.monotonic() < deadline, f"{len(messages)} of {n} messages"
        messages += receive(sqs, queue, wait=1, **options)
    return messages


def attribute(sqs, queue, name):
    names = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
    return names["Attributes"][name]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)

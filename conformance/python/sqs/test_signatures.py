"""Signatures, where the broker has keys."""

import urllib.error
import urllib.request

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sqs_support import client_of, receive, refused
from test_protocols import Raw

KEY = "AKIDEXAMPLE"


@pytest.fixture(scope="module")
def guarded(start_any):
    return start_any({"sqs": {}, "sqs.keys": {KEY: "secret", "111122223333": "secret"}})


def test_signed_requests_pass(guarded, name):
    sqs = client_of(guarded, key=KEY)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = {"a": {"DataType": "String", "StringValue": "ä €"}}
    sqs.send_message(QueueUrl=queue, MessageBody="b=c&d", MessageAttributes=attributes)
    assert [message["Body"] for message in receive(sqs, queue)] == ["b=c&d"]
    assert "/111122223333/" in client_of(guarded, key="111122223333").create_queue(QueueName=name)["QueueUrl"]


def test_unknown_keys_and_wrong_secrets_are_refused(guarded):
    refused(client_of(guarded, key="other").list_queues, "InvalidClientTokenId", 403)
    wrong = client_of(guarded, key=KEY, secret="wrong")
    refused(wrong.list_queues, "SignatureDoesNotMatch", 403)


def test_unsigned_requests_are_refused_before_their_body(guarded):
    status, headers, _ = Raw(guarded).json("ListQueues", {})
    assert status == 403
    assert headers["x-amzn-query-error"] == "MissingAuthenticationToken;Sender"
    status, _, text = Raw(guarded).query(Action="ListQueues")
    assert status == 403 and "<Code>MissingAuthenticationToken</Code>" in text


def test_presigned_requests_pass(guarded, name):
    sqs = client_of(guarded, key=KEY)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    request = AWSRequest("GET", f"{queue}?Action=SendMessage&MessageBody=a%20b%2B%C3%A4")
    SigV4QueryAuth(Credentials(KEY, "secret"), "sqs", "us-east-1", expires=60).add_auth(request)
    with urllib.request.urlopen(request.url, timeout=10) as answer:
        assert answer.status == 200
    assert [message["Body"] for message in receive(sqs, queue)] == ["a b+ä"]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request.url.replace("a%20b", "c"), timeout=10)

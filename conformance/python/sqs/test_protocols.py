"""What goes over the wire: both protocols, errors as each tells them, and bad input."""

import json
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest


class Raw:
    """Requests by hand."""

    def __init__(self, broker):
        self.base = f"http://{broker.sqs}"

    def call(self, data=None, path="/", headers=None):
        request = urllib.request.Request(self.base + path, data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def json(self, action, body, **headers):
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
            **headers,
        }
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call(data, headers=headers)

    def query(self, path="/", headers=None, **parameters):
        return self.call(urllib.parse.urlencode(parameters).encode(), path, headers)


@pytest.fixture
def raw(broker):
    return Raw(broker)


def test_json_errors(raw):
    status, headers, text = raw.json("GetQueueUrl", {"QueueName": "none"})
    assert status == 400
    assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert json.loads(text) == {
        "__type": "com.amazonaws.sqs#QueueDoesNotExist",
        "message": "The specified queue does not exist.",
    }
    assert len(headers["x-amzn-requestid"]) == 36


def test_query_errors(raw):
    status, headers, text = raw.query(Action="GetQueueUrl", QueueName="none")
    assert status == 400 and headers["content-type"] == "text/xml"
    assert 'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"' in text
    assert "<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in text


@pytest.mark.parametrize(
    "action, body, shape",
    [
        ("NoSuchThing", {}, "com.amazon.coral.service#UnknownOperationException"),
        ("SendMessage", {}, "com.amazon.coral.service#MissingRequiredParameterException"),
        ("CreateQueue", {"QueueName": 5}, "com.amazon.coral.service#SerializationException"),
        ("CreateQueue", b"{", "com.amazon.coral.service#SerializationException"),
        ("CreateQueue", b"\xff", "com.amazon.coral.service#SerializationException"),
        ("CreateQueue", b"[" * 100_000, "com.amazon.coral.service#SerializationException"),
        (
            "SendMessageBatch",
            b'{"Entries":[' + b"{}," * 1_000_000 + b"{}]}",
            "com.amazon.coral.service#SerializationException",
        ),
        ("CreateQueue", {"QueueName": "a b"}, "com.amazon.coral.service#InvalidParameterValueException"),
    ],
)
def test_bad_requests_have_a_shape(raw, action, body, shape):
    status, _, text = raw.json(action, body)
    assert status == 400 and json.loads(text)["__type"] == shape


def test_what_was_sent_is_not_repeated_at_any_length(raw, queue):
    body = {"QueueUrl": queue, "MessageBody": "b", "MessageGroupId": "x" * 1_000_000}
    status, _, text = raw.json("SendMessage", body)
    assert status == 400 and len(text) < 3_000


def test_actions_by_url_alone(raw, queue):
    path = urllib.parse.urlsplit(queue).path
    status, _, text = raw.call(path=f"{path}?Action=SendMessage&MessageBody=a%20%3Cb%3E")
    assert status == 200 and "<MD5OfMessageBody>" in text
    status, _, text = raw.call(path=f"{path}?Action=ReceiveMessage&AttributeName.1=All")
    assert "<Body>a &lt;b&gt;</Body>" in text
    assert re.search("<Attribute><Name>SentTimestamp</Name><Value>[0-9]+</Value></Attribute>", text)
    handle = re.search("<ReceiptHandle>(.*)</ReceiptHandle>", text).group(1)
    status, _, text = raw.query(path, Action="DeleteMessage", ReceiptHandle=handle)
    assert status == 200 and text.count("<DeleteMessageResponse") == 1 and "Result" not in text


def test_query_answers_in_json_for_who_asks(raw, queue):
    path = urllib.parse.urlsplit(queue).path
    accept = {"Accept": "application/json"}
    status, headers, text = raw.query(path, accept, Action="SendMessage", MessageBody="b")
    assert status == 200 and headers["content-type"] == "application/json"
    answer = json.loads(text)["SendMessageResponse"]
    assert answer["SendMessageResult"]["MessageId"] and answer["ResponseMetadata"]["RequestId"]


def test_an_empty_answer_is_empty(raw, queue):
    status, _, text = raw.json("PurgeQueue", {"QueueUrl": queue})
    assert (status, text) == (200, "")


def test_pages_of_other_origins_are_refused(raw):
    for headers in [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Host": "evil.example:9324"},
    ]:
        status, _, text = raw.query(headers=headers, Action="ListQueues")
        assert status == 403 and "AccessDenied" in text, headers


def test_large_bodies_and_headers_are_refused(raw, broker):
    status, _, text = raw.json("SendMessage", b" " * (9 << 20))
    assert status == 413 and "RequestEntityTooLarge" in text
    status, _, _ = raw.call(headers={"X-Bomb": "x" * 200_000})
    assert status == 431
    host, port = broker.sqs.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        head = "".join(f"x-{n}: 1\r\n" for n in range(5_000))
        plain.sendall(f"GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
        assert b" 431 " in plain.recv(100)


def test_a_length_that_is_only_announced_takes_nothing(broker, sqs, queue):
    host, port = broker.sqs.split(":")
    sockets = []
    for _ in range(50):
        plain = socket.create_connection((host, int(port)), timeout=10)
        plain.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8000000\r\n\r\n{")
        sockets.append(plain)
    started = time.monotonic()
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 200_000)
    assert time.monotonic() - started < 15
    for plain in sockets:
        plain.close()


def test_chunked_bodies(broker, queue):
    host, port = broker.sqs.split(":")
    form = b"Action=GetQueueUrl&QueueName=" + queue.rsplit("/", 1)[1].encode()
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(
            b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for byte in form:
            plain.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        plain.sendall(b"0\r\n\r\n")
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    assert b" 200 " in answer and b"<QueueUrl>" in answer

"""Queues over plain HTTP: with curl, and with httpx."""

import json
import subprocess

import httpx
import pytest

SECONDS = 60


@pytest.fixture
def queue(broker, name):
    """The URL of a queue with a dead-letter queue."""
    root = f"http://{broker.http}/v1/queues"
    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": f"{name}-dead"}
    for of, settings in ((name, {**dead, "priority_max": 3}), (f"{name}-dead", {})):
        answer = httpx.post(root, json={"name": of, "settings": settings}, timeout=SECONDS)
        assert answer.status_code == 201, answer.text
    return f"{root}/{name}"


def curl(*arguments):
    """The status, the headers and the body that curl gets."""
    done = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", str(SECONDS), *arguments],
        capture_output=True,
        timeout=2 * SECONDS,
        check=True,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    tokens = {line.split(": ", 1)[1] for line in lines if line.startswith("message-token")}
    headers["message-token"] = next(iter(tokens), None)
    return int(status.split()[1]), headers, body


def test_curl_moves_a_message_without_json(queue):
    sent = curl("-d", "resize 17", "-H", "x-header-job-id: 17", f"{queue}/messages?priority=1")
    assert sent[0] == 200
    status, headers, body = curl("-X", "POST", f"{queue}/receive?raw=true&wait_ms=10000")
    assert (status, body, headers["x-header-job-id"]) == (200, b"resize 17", "17")
    token = headers["message-token"]
    settle = f"{queue}/settle?token={token}&outcome="
    assert curl("-X", "POST", f"{settle}extend&delay_ms=60000")[0] == 204
    assert curl("-X", "POST", f"{settle}release&delay_ms=0")[0] == 204
    assert curl("-X", "POST", f"{settle}accept")[0] == 409
    status, headers, body = curl("-X", "POST", f"{queue}/receive?raw=true&accept=true")
    assert (status, body, headers["message-redelivered"]) == (200, b"resize 17", "true")
    assert curl("-X", "POST", f"{queue}/receive?raw=true")[0] == 204


def test_a_rejected_message_is_dead_lettered_and_redriven(queue):
    with httpx.Client(timeout=SECONDS) as http:
        messages = [{"value": f"m{n}", "priority": n % 3} for n in range(3)]
        assert http.post(f"{queue}/messages", json={"messages": messages}).status_code == 200
        got = http.post(f"{queue}/receive", json={"limit": 3, "wait_ms": 10000}).json()["messages"]
        assert [message["value"] for message in got] == ["m2", "m1", "m0"]
        settles = [
            {"token": got[0]["token"], "outcome": "reject", "reason": "too large"},
            {"token": got[1]["token"], "outcome": "accept"},
            {"token": got[2]["token"], "outcome": "release", "delay_ms": 3_600_000},
        ]
        assert http.post(f"{queue}/settle", json={"settles": settles}).json()["failed"] == 0
        dead = {"limit": 1, "wait_ms": 30000}
        (letter,) = http.post(f"{queue}-dead/receive", json=dead).json()["messages"]
        deaths = {header["name"]: header["value"] for header in letter["headers"]}
        assert letter["value"] == "m2"
        (death,) = json.loads(deaths["dead-letter"])
        assert (death["queue"], death["reason"]) == (queue.rsplit("/", 1)[1], "rejected")
        assert death["explanation"] == "too large"
        back = [{"token": letter["token"], "outcome": "release"}]
        http.post(f"{queue}-dead/settle", json={"settles": back})
        states = [message["state"] for message in http.get(f"{queue}/messages").json()["messages"]]
        assert states == ["delayed"]
        assert http.post(f"{queue}-dead/redrives", json={}).status_code == 202
        (again,) = http.post(f"{queue}/receive", json=dead).json()["messages"]
        assert again["value"] == "m2"


def test_ordered_groups_and_deduplication(broker, name):
    url = f"http://{broker.http}/v1/queues"
    settings = {"ordered_groups": True, "deduplication_ms": 60000}
    with httpx.Client(timeout=SECONDS) as http:
        http.post(url, json={"name": name, "settings": settings})
        for n in (1, 1, 2):
            params = {"group": "g", "deduplication_id": f"d{n}"}
            http.post(f"{url}/{name}/messages", params=params, content=f"{n}")
        first = http.post(f"{url}/{name}/receive", params={"raw": "true"})
        assert first.text == "1"
        assert http.post(f"{url}/{name}/receive", params={"raw": "true"}).status_code == 204
        params = {"token": first.headers["message-token"], "outcome": "accept"}
        assert http.post(f"{url}/{name}/settle", params=params).status_code == 204
        second = http.post(f"{url}/{name}/receive", params={"raw": "true", "wait_ms": 10000})
        assert second.text == "2"

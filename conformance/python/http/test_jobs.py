"""Jobs over plain HTTP: what follows them, and what a kill -9 leaves of them."""

import threading
import time

import httpx
import pytest
import requests

SECONDS = 60


@pytest.fixture
def http(broker):
    with httpx.Client(base_url=f"http://{broker.http}", timeout=SECONDS) as client:
        yield client


def declare(http, queue, **settings):
    answer = http.post("/v1/queues", json={"name": queue, "settings": {"track": True, **settings}})
    assert answer.status_code == 201, answer.text


def put(http, queue, *ids, **options):
    messages = [{"value": of, "headers": {"job-id": of}, **options} for of in ids]
    answer = http.post(f"/v1/queues/{queue}/messages", json={"messages": messages})
    assert answer.status_code == 200, answer.text


def receive(http, queue, **options):
    request = {"limit": 100, "wait_ms": 10000, **options}
    return http.post(f"/v1/queues/{queue}/receive", json=request).json()["messages"]


def state(http, job):
    answer = http.get(f"/v1/jobs/{job.replace('/', '%2F')}")
    return answer.json()["state"] if answer.status_code == 200 else answer.status_code


def until(seen, wanted):
    deadline = time.monotonic() + SECONDS
    while seen() != wanted:
        assert time.monotonic() < deadline, (seen(), wanted)
        time.sleep(0.02)


def test_an_unknown_job_is_404(http, name):
    assert state(http, name) == 404
    assert http.post(f"/v1/jobs/{name}/progress", json={"percent": 1}).status_code == 404


def test_progress_extends_the_lock(http, name):
    declare(http, name, lock_duration_ms=2000)
    put(http, name, f"{name}-1")
    receive(http, name, lock_ms=2000)
    for percent in range(8):
        time.sleep(0.5)
        said = http.post(f"/v1/jobs/{name}-1/progress", json={"percent": percent, "attempt": 1})
        assert said.status_code == 200, said.text
    until(lambda: state(http, f"{name}-1"), "queued")


def test_a_message_that_its_own_delivery_settles_is_followed(http, name):
    declare(http, f"{name}-b")
    declare(http, name, on_done=[f"{name}-b"])
    put(http, name, f"{name}-1", f"{name}-2")
    assert len(receive(http, name, accept=True)) == 2
    until(lambda: http.get(f"/v1/queues/{name}-b").json()["ready"], 2)
    assert state(http, f"{name}-1") == "done"
    assert state(http, f"{name}-1/{name}-b") == "queued"


def test_what_follows_can_be_set_later(http, name):
    declare(http, f"{name}-b")
    declare(http, name)
    on_done = {"track": True, "on_done": [f"{name}-b"]}
    assert http.post(f"/v1/queues/{name}/track", json=on_done).status_code == 200
    refused = http.post(f"/v1/queues/{name}/track", json={"track": True, "on_done": ["x"] * 17})
    assert refused.status_code == 400, refused.text
    put(http, name, f"{name}-1")
    (message,) = receive(http, name)
    settles = [{"token": message["token"], "outcome": "accept"}]
    http.post(f"/v1/queues/{name}/settle", json={"settles": settles})
    assert len(receive(http, f"{name}-b")) == 1


def test_every_state_results_and_followers_outlive_kill_9(own_broker):
    def client():
        return httpx.Client(base_url=f"http://{own_broker.http}", timeout=SECONDS)

    with client() as http:
        declare(http, "after")
        declare(http, "work", on_done=["after"])
        worked = ["done", "said", "dead", "retried", "locked"]
        put(http, "work", *worked)
        assert len(receive(http, "work", lock_ms=3_600_000)) == len(worked)
        http.post("/v1/jobs/done/result", json={"result": {"n": 1}, "accept": True})
        http.post("/v1/jobs/said/result", json={"result": "kept"})
        http.post("/v1/jobs/dead/fail", json={"error": "broken"})
        again = {"error": "not yet", "retry": True, "delay_ms": 3_600_000}
        http.post("/v1/jobs/retried/fail", json=again)
        http.post("/v1/jobs/locked/progress", json={"percent": 40})
        put(http, "work", "queued", "cancelled")
        put(http, "work", "scheduled", delay_ms=3_600_000)
        declare(http, "brief")
        put(http, "brief", "expired", ttl_ms=1)
        http.post("/v1/jobs/cancelled/cancel", json={})
        waiting = {"value": "w", "headers": {"job-id": "waiting", "job-after": "done,said"}}
        http.post("/v1/queues/after/messages", json={"messages": [waiting]})
        until(lambda: state(http, "expired"), "expired")
    expected = {
        "done": "done",
        "said": "processing",
        "dead": "dead-lettered",
        "retried": "failed",
        "locked": "processing",
        "queued": "queued",
        "cancelled": "cancelled",
        "scheduled": "scheduled",
        "expired": "expired",
        "done/after": "queued",
        "waiting": "scheduled",
        "dead/after": 404,
    }
    for _ in range(3):
        own_broker.kill()
        own_broker.start()
        with client() as http:
            assert {of: state(http, of) for of in expected} == expected
            assert http.get("/v1/jobs/done").json()["result"] == {"n": 1}
            assert http.get("/v1/jobs/done").json()["children"]["ids"] == ["done/after"]
            assert http.get("/v1/jobs/said").json()["result"] == "kept"
            assert http.get("/v1/jobs/dead").json()["error"] == "broken"
            assert http.get("/v1/jobs/locked").json()["progress"]["percent"] == 40
            assert http.get("/v1/queues/after").json()["ready"] == 1
    with client() as http:
        http.post("/v1/jobs/said/result", json={"result": "kept", "accept": True})
        until(lambda: state(http, "waiting"), "queued")


def test_what_was_answered_is_followed_once_over_kill_9(own_broker):
    """A worker accepts as fast as it can: each end that it was told has its one follower."""
    with httpx.Client(base_url=f"http://{own_broker.http}", timeout=SECONDS) as http:
        declare(http, "after")
        declare(http, "work", on_done=["after"])
    answered, published = set(), 0

    def work():
        url = f"http://{own_broker.http}/v1/queues/work"
        try:
            while True:
                got = requests.post(f"{url}/receive", json={"limit": 10, "lock_ms": 5000}, timeout=SECONDS)
                for message in got.json()["messages"]:
                    settles = [{"token": message["token"], "outcome": "accept"}]
                    said = requests.post(f"{url}/settle", json={"settles": settles}, timeout=SECONDS)
                    if said.status_code == 200 and said.json()["failed"] == 0:
                        answered.add(message["value"])
        except (requests.RequestException, ValueError):
            pass

    for _ in range(4):
        with httpx.Client(base_url=f"http://{own_broker.http}", timeout=SECONDS) as http:
            put(http, "work", *(f"j{published + n}" for n in range(300)))
            published += 300
        enough = len(answered) + 80
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        while len(answered) < enough:
            assert any(worker.is_alive() for worker in workers)
            time.sleep(0.005)
        own_broker.kill()
        for worker in workers:
            worker.join(SECONDS)
        own_broker.start()
    with httpx.Client(base_url=f"http://{own_broker.http}", timeout=SECONDS) as http:
        done = {of for of in (f"j{n}" for n in range(published)) if state(http, of) == "done"}
        assert answered <= done
        followers = []
        while got := receive(http, "after", wait_ms=0, lock_ms=600_000):
            followers += [message["value"] for message in got]
        assert sorted(followers) == sorted(done)

"""Configuration push with httpx and requests: two HTTP clients that know nothing of it."""

import json
import pathlib
import subprocess
import threading
import time

import httpx
import pytest
import requests

from broker import BINARY

SECONDS = 60


@pytest.fixture
def http(broker):
    with httpx.Client(base_url=f"http://{broker.http}", timeout=SECONDS) as client:
        yield client


def revision(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["revision"]}"'
    return answer.json()["revision"]


def events(response):
    """The events of a stream of Server-Sent Events, as the WHATWG's rules have them."""
    event = {}
    for line in response.iter_lines():
        if line == "":
            if "data" in event:
                yield event.get("event", "message"), json.loads(event["data"]), event.get("id")
            event = {}
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            event[field] = value.removeprefix(" ")


def test_a_value_goes_there_and_back_with_its_type(http, name):
    value = bytes(range(256))
    first = http.put(f"/v1/config/{name}/x", content=value, headers={"content-type": "image/png"})
    answer = http.get(f"/v1/config/{name}/x")
    assert (answer.content, answer.headers["content-type"]) == (value, "image/png")
    assert answer.headers["etag"] == first.headers["etag"]
    known = http.get(f"/v1/config/{name}/x", headers={"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_of_writers_that_read_the_same_revision_one_wins(http, broker, name):
    http.put(f"/v1/config/{name}", content="0")

    def add():
        with requests.Session() as session:
            url = f"http://{broker.http}/v1/config/{name}"
            for _ in range(10):
                while True:
                    now = session.get(url, timeout=SECONDS)
                    condition = {"if-match": now.headers["etag"]}
                    body = str(int(now.text) + 1)
                    put = session.put(url, data=body, headers=condition, timeout=SECONDS)
                    if put.status_code == 200:
                        break
                    assert put.status_code == 412, put.text

    writers = [threading.Thread(target=add) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(SECONDS)
    assert http.get(f"/v1/config/{name}").text == "40"


def test_a_long_poll_is_answered_by_the_change(http, broker, name):
    first = revision(http.put(f"/v1/config/{name}", content="old"))
    answers = []

    def wait():
        url = f"http://{broker.http}/v1/config/{name}"
        while not answers:
            params = {"after": first, "wait": "30s"}
            answer = requests.get(url, params=params, timeout=SECONDS)
            if answer.status_code == 200:
                answers.append(answer.text)

    waiting = threading.Thread(target=wait)
    waiting.start()
    http.put(f"/v1/config/{name}", content="new")
    waiting.join(SECONDS)
    assert answers == ["new"]


def test_a_follower_gets_values_then_changes_and_goes_on_where_it_was(http, name):
    http.put(f"/v1/config/{name}/a", content="1")
    params = {"scope": f"{name}/"}
    with http.stream("GET", "/v1/config-watch", params=params) as stream:
        told = events(stream)
        assert next(told)[1]["value"] == "1"
        assert next(told)[0] == "synced"
        changes = [
            {"key": f"{name}/a", "json": {"n": 2}},
            {"key": f"{name}/b", "value": "1"},
        ]
        both = revision(http.post("/v1/config", json={"changes": changes}))
        first, second = next(told), next(told)
        assert json.loads(first[1]["value"]) == {"n": 2}
        assert (first[2], second[1]["revision"]) == (None, both)
        last_id = second[2]
    http.delete(f"/v1/config/{name}/b")
    with http.stream(
        "GET", "/v1/config-watch", params=params, headers={"last-event-id": last_id}
    ) as stream:
        told = events(stream)
        assert [next(told)[0], next(told)[0]] == ["delete", "synced"]


def test_a_roll_out_reaches_its_share_and_the_view_says_who_has_it(http, name):
    http.put(f"/v1/config/{name}", content="old")
    staged = http.put(f"/v1/config/{name}", content="new", params={"rollout": 25})
    clients = [f"web-{n}" for n in range(200)]
    have = {}
    for client in clients:
        answer = http.get(f"/v1/config/{name}", params={"client": client})
        have[client] = answer.text
        confirmation = {"scope": name, "client": client, "revision": revision(staged)}
        assert http.post("/v1/config-adoption", json=confirmation).status_code == 204
    new = [client for client in clients if have[client] == "new"]
    assert 20 <= len(new) <= 80
    view = http.get(f"/v1/config-adoption/{name}").json()
    assert (view["subscribers"], view["adopted"]) == (200, 200)
    assert view["by_revision"][str(revision(staged))] == len(new)
    http.post(f"/v1/config-rollout/{name}", json={"percent": 50})
    for client in new:
        assert http.get(f"/v1/config/{name}", params={"client": client}).text == "new"
    view = http.get(f"/v1/config-adoption/{name}").json()
    assert view["adopted"] < 200


def test_earlier_values_come_back(http, name):
    first = revision(http.put(f"/v1/config/{name}", content="good"))
    http.put(f"/v1/config/{name}", content="bad")
    http.post(f"/v1/config-rollback/{name}", json={"revision": first})
    assert http.get(f"/v1/config/{name}").text == "good"
    history = http.get(f"/v1/config-history/{name}").json()["versions"]
    assert [version["bytes"] for version in history] == [4, 3, 4]


def test_what_was_answered_is_there_after_kill_9(own_broker):
    answered = {}
    stopping = threading.Event()

    def write(of):
        url = f"http://{own_broker.http}/v1/config/k{of}"
        n = 0
        while not stopping.is_set():
            try:
                put = requests.put(url, data=str(n), timeout=SECONDS)
            except requests.RequestException:
                return
            if put.status_code == 200:
                answered[of] = (put.json()["revision"], n)
                n += 1

    for _ in range(3):
        writers = [threading.Thread(target=write, args=(of,)) for of in range(4)]
        for writer in writers:
            writer.start()
        while sum(n for _, n in answered.values()) < 200:
            assert any(writer.is_alive() for writer in writers)
            stopping.wait(0.05)
        own_broker.kill()
        for writer in writers:
            writer.join(SECONDS)
        own_broker.start()
        for of, (revision, n) in answered.items():
            url = f"http://{own_broker.http}/v1/config/k{of}"
            got = requests.get(url, timeout=SECONDS)
            # A change that was not answered may have been made.
            assert int(got.text) in (n, n + 1), (of, n, got.text)
            assert int(got.headers["etag"].strip('"')) >= revision
        answered.clear()


@pytest.fixture
def watch(own_broker, tmp_path):
    """Runs `tramline config-push watch` beside the test, in a directory of its own."""
    started = []

    def run(*arguments):
        command = [BINARY, "config-push", "watch", *arguments, f"--server=http://{own_broker.http}"]
        with open(tmp_path / "watch.log", "ab") as log:
            started.append(
                subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait(SECONDS)


def until(seen, wanted):
    deadline = time.monotonic() + SECONDS
    while seen() != wanted:
        assert time.monotonic() < deadline, (seen(), wanted)
        time.sleep(0.02)


def test_watch_runs_a_command_for_each_value_and_confirms_what_succeeded(own_broker, watch, tmp_path):
    url = f"http://{own_broker.http}/v1"

    def put(value):
        put = requests.put(f"{url}/config/app/limit", data=value, timeout=SECONDS)
        return put.json()["revision"]

    def adopted():
        view = requests.get(f"{url}/config-adoption/app/limit", timeout=SECONDS).json()
        return view["by_revision"]

    first = put("10")
    script = 'echo "$TRAMLINE_EVENT $TRAMLINE_KEY $TRAMLINE_REVISION" >> told; cat > value; ! grep -q bad value'
    watch("app/", "--client", "web-1", "--exec", script)
    until(adopted, {str(first): 1})
    assert (tmp_path / "value").read_text() == "10"
    bad = put("bad")
    until(lambda: (tmp_path / "value").read_text(), "bad")
    # What failed is tried again by who comes back, and was not taken over.
    own_broker.kill()
    own_broker.start()
    told = lambda: (tmp_path / "told").read_text().splitlines()
    until(lambda: len(told()), 3)
    assert adopted() == {str(first): 1}
    put_again = put("20")
    until(adopted, {str(put_again): 1})
    assert told() == [f"put app/limit {of}" for of in (first, bad, bad, put_again)]
    assert f"the command failed for app/limit at revision {bad}" in pathlib.Path(tmp_path / "watch.log").read_text()
    requests.delete(f"{url}/config/app/limit", timeout=SECONDS)
    until(lambda: (tmp_path / "told").read_text().splitlines()[-1].split()[0], "delete")


def test_watch_goes_on_after_kill_9_with_what_it_missed(start_broker, tmp_path):
    broker = start_broker({})
    url = f"http://{broker.http}/v1/config/app"
    requests.put(f"{url}/a", data="1", timeout=SECONDS)
    requests.put(f"{url}/b", data="1", timeout=SECONDS)
    command = [BINARY, "config-push", "watch", "app/", "--client", "web-1", "--count", "4"]
    with subprocess.Popen(
        [*command, f"--server=http://{broker.http}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        told = [process.stdout.readline() for _ in range(2)]
        adoption = f"http://{broker.http}/v1/config-adoption/app/b"
        until(lambda: requests.get(adoption, timeout=SECONDS).json()["adopted"], 1)
        broker.kill()
        broker.start()
        requests.put(f"{url}/b", data="2", timeout=SECONDS)
        requests.delete(f"{url}/a", timeout=SECONDS)
        told += [process.stdout.readline() for _ in range(2)]
        assert process.wait(SECONDS) == 0
    words = [line.split()[:2] for line in told]
    assert words == [["put", "app/a"], ["put", "app/b"], ["put", "app/b"], ["delete", "app/a"]]

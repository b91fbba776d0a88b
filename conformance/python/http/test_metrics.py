"""Every metric that is documented is exposed, every one that is exposed is documented, and the
alert rules speak of metrics that exist."""

import pathlib
import re
import time

import httpx
import pytest

DOCS = pathlib.Path(__file__).parents[3] / "docs"
NAMES = re.compile(r"\b(?:tramline|kafka)_[a-z0-9_]+")
# Series that only some of the figures have, by the end of their names.
ENDS = re.compile(r"_(?:total|bucket|sum|count)$")


@pytest.fixture
def exposed(broker, name):
    root = f"http://{broker.http}"
    httpx.post(f"{root}/v1/queues", json={"name": name}, timeout=60)
    sqs = {"x-amz-target": "AmazonSQS.ListQueues", "content-type": "application/x-amz-json-1.0"}
    assert httpx.post(f"http://{broker.sqs}/", headers=sqs, content="{}").status_code == 200
    httpx.post(f"{root}/v1/topics", json={"name": f"{name}-t"}, timeout=60)
    text = httpx.get(f"{root}/metrics", timeout=60).text
    assert text.endswith("# EOF\n")
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_every_documented_metric_is_exposed(exposed):
    documented = set(NAMES.findall((DOCS / "metrics.md").read_text()))
    assert len(documented) > 90
    assert documented - exposed - {"kafka_exporter", "tramline_store"} == set()


def test_every_exposed_metric_is_documented(exposed):
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert exposed - set(NAMES.findall(text)) == set()


def test_the_alert_rules_speak_of_metrics_that_exist(exposed):
    rules = (DOCS / "examples" / "tramline.rules.yml").read_text()
    expressions = re.findall(r"expr:(.*?)\n        (?:for|labels):", rules, re.DOTALL)
    assert len(expressions) == rules.count("alert:")
    used = {ENDS.sub("", used) for used in NAMES.findall(" ".join(expressions))}
    assert used - exposed == set()


def samples(broker):
    """Every sample, by its name and labels as they are written."""
    text = httpx.get(f"http://{broker.http}/metrics", timeout=60).text
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def total(seen, metric):
    return sum(value for name, value in seen.items() if re.split(r"[{ ]", name)[0] == metric)


def test_the_figures_of_a_queue_say_what_happened(broker, name):
    url = f"http://{broker.http}/v1/queues"

    def post(path, body):
        answer = httpx.post(f"{url}{path}", json=body, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()

    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": f"{name}-dead"}
    post("", {"name": f"{name}-dead"})
    post("", {"name": name, "settings": dead})
    post(f"/{name}/messages", {"messages": [{"value": f"{n}"} for n in range(6)]})
    post(f"/{name}/messages", {"messages": [{"value": "later", "delay_ms": 3_600_000}]})
    got = post(f"/{name}/receive", {"limit": 4, "lock_ms": 600_000})["messages"]
    outcomes = ["accept", "release", "reject"]
    settles = [{"token": it["token"], "outcome": of} for it, of in zip(got, outcomes)]
    assert post(f"/{name}/settle", {"settles": settles})["failed"] == 0
    (again,) = post(f"/{name}/receive", {"limit": 1, "lock_ms": 600_000})["messages"]
    assert again["value"] == got[1]["value"]
    wanted = {
        "ready_messages": 2,
        "locked_messages": 2,
        "delayed_messages": 1,
        "enqueued_messages_total": 7,
        "delivered_messages_total": 5,
        "redelivered_messages_total": 1,
        "settled_messages_total": 3,
        "dead_lettered_messages_total": 1,
        "processing_seconds_count": 1,
    }
    deadline = time.monotonic() + 30
    while True:
        seen = samples(broker)
        of = {what: seen.get(f'tramline_queue_{what}{{queue="{name}"}}') for what in wanted}
        if of == wanted or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert of == wanted
    assert 0 <= seen[f'tramline_queue_oldest_age_seconds{{queue="{name}"}}'] < 60


def test_the_figures_of_listeners_store_and_channels_move(broker, name):
    before = samples(broker)
    root = f"http://{broker.http}/v1"
    assert httpx.get(f"{root}/queues/{name}", timeout=60).status_code == 404
    settings = {"prefix": name, "settings": {"history_size": 1}}
    assert httpx.put(f"{root}/channel-settings", json=settings, timeout=60).is_success
    with httpx.stream("GET", f"{root}/channels/{name}", timeout=60) as stream:
        lines = stream.iter_lines()
        while not next(lines).startswith("event: subscribed"):
            pass
        httpx.post(f"{root}/broadcast/{name}", json={"n": 1}, timeout=60)
        while '"n"' not in next(lines):
            pass
        after = samples(broker)
    channel = f'tramline_channel_{{}}_messages_total{{{{prefix="{name}"}}}}'
    assert after[channel.format("published")] == after[channel.format("delivered")] == 1
    assert after[channel.format("dropped")] == 0
    for moved in (
        "tramline_http_connections_accepted_total",
        "tramline_http_received_bytes_total",
        "tramline_http_sent_bytes_total",
        "tramline_http_requests_total",
        "tramline_store_commits_total",
        "tramline_store_committed_bytes_total",
        "tramline_store_sync_seconds_count",
        "tramline_store_sync_seconds_sum",
    ):
        assert total(after, moved) > total(before, moved), moved
    errors = [of for of in after if of.startswith("tramline_http_requests_total") and '"404"' in of]
    assert errors
    for positive in (
        "tramline_store_disk_free_bytes",
        "tramline_store_wal_bytes",
        "tramline_http_connections",
    ):
        assert total(after, positive) > 0, positive

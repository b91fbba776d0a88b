"""Every metric that is documented is exposed, every one that is exposed is documented, and the
alert rules speak of metrics that exist."""

import pathlib
import re

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

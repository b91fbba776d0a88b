"""Clients of boto3 to a broker without the 60-second windows, and queues for the tests."""

import pathlib
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from sqs_support import OLD, client_of  # noqa: E402

# The newest model has no words of the Query protocol; the command line comes with the newest.
collect_ignore = ["test_command_line.py"] if OLD else ["test_query_model.py"]

SETTINGS = {
    "groups": {"initial_rebalance_delay": "0s"},
    "sqs": {"deleted_window": "0s", "purged_window": "0s"},
}


@pytest.fixture(scope="session")
def sqs_broker(start_any):
    return start_any(SETTINGS)


@pytest.fixture
def broker(sqs_broker):
    """A broker that many tests share; one that it does not survive fails."""
    yield sqs_broker
    assert sqs_broker.process.poll() is None, f"the broker died:\n{sqs_broker.log()}"


@pytest.fixture
def sqs(broker):
    return client_of(broker)


@pytest.fixture
def new_queue(sqs):
    """Makes queues of this test's own and gives their URLs."""
    made = []

    def make(attributes=None, suffix="", tags=None):
        name = f"q-{uuid.uuid4().hex[:12]}{suffix}"
        options = {"tags": tags} if tags else {}
        made.append(sqs.create_queue(QueueName=name, Attributes=attributes or {}, **options)["QueueUrl"])
        return made[-1]

    yield make
    for url in made:
        try:
            sqs.delete_queue(QueueUrl=url)
        except sqs.exceptions.QueueDoesNotExist:
            pass


@pytest.fixture
def queue(new_queue):
    return new_queue()


@pytest.fixture
def fifo(new_queue):
    return new_queue({"FifoQueue": "true", "ContentBasedDeduplication": "true"}, ".fifo")

"""A Celery worker over SQS: tasks, results, retries, ETA, delays, workers and brokers that die."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import boto3
import pytest

from broker import Broker

HERE = pathlib.Path(__file__).parent
SETTINGS = {"sqs": {"deleted_window": "0s", "purged_window": "0s"}}
SECONDS = 50

pytestmark = pytest.mark.timeout(150)


class Worker:
    def __init__(self, directory, environment, *options):
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--loglevel=INFO"]
        command += ["--concurrency=2", *options]
        self.log = open(directory / "worker.log", "ab")
        self.process = subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        self.log.close()

    def kill(self):
        """With the processes of its pool."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Application:
    """The tasks of a broker, as workers and their callers see them."""

    def __init__(self, broker, directory, monkeypatch, **options):
        self.broker, self.directory, self.workers = broker, directory, []
        (directory / "results").mkdir(exist_ok=True)
        self.attempts = directory / "attempts"
        own = {
            "SQS_URL": f"sqs://test:secret@{broker.sqs}//",
            "RESULT_BACKEND": f"file://{directory}/results",
            "ATTEMPTS_FILE": str(self.attempts),
            "TRANSPORT_OPTIONS": json.dumps(options),
        }
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        self.environment = {**os.environ, **own}
        monkeypatch.syspath_prepend(str(HERE))
        sys.modules.pop("tasks", None)
        import tasks

        self.tasks = tasks
        self.sqs = boto3.client(
            "sqs",
            endpoint_url=f"http://{broker.sqs}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="secret",
        )

    def work(self, *options):
        self.workers.append(Worker(self.directory, self.environment, *options))
        return self.workers[-1]

    def attribute(self, url, name):
        asked = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return asked["Attributes"][name]

    def noted(self):
        return self.attempts.read_text().split() if self.attempts.exists() else []

    def until(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.log()}"
            time.sleep(0.05)

    def log(self):
        path = self.directory / "worker.log"
        return path.read_text()[-4000:] if path.exists() else "no worker"

    def close(self):
        for worker in self.workers:
            worker.stop()
        self.tasks.app.close()
        sys.modules.pop("tasks", None)


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path, SETTINGS)
    yield broker
    broker.close()


@pytest.fixture
def start(broker, tmp_path, monkeypatch):
    """Makes the application, with further options of the transport."""
    made = []

    def start(**options):
        made.append(Application(broker, tmp_path, monkeypatch, **options))
        return made[-1]

    yield start
    for application in made:
        application.close()


def test_tasks_of_every_kind(start):
    from celery import chain, chord, group

    application = start()
    tasks = application.tasks
    application.work()
    assert tasks.add.delay(2, 3).get(timeout=SECONDS) == 5
    results = group(tasks.add.s(i, i) for i in range(30))().get(timeout=SECONDS)
    assert results == [2 * i for i in range(30)]
    assert chain(tasks.add.s(1, 2), tasks.add.s(3))().get(timeout=SECONDS) == 6
    sum_of = chord((tasks.add.s(i, 1) for i in range(10)), tasks.total.s())()
    assert sum_of.get(timeout=SECONDS) == 55
    failed = tasks.fail.delay()
    with pytest.raises(KeyError, match="as expected"):
        failed.get(timeout=SECONDS)
    url = application.sqs.get_queue_url(QueueName="celery")["QueueUrl"]
    for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"):
        application.until(lambda n=name: application.attribute(url, n) == "0", name)


def test_retries_countdowns_and_delays(start):
    application = start()
    tasks = application.tasks
    application.work()
    retried = tasks.flaky.delay(2)
    now = time.time()
    later = tasks.when.apply_async(countdown=2)
    delayed = tasks.when.apply_async(delay_seconds=2)
    assert later.get(timeout=SECONDS) >= now + 1.9
    assert delayed.get(timeout=SECONDS) >= now + 1.9
    assert retried.get(timeout=SECONDS) == 2


def test_a_delay_is_kept_by_the_queue(start):
    application = start()
    application.tasks.when.apply_async(delay_seconds=600)
    url = application.sqs.get_queue_url(QueueName="celery")["QueueUrl"]
    assert application.attribute(url, "ApproximateNumberOfMessagesDelayed") == "1"
    assert application.attribute(url, "VisibilityTimeout") == "60"


def test_queues_of_their_own(start):
    application = start(queue_name_prefix="mine-")
    application.work("-Q", "first,second")
    for queue in ("first", "second"):
        assert application.tasks.add.apply_async((1, 2), queue=queue).get(timeout=SECONDS) == 3
    names = [url.rsplit("/", 1)[1] for url in application.sqs.list_queues()["QueueUrls"]]
    assert {"mine-first", "mine-second"} <= set(names)


def test_a_killed_worker_loses_no_task(start):
    application = start(visibility_timeout=8)
    one = application.work()
    result = application.tasks.slow.delay(5)
    application.until(application.noted, "the task begins")
    one.kill()
    application.work()
    assert result.get(timeout=SECONDS) == "done"
    assert application.noted()[:2] == ["begun", "begun"]


def test_tasks_and_their_delays_outlive_a_killed_broker(start, broker):
    """A worker that runs meanwhile ends: kombu 5.7 takes a refused connection for no messages."""
    application = start()
    tasks = application.tasks
    results = [tasks.add.delay(n, n) for n in range(10)]
    delayed = tasks.add.apply_async((40, 2), delay_seconds=1)
    broker.kill()
    broker.start()
    application.work()
    assert [result.get(timeout=SECONDS) for result in results] == [2 * n for n in range(10)]
    assert delayed.get(timeout=SECONDS) == 42


def predefined(application_of, **queue):
    """A queue of the test's own with a dead-letter queue, known to kombu by its URL."""
    sqs = application_of.sqs
    name = f"q-{uuid.uuid4().hex[:12]}"
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = application_of.attribute(dead, "QueueArn")
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": 2}
    attributes = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "8"}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return name, url, dead


def test_a_task_that_always_fails_is_dead_lettered(start, broker):
    first = start()
    name, url, dead = predefined(first)
    keys = {"access_key_id": "test", "secret_access_key": "secret"}
    policy = {"backoff_policy": {"1": 1}, "backoff_tasks": ["tasks.crooked"]}
    application = start(predefined_queues={name: {"url": url, **keys, **policy}}, visibility_timeout=8)
    application.work("-Q", name)
    application.tasks.crooked.apply_async(queue=name)
    application.until(
        lambda: application.attribute(dead, "ApproximateNumberOfMessages") == "1", "it is dead"
    )
    application.until(lambda: application.noted() == ["crooked", "crooked"], "it ran twice")


def test_every_option_of_a_new_queue(start):
    attributes = {"ReceiveMessageWaitTimeSeconds": "3", "MessageRetentionPeriod": "600"}
    application = start(**{"sqs-creation-attributes": attributes, "queue_tags": {"team": "a"}})
    application.tasks.add.apply_async((1, 1), queue="tagged")
    url = application.sqs.get_queue_url(QueueName="tagged")["QueueUrl"]
    assert application.sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a"}
    assert application.attribute(url, "MessageRetentionPeriod") == "600"


def test_a_fifo_queue_keeps_its_order(start):
    application = start()
    queue = "ordered.fifo"
    application.sqs.create_queue(QueueName=queue, Attributes={"FifoQueue": "true"})
    for n in range(10):
        properties = {"MessageGroupId": "g", "MessageDeduplicationId": f"d{n}"}
        application.tasks.remember.apply_async([str(n)], queue=queue, **properties)
    application.work("-Q", queue, "--concurrency=1")
    application.until(lambda: len(application.noted()) >= 10, "all tasks run")
    assert application.noted() == [str(n) for n in range(10)]

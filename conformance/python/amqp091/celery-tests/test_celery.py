"""A Celery worker: tasks, results, retries, ETA, priorities, chords, and a broker that restarts."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
SECONDS = 60


class Worker:
    def __init__(self, broker, directory, *queues, concurrency=2):
        self.attempts = directory / "attempts"
        self.url = f"amqp://guest:guest@{broker.amqp}//"
        environment = {**os.environ, "AMQP_URL": self.url, "ATTEMPTS_FILE": str(self.attempts)}
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--loglevel=INFO"]
        command += [f"--concurrency={concurrency}", "--pool=threads", "-Q", ",".join(queues or ["celery"])]
        self.log = open(directory / "worker.log", "ab")
        self.process = subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=self.log, stderr=self.log
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture
def tasks(own_broker, monkeypatch):
    """The application, connected to a broker of this test's own."""
    monkeypatch.setenv("AMQP_URL", f"amqp://guest:guest@{own_broker.amqp}//")
    monkeypatch.syspath_prepend(str(HERE))
    sys.modules.pop("tasks", None)
    import tasks

    yield tasks
    tasks.app.close()


@pytest.fixture
def worker(own_broker, tasks, tmp_path):
    worker = Worker(own_broker, tmp_path, "celery", "ranked")
    yield worker
    worker.stop()


def test_tasks_of_every_kind(tasks, worker):
    from celery import group

    assert tasks.add.delay(2, 3).get(timeout=SECONDS) == 5
    results = group(tasks.add.s(i, i) for i in range(50))().get(timeout=SECONDS)
    assert results == [2 * i for i in range(50)]
    assert tasks.flaky.delay(2).get(timeout=SECONDS) == 2
    failed = tasks.fail.delay()
    with pytest.raises(KeyError, match="as expected"):
        failed.get(timeout=SECONDS)
    eta = time.time() + 2
    assert tasks.when.apply_async(countdown=2).get(timeout=SECONDS) >= eta - 0.1


def test_chords(own_broker, tmp_path, monkeypatch):
    """They need results that are counted, which rpc does not do: files here."""
    (tmp_path / "results").mkdir()
    monkeypatch.setenv("RESULT_BACKEND", f"file://{tmp_path}/results")
    monkeypatch.setenv("AMQP_URL", f"amqp://guest:guest@{own_broker.amqp}//")
    monkeypatch.syspath_prepend(str(HERE))
    sys.modules.pop("tasks", None)
    import tasks
    from celery import chord

    worker = Worker(own_broker, tmp_path)
    try:
        result = chord((tasks.add.s(i, 1) for i in range(10)), tasks.total.s())()
        assert result.get(timeout=SECONDS) == 55
    finally:
        worker.stop()
        tasks.app.close()
        sys.modules.pop("tasks", None)


def test_priorities(own_broker, tasks, tmp_path):
    for text, priority in [("low", 1), ("high", 9), ("mid", 5)]:
        tasks.note.apply_async([text], queue="ranked", priority=priority)
    worker = Worker(own_broker, tmp_path, "ranked", concurrency=1)
    try:
        deadline = time.monotonic() + SECONDS
        while not worker.attempts.exists() or len(worker.attempts.read_text().split()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first = worker.attempts.read_text().split()[0]
        assert first == "high"
    finally:
        worker.stop()


def test_a_killed_worker_loses_no_task(own_broker, tasks, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = Worker(own_broker, tmp_path / "one")
    assert tasks.add.delay(1, 1).get(timeout=SECONDS) == 2
    result = tasks.slow.delay(3)
    time.sleep(1)
    one.process.kill()
    one.process.wait()
    two = Worker(own_broker, tmp_path / "two")
    assert result.get(timeout=SECONDS) == "done"
    two.stop()


def test_a_worker_goes_on_after_the_broker_was_killed(own_broker, tasks, worker):
    assert tasks.add.delay(1, 2).get(timeout=SECONDS) == 3
    own_broker.kill()
    own_broker.start()
    deadline = time.monotonic() + SECONDS
    with tasks.app.connection_for_write() as connection:
        tasks.note.apply_async(["after"], connection=connection)
    while not worker.attempts.exists() or "after" not in worker.attempts.read_text():
        assert time.monotonic() < deadline, "the worker does not come back"
        time.sleep(0.1)

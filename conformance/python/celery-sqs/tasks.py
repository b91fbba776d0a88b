"""The application of the tests: started by `celery worker`, called by the tests."""

import json
import os
import time

from celery import Celery

ATTEMPTS = os.environ["ATTEMPTS_FILE"]
app = Celery("tasks", broker=os.environ["SQS_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "is_secure": False,
        "region": "us-east-1",
        "wait_time_seconds": 5,
        "polling_interval": 0.1,
        "visibility_timeout": 60,
        **json.loads(os.environ.get("TRANSPORT_OPTIONS", "{}")),
    },
)


def note(text):
    with open(ATTEMPTS, "a") as file:
        file.write(text + "\n")


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def flaky(self, n_failures):
    if self.request.retries < n_failures:
        raise self.retry(exc=ValueError("not yet"), countdown=1)
    return self.request.retries


@app.task
def fail():
    raise KeyError("as expected")


@app.task
def when():
    return time.time()


@app.task
def remember(text):
    note(text)


@app.task
def slow(seconds):
    note("begun")
    time.sleep(seconds)
    return "done"


@app.task(acks_on_failure_or_timeout=False)
def crooked():
    note("crooked")
    raise ValueError("again")

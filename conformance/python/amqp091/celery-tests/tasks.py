"""The application of the tests: started by `celery worker`, called by the tests."""

import os
import time

from celery import Celery
from kombu import Queue

BACKEND = os.environ.get("RESULT_BACKEND", "rpc://")
app = Celery("tasks", broker=os.environ["AMQP_URL"], backend=BACKEND)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_queues=[
        Queue("celery", durable=True),
        Queue("ranked", queue_arguments={"x-max-priority": 10}),
    ],
    result_expires=60,
)
ATTEMPTS = os.environ.get("ATTEMPTS_FILE", "attempts")


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3, default_retry_delay=0.1)
def flaky(self, n_failures):
    if self.request.retries < n_failures:
        raise self.retry(exc=ValueError("not yet"))
    return self.request.retries


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise KeyError("as expected")


@app.task
def when():
    return time.time()


@app.task
def note(text):
    with open(ATTEMPTS, "a") as file:
        file.write(text + "\n")


@app.task
def slow(seconds):
    time.sleep(seconds)
    return "done"

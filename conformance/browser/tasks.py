"""The application of the tests: `celery worker` runs it, `python tasks.py NAME ARG` calls a task."""

import os
import sys
import time

from celery import Celery
from kombu import Queue

ARGUMENTS = {
    "x-track": True,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "graves",
}
app = Celery("tasks", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_acks_on_failure_or_timeout=False,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_default_queue="celery" if os.environ["BROKER_URL"].startswith("amqp") else "celery-sqs",
)
if os.environ["BROKER_URL"].startswith("amqp"):
    app.conf.task_queues = [Queue("celery", durable=True, queue_arguments=ARGUMENTS)]
else:
    app.conf.broker_transport_options = {
        "is_secure": False,
        "region": "us-east-1",
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
        "visibility_timeout": 10,
    }


@app.task
def wait_for(path):
    """Works until somebody makes the file."""
    while not os.path.exists(path):
        time.sleep(0.05)


@app.task
def fail(text):
    raise ValueError(text)


if __name__ == "__main__":
    # As a client does that has the application, not as the program that defines it.
    import tasks

    print(getattr(tasks, sys.argv[1]).delay(*sys.argv[2:]).id)

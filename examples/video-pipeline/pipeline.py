"""Upload -> thumbnails and captions, in parallel -> e-mail: one page shows how far it is.

    python3 pipeline.py                       with a broker on http://127.0.0.1:8080
    python3 pipeline.py --server URL --seconds 20

Needs Python alone: the workers speak HTTP. Any of them may be any other program that takes messages
from a queue by AMQP or SQS. Kill one (its process id is printed): its work is done by its successor.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

# A worker that dies is noticed after so long.
LOCK_MS = 5000
STEPS = 20
# "When an upload is done, make thumbnails and captions": the broker publishes both with the end of it.
QUEUES = {
    "uploads": {"track": True, "on_done": ["thumbnails", "captions"]},
    "thumbnails": {"track": True},
    "captions": {"track": True},
    "mails": {"track": True},
}


class Broker:
    def __init__(self, server):
        self.server = server

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.server + path, data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def say(self, job, what, **said):
        return self.ask("POST", f"/v1/jobs/{quoted(job)}/{what}", said)


def quoted(job):
    return urllib.parse.quote(job, safe="")


def work(broker, queue, seconds):
    """One worker: takes a message, tells how far it is, and what came of it."""
    name = f"{queue} worker {os.getpid()}"
    while True:
        request = {"wait_ms": 5000, "lock_ms": LOCK_MS}
        for message in broker.ask("POST", f"/v1/queues/{queue}/receive", request)["messages"]:
            headers = {header["name"]: header["value"] for header in message["headers"]}
            job = headers["job-id"]
            try:
                for step in range(STEPS):
                    broker.say(job, "progress", current=step, total=STEPS, worker=name)
                    time.sleep(seconds / STEPS)
                broker.say(job, "result", result={"by": name}, accept=True)
            except urllib.error.HTTPError as error:
                # Somebody else has it by now, or nobody wants it any more.
                print(f"{name}: {error.read().decode()}", flush=True)


def start_worker(arguments, queue):
    command = [sys.executable, __file__, "--server", arguments.server, "--work", queue]
    worker = subprocess.Popen([*command, "--seconds", str(arguments.seconds)])
    print(f"worker {queue} {worker.pid}", flush=True)
    return worker


def upload(broker):
    """A video comes in, and with it the mail that waits for all that is made of it."""
    video = f"video-{uuid.uuid4().hex[:8]}"
    made = [f"{video}/thumbnails", f"{video}/captions"]
    mail = {"job-id": f"{video}/mail", "job-parent": video, "job-after": ", ".join(made)}
    put(broker, "uploads", video, {"job-id": video})
    put(broker, "mails", f"your video {video} is ready", mail)
    return video


def put(broker, queue, value, headers):
    messages = [{"value": value, "headers": headers}]
    broker.ask("POST", f"/v1/queues/{queue}/messages", {"messages": messages})


def run(arguments):
    broker = Broker(arguments.server)
    for name, settings in QUEUES.items():
        broker.ask("POST", "/v1/queues", {"name": name, "settings": settings})
    workers = {queue: start_worker(arguments, queue) for queue in QUEUES}
    try:
        video = upload(broker)
        print(f"watch it: {arguments.server}/jobs/{quoted(video)}", flush=True)
        while True:
            for queue, worker in workers.items():
                if worker.poll() is not None:
                    print(f"the worker of {queue} died: another one takes its place", flush=True)
                    workers[queue] = start_worker(arguments, queue)
            mail = broker.ask("GET", f"/v1/jobs/{quoted(video + '/mail')}")
            if mail["is_final"]:
                print(f"the mail is {mail['state']}", flush=True)
                return 0 if mail["state"] == "done" else 1
            time.sleep(0.2)
    finally:
        for worker in workers.values():
            worker.send_signal(signal.SIGKILL)
            worker.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8080", help="the broker's HTTP address")
    parser.add_argument("--seconds", type=float, default=5, help="how long each step works")
    parser.add_argument("--work", metavar="QUEUE", help="be one worker")
    arguments = parser.parse_args()
    if arguments.work:
        return work(Broker(arguments.server), arguments.work, arguments.seconds)
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

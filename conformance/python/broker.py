"""A broker process: the release binary on a data directory of its own and free ports.

It is started with every port on 127.0.0.1:0 and a ready file, and keeps its ports when it is
started again, so that clients find it. It is stopped by its process id.
"""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import time

BINARY = os.environ.get("TRAMLINE_BINARY", "target/release/tramline")
READY_SECONDS = 60
STOP_SECONDS = 60


class Broker:
    """`stop` ends it as an operator would, `kill` by kill -9; `start` starts it again."""

    def __init__(self, directory, settings=None, kafka="127.0.0.1:0", prefix=(), flags=()):
        self.directory = pathlib.Path(directory)
        self.settings = dict(settings or {})
        self.kafka = kafka
        self.http = "127.0.0.1:0"
        self.amqp = "127.0.0.1:0"
        self.sqs = "127.0.0.1:0"
        self.prefix = prefix
        self.flags = flags
        self.process = None
        self.start()

    def start(self):
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        config = self.directory / "tramline.toml"
        config.write_text(to_toml(self.settings))
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    BINARY,
                    "serve",
                    f"--config={config}",
                    f"--data-dir={self.directory / 'data'}",
                    f"--listen-kafka={self.kafka}",
                    f"--listen-http={self.http}",
                    f"--listen-amqp={self.amqp}",
                    f"--listen-sqs={self.sqs}",
                    f"--ready-file={ready}",
                    *self.flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the broker did not start:\n{self.log()}")
            time.sleep(0.01)
        addresses = json.loads(ready.read_text())
        self.kafka = addresses["kafka"]
        self.http = addresses["http"]
        self.amqp = addresses["amqp"]
        self.sqs = addresses["sqs"]

    def stop(self):
        """A clean end; its exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        assert code == 0, f"exit code {code}:\n{self.log()}"

    def kill(self):
        """kill -9: nothing is written out first."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def close(self):
        """Ends it after a test. A broker that died by itself fails that test."""
        died = self.process.poll()
        assert died in (None, 0, -signal.SIGKILL), f"the broker died ({died}):\n{self.log()}"
        self.kill()

    def log(self):
        return (self.directory / "log").read_text(errors="replace")[-4000:]


def end_with_parent():
    """So that no broker is left behind where the tests themselves are killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def to_toml(settings):
    """Settings by section, as TOML."""
    lines = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines.extend(f"{json.dumps(name)} = {toml_value(value)}" for name, value in values.items())
    return "\n".join(lines) + "\n"


def toml_value(value):
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)} = {toml_value(inner)}" for name, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value)

"""The README's first messages, run as they stand but for the addresses."""

import pathlib
import re
import subprocess
import sys

import pytest

from broker import BINARY

PYTHON = pathlib.Path(sys.executable).parent
README = pathlib.Path(__file__).parents[3] / "README.md"
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", README.read_text(), re.DOTALL)
SECONDS = 60


def block(language, word):
    (text,) = [text for kind, text in BLOCKS if kind == language and word in text]
    return text


@pytest.fixture
def run(start_broker, tmp_path):
    """Runs a block of the README against a broker of this test's own."""
    broker = start_broker({})

    def run(*command):
        text = command[-1].replace("127.0.0.1:9092", broker.kafka)
        text = text.replace("127.0.0.1:5672", broker.amqp).replace("127.0.0.1:9324", broker.sqs)
        text = text.replace("target/release/tramline", BINARY)
        host, port = broker.amqp.split(":")
        text = text.replace(f'ConnectionParameters("{host}")', f'ConnectionParameters("{host}", {port})')
        done = subprocess.run(
            [*command[:-1], text],
            env={"PATH": f"{PYTHON}:/usr/bin:/bin", "TRAMLINE_SERVER": f"http://{broker.http}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_message_goes_there_and_back_by_kcat(run):
    assert "hi from kcat" in run("bash", "-e", "-c", block("sh", "kcat -b"))


def test_a_message_goes_there_and_back_by_python(run):
    assert "hi from Python" in run(sys.executable, "-c", block("python", "Producer"))


def test_a_message_goes_there_and_back_by_pika(run):
    assert "hi from pika" in run(sys.executable, "-c", block("python", "import pika"))


def test_a_task_is_worked_on_and_answered_by_celery(run):
    tasks = block("python", "tasks.py")
    file = f"cat > tasks.py <<'END'\n{tasks}END\n"
    assert "2 + 3 = 5" in run("bash", "-e", "-c", file + block("sh", "celery -A tasks"))


def test_configuration_reaches_who_follows_it(run):
    commands = block("sh", "tramline config-push")
    assert "put app/limit 1 10" in run("bash", "-e", "-c", commands)


def test_a_message_goes_there_and_back_by_the_command_line(run):
    assert "hi from tramline" in run("bash", "-e", "-c", block("sh", "tramline pub"))


def test_what_became_of_a_message_is_told(run):
    assert "/jobs/18?token=" in run("bash", "-e", "-c", block("sh", "tramline job token"))
    assert "\ndone" in run("bash", "-e", "-c", "target/release/tramline job get 18")

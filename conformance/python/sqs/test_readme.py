"""The README's queue, by pika and then by boto3, as it stands but for the addresses."""

import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).parents[3] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run(broker, word):
    (text,) = [text for text in BLOCKS if word in text]
    host, port = broker.amqp.split(":")
    text = text.replace(f'ConnectionParameters("{host}")', f'ConnectionParameters("{host}", {port})')
    text = text.replace("127.0.0.1:9324", broker.sqs)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_queue_by_pika_and_by_boto3(start_broker):
    broker = start_broker({})
    assert "hi from pika" in run(broker, "import pika")
    assert "hi from boto3" in run(broker, "import boto3")

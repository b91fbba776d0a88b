"""The AWS command line: the README's commands as they stand but for the address, and a FIFO queue."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

README = pathlib.Path(__file__).parents[3] / "README.md"
(BLOCK,) = [
    text
    for text in re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    if "aws --endpoint-url" in text
]
(EXPORT,) = [line for line in BLOCK.splitlines() if line.startswith("export ")]


@pytest.fixture
def run(start_broker, tmp_path):
    """Runs commands as somebody who has set up nothing."""
    broker = start_broker({})
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(text):
        text = text.replace("127.0.0.1:9324", broker.sqs)
        command = ["bash", "-e", "-o", "pipefail", "-c", text]
        environment = {"PATH": path, "HOME": str(tmp_path)}
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_commands_of_the_readme(run):
    assert '"Body": "hi from aws"' in run(BLOCK)


def test_a_fifo_queue_with_attributes(run):
    aws = "aws --endpoint-url http://127.0.0.1:9324 sqs"
    out = run(
        f"""{EXPORT}
        attributes='{{"FifoQueue": "true", "ContentBasedDeduplication": "true"}}'
        {aws} create-queue --queue-name q.fifo --attributes "$attributes" > made
        queue=http://127.0.0.1:9324/000000000000/q.fifo
        typed='{{"n": {{"DataType": "Number", "StringValue": "5"}}}}'
        {aws} send-message --queue-url $queue --message-body b --message-group-id g \
            --message-attributes "$typed" > sent
        {aws} receive-message --queue-url $queue --message-attribute-names All"""
    )
    (message,) = json.loads(out)["Messages"]
    assert message["Body"] == "b"
    assert message["MessageAttributes"]["n"] == {"DataType": "Number", "StringValue": "5"}

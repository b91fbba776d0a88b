"""Connections and channels of pika to the shared broker."""

import pathlib
import sys

import pika.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from amqp_support import close, connect  # noqa: E402


@pytest.fixture
def connection(broker):
    connection = connect(broker)
    yield connection
    close(connection)


@pytest.fixture
def other_connection(broker):
    connection = connect(broker)
    yield connection
    close(connection)


@pytest.fixture
def channel(connection):
    return connection.channel()


@pytest.fixture
def queue(connection, name):
    """A durable queue, deleted after the test."""
    channel = connection.channel()
    channel.queue_declare(name, durable=True)
    yield name
    if connection.is_open:
        connection.channel().queue_delete(name)


@pytest.fixture
def refused():
    """Runs what the broker refuses by closing the channel; gives code and text."""

    def run(call, *arguments, **options):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
            call(*arguments, **options)
        return caught.value.reply_code, caught.value.reply_text

    return run


@pytest.fixture
def hung_up():
    """Runs what the broker refuses by closing the connection; gives code and text."""

    def run(call, *arguments, **options):
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            call(*arguments, **options)
        return caught.value.reply_code, caught.value.reply_text

    return run

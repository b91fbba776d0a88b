"""What the tests do with clients, each within a limit."""

import time

SECONDS = 60


def send(producer, topic, values, **fields):
    """Sends values and gives what the broker said of each."""
    futures = []
    for index, value in enumerate(values):
        more = {name: field(index) if callable(field) else field for name, field in fields.items()}
        futures.append(producer.send(topic, value, **more))
    producer.flush(SECONDS)
    return [future.get(SECONDS) for future in futures]


def read(consumer, count):
    """The next `count` messages; fewer within the limit fail."""
    messages = []
    deadline = time.monotonic() + SECONDS
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came"
        got = consumer.poll(timeout_ms=200, max_records=count - len(messages))
        messages += [message for part in got.values() for message in part]
    return messages


def read_nothing(consumer, seconds=0.5):
    """Fails when a message comes."""
    got = consumer.poll(timeout_ms=int(seconds * 1000))
    assert not got, got


def until(holds, consumers=()):
    """Polls the consumers until a condition holds; gives the messages that came meanwhile."""
    messages = []
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be"
        for consumer in consumers:
            got = consumer.poll(timeout_ms=500)
            messages += [message for part in got.values() for message in part]
    return messages


def numbers(start, end):
    return [b"%d" % n for n in range(start, end)]


def values(messages):
    return [message.value for message in messages]

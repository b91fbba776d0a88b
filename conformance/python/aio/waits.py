"""What the tests do with clients, each within a limit."""

import asyncio
import time

SECONDS = 60


async def send(producer, topic, values, **fields):
    """Sends values and gives what the broker said of each."""
    futures = []
    for index, value in enumerate(values):
        more = {name: field(index) if callable(field) else field for name, field in fields.items()}
        futures.append(await producer.send(topic, value, **more))
    return await asyncio.wait_for(asyncio.gather(*futures), SECONDS)


async def read(consumer, count):
    """The next `count` messages; fewer within the limit fail."""
    messages = []
    deadline = time.monotonic() + SECONDS
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came"
        got = await consumer.getmany(timeout_ms=200, max_records=count - len(messages))
        messages += [message for part in got.values() for message in part]
    return messages


async def read_nothing(consumer, seconds=0.5):
    """Fails when a message comes."""
    got = await consumer.getmany(timeout_ms=int(seconds * 1000))
    assert not got, got


async def until(holds):
    deadline = time.monotonic() + SECONDS
    while True:
        result = holds()
        if await result if asyncio.iscoroutine(result) else result:
            return
        assert time.monotonic() < deadline, "it did not come to be"
        await asyncio.sleep(0.05)


def numbers(start, end):
    return [b"%d" % n for n in range(start, end)]


def values(messages):
    return [message.value for message in messages]

"""Load by confluent-kafka for the crash tests: one idempotent producer, one consumer in a group.

Writes what it asked for and what it was told to a ledger, one event per line (see
`crates/sim/src/history.rs`), each line flushed before the next operation. Survives the broker's
crashes; ends when its standard input is closed.
"""

import argparse
import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

FLUSH_SECONDS = 20
RECORDS_PER_SECOND = 400


class Ledger:
    """Events in the order of their time."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.lock = threading.Lock()
        self.op = 0

    def write(self, client, op, event, **fields):
        with self.lock:
            line = {"at": time.monotonic_ns(), "client": client, "op": op, "event": event, **fields}
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def invoke(self, client, event, **fields):
        with self.lock:
            self.op += 1
            op = self.op
        self.write(client, op, event, **fields)
        return op


def fill(value, length):
    """The filler that `tramline_sim::payload` makes: SplitMix64, seeded by the value."""
    mask = (1 << 64) - 1
    state = 0
    for byte in value.encode():
        state = (state * 31 + byte) & mask
    body = bytearray(value.encode() + b":")
    while len(body) < length:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        body += (z ^ (z >> 31)).to_bytes(8, "little")
    return bytes(body[: max(length, len(value) + 1)])


def read(body):
    """A body's value; a text that was never sent, where a byte has changed."""
    value = (body or b"").split(b":", 1)[0].decode(errors="replace")
    return value if fill(value, len(body or b"")) == body else f"damaged: {body[:60]!r}"


def produce(args, ledger, stopping):
    client = "python-producer"
    ledger.write(client, 0, "client", ordered=True)
    producer = Producer(
        {
            "bootstrap.servers": args.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 2,
            "message.timeout.ms": 60000,
            "reconnect.backoff.max.ms": 100,
        }
    )

    def delivered(op):
        def report(error, message):
            if error is None:
                offset = message.offset()
                offset = offset if offset >= 0 else None
                ledger.write(client, op, "send_ok", partition=message.partition(), offset=offset)
            else:
                ledger.write(client, op, "unknown", reason=str(error))

        return report

    number = 0
    while not stopping.is_set():
        value = f"{client}-{number}"
        number += 1
        partition = number % args.partitions
        op = ledger.invoke(client, "send", topic=args.topic, partition=partition, value=value)
        body = fill(value, number * 37 % 900)
        producer.produce(args.topic, body, partition=partition, on_delivery=delivered(op))
        producer.poll(0)
        time.sleep(1 / RECORDS_PER_SECOND)
    if producer.flush(FLUSH_SECONDS) > 0:
        raise RuntimeError("messages are left that were neither delivered nor given up")


def consume(args, ledger, stopping):
    client = "python-consumer"
    group = "python-group"
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 100,
        }
    )

    def assigned(_, partitions):
        for partition in partitions:
            ledger.write(client, 0, "assign", topic=partition.topic, partition=partition.partition)

    consumer.subscribe([args.topic], on_assign=assigned)
    positions = {}
    polls = 0
    while not stopping.is_set():
        records = []
        for message in consumer.consume(100, 0.2):
            if message.error():
                continue
            place = [message.topic(), message.partition(), message.offset()]
            records.append([*place, read(message.value())])
            positions[message.partition()] = message.offset() + 1
        ledger.write(client, 0, "poll_ok", records=records)
        polls += 1
        if polls % 3 == 0 and positions:
            commit(args, ledger, client, group, consumer, positions)
    consumer.close()


def commit(args, ledger, client, group, consumer, positions):
    offsets = [{"topic": args.topic, "partition": p, "offset": o} for p, o in positions.items()]
    op = ledger.invoke(client, "commit", group=group, offsets=offsets)
    wanted = [TopicPartition(args.topic, p, o) for p, o in positions.items()]
    try:
        results = consumer.commit(offsets=wanted, asynchronous=False)
    except KafkaException as error:
        ledger.write(client, op, "unknown", reason=str(error))
        return
    failed = [result.error for result in results if result.error]
    if failed:
        ledger.write(client, op, "unknown", reason=str(KafkaError(failed[0].code())))
    else:
        ledger.write(client, op, "ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--ledger", required=True)
    args = parser.parse_args()

    ledger = Ledger(args.ledger)
    stopping = threading.Event()
    failures = []

    def run(client):
        try:
            client(args, ledger, stopping)
        except Exception as error:  # Told to the test by the exit code.
            failures.append(error)
            stopping.set()

    threads = [threading.Thread(target=run, args=(client,)) for client in (produce, consume)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    for failure in failures:
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes the librdkafka-*.bin files: what the producer sends, fetched from the mock cluster of
confluent-kafka 2.16.1. Run as: python golden.py DIRECTORY"""
import socket
import struct
import sys

import confluent_kafka

T = 1700000000000


def receive(s, n):
    out = b""
    while len(out) < n:
        part = s.recv(n - len(out))
        assert part
        out += part
    return out


def fetch_v4(address, topic):
    """The record bytes of partition 0 from offset 0."""
    body = struct.pack(">iiiib", -1, 1000, 1, 1 << 20, 0)
    body += struct.pack(">ih", 1, len(topic)) + topic.encode()
    body += struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    request = struct.pack(">hhih", 1, 4, 7, 1) + b"c" + body
    with socket.create_connection(address) as s:
        s.sendall(struct.pack(">i", len(request)) + request)
        response = receive(s, struct.unpack(">i", receive(s, 4))[0])
    at = 12  # correlation id, throttle time, topic count
    at += 2 + struct.unpack_from(">h", response, at)[0] + 4
    at += 26  # partition, error, high watermark, last stable offset, aborted transactions
    length = struct.unpack_from(">i", response, at)[0]
    return response[at + 4 : at + 4 + length]


for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": "unused:1",
            "test.mock.num.brokers": 1,
            "compression.type": codec,
            "linger.ms": 500,
            "enable.idempotence": True,
        }
    )
    topic = "t-" + codec
    headers = [("a", "1"), ("a", "2"), ("b", None)]
    producer.produce(topic, key="key-0", value="hello " * 20, timestamp=T, partition=0)
    producer.produce(topic, value="x", timestamp=T + 5, partition=0, headers=headers)
    producer.produce(topic, key="key-2", timestamp=T + 2, partition=0)
    if codec != "none":
        producer.produce(topic, value="tramline" * 10000, timestamp=T + 9, partition=0)
    assert producer.flush(30) == 0
    broker = next(iter(producer.list_topics(topic, timeout=5).brokers.values()))
    with open(f"{sys.argv[1]}/librdkafka-2.16.0-{codec}.bin", "wb") as f:
        f.write(fetch_v4((broker.host, broker.port), topic))

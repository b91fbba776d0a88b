"""What the tests of AMQP clients share: connections, messages, and frames by hand."""

import socket
import struct
import time

import pika

HEADER = b"AMQP\x00\x00\x09\x01"


def connect(broker, **options):
    host, port = broker.amqp.rsplit(":", 1)
    options.setdefault("socket_timeout", 10)
    options.setdefault("blocked_connection_timeout", 20)
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), **options))


def close(connection):
    if connection.is_open:
        connection.close()


def publish(channel, queue, *bodies, **properties):
    properties.setdefault("delivery_mode", 2)
    for body in bodies:
        channel.basic_publish("", queue, body, pika.BasicProperties(**properties))


def get(channel, queue, auto_ack=True, seconds=60):
    """The next message as (method, properties, body), waiting for it."""
    deadline = time.monotonic() + seconds
    while True:
        got = channel.basic_get(queue, auto_ack)
        if got[0] is not None or time.monotonic() > deadline:
            return got
        time.sleep(0.01)


def drain(channel, queue):
    """The bodies of all ready messages."""
    bodies = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        bodies.append(got[2])
    return bodies


def count(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


class Consumer:
    """Collects deliveries of one consumer."""

    def __init__(self, channel, queue, **options):
        self.channel = channel
        self.deliveries = []
        self.tag = channel.basic_consume(queue, self._on_message, **options)

    def _on_message(self, _channel, method, properties, body):
        self.deliveries.append((method, properties, body))

    @property
    def bodies(self):
        return [body for _, _, body in self.deliveries]

    @property
    def tags(self):
        return [method.delivery_tag for method, _, _ in self.deliveries]

    def wait(self, n, seconds=60):
        """Waits for `n` deliveries in all."""
        connection = self.channel.connection
        deadline = time.monotonic() + seconds
        while len(self.deliveries) < n:
            assert time.monotonic() < deadline, f"{len(self.deliveries)} of {n} deliveries"
            connection.process_data_events(time_limit=0.05)
        return self

    def settle_down(self, seconds=0.3):
        """Takes whatever comes within a while."""
        self.channel.connection.process_data_events(time_limit=seconds)
        return self


def raw_socket(broker):
    host, port = broker.amqp.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=15)


def read_all(plain):
    data = b""
    try:
        while chunk := plain.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


class Raw:
    """Frames by hand, for what no client would send."""

    def __init__(self, broker):
        self.socket = raw_socket(broker)
        self.buffer = b""
        self.socket.sendall(HEADER)
        assert self.method()[:2] == (10, 10)

    def frame(self):
        while len(self.buffer) < 7 or len(self.buffer) < self.size():
            chunk = self.socket.recv(65536)
            assert chunk, "the broker hung up"
            self.buffer += chunk
        size = self.size()
        frame, self.buffer = self.buffer[:size], self.buffer[size:]
        return frame

    def size(self):
        return struct.unpack(">I", self.buffer[3:7])[0] + 8

    def method(self):
        """The next method's class, number and arguments; heartbeats are passed over."""
        while True:
            frame = self.frame()
            if frame[0] == 1:
                return (*struct.unpack(">HH", frame[7:11]), frame[11:-1])

    def send_frame(self, kind, channel, payload, end=b"\xce"):
        head = struct.pack(">BHI", kind, channel, len(payload))
        self.socket.sendall(head + payload + end)

    def send_method(self, channel, class_id, method_id, arguments=b""):
        self.send_frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)

    def start_ok(self, mechanism, response):
        arguments = struct.pack(">I", 0) + bytes([len(mechanism)]) + mechanism
        arguments += struct.pack(">I", len(response)) + response + b"\x05en_US"
        self.send_method(0, 10, 11, arguments)

    def open(self, channel_max=2047, frame_max=131072, heartbeat=0):
        self.start_ok(b"PLAIN", b"\0guest\0guest")
        assert self.method()[:2] == (10, 30)
        self.send_method(0, 10, 31, struct.pack(">HIH", channel_max, frame_max, heartbeat))
        self.send_method(0, 10, 40, b"\x01/\x00\x00")
        assert self.method()[:2] == (10, 41)

    def open_channel(self, number=1):
        self.send_method(number, 20, 10, b"\x00")
        assert self.method()[:2] == (20, 11)

    def close_reason(self):
        """Code and text of connection.close."""
        class_id, method_id, arguments = self.method()
        assert (class_id, method_id) == (10, 50), (class_id, method_id)
        code, length = struct.unpack(">HB", arguments[:3])
        return code, arguments[3 : 3 + length].decode()

"""Logging in, agreeing on limits, closing."""

import socket
import struct

import pika
import pytest

from amqp_support import HEADER, Raw, close, connect, get, raw_socket, read_all


def test_server_says_what_it_is_and_can(connection):
    properties = connection._impl.server_properties
    assert (properties["product"], properties["version"]) == ("RabbitMQ", "3.13.7")
    assert properties["platform"].startswith("Tramline")
    assert properties["capabilities"] == {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "consumer_priorities": True,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
        "direct_reply_to": True,
    }


def test_defaults_are_rabbitmqs(connection):
    parameters = connection._impl.params
    assert (parameters.channel_max, parameters.frame_max) == (2047, 131072)
    assert parameters.heartbeat == 60


@pytest.mark.parametrize("frame_max", [4096, 8192, 131072])
def test_frames_as_small_as_4096_are_accepted(broker, frame_max, name):
    connection = connect(broker, frame_max=frame_max)
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    body = bytes(range(256)) * 1000
    channel.basic_publish("", name, body)
    assert channel.basic_get(name, auto_ack=True)[2] == body
    connection.close()


@pytest.mark.parametrize("user, password", [("guest", "wrong"), ("nobody", "guest")])
def test_wrong_credentials_are_refused(broker, user, password):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        connect(broker, credentials=pika.PlainCredentials(user, password))
    assert "ACCESS_REFUSED" in str(caught.value)


def test_other_virtual_hosts_are_refused(broker):
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as caught:
        connect(broker, virtual_host="other")
    assert "(530) 'NOT_ALLOWED - vhost other not found'" in str(caught.value)


def test_amqplain_logs_in(broker):
    raw = Raw(broker)
    table = b""
    for key, value in [(b"LOGIN", b"guest"), (b"PASSWORD", b"guest")]:
        table += bytes([len(key)]) + key + b"S" + struct.pack(">I", len(value)) + value
    raw.start_ok(b"AMQPLAIN", table)
    assert raw.method()[:2] == (10, 30)


def test_another_protocol_is_told_what_is_spoken(broker):
    for greeting in [b"AMQP\x00\x01\x00\x00", b"GET / HT", b"AMQP\x03\x01\x00\x00"]:
        with raw_socket(broker) as plain:
            plain.sendall(greeting)
            assert read_all(plain) == HEADER


def test_a_client_without_a_word_is_hung_up_on_others_are_not(broker, channel, name):
    with raw_socket(broker) as plain:
        plain.sendall(HEADER + b"\x01\x00\x00\xff\xff\xff\xff")
        assert read_all(plain)[:1] == b"\x01", "connection.start, and then the end"
    channel.queue_declare(name, exclusive=True)


def test_close_by_the_client_is_answered(broker):
    connection = connect(broker)
    connection.close(200, "bye")
    assert connection.is_closed


def test_heartbeats_keep_an_idle_connection(broker):
    connection = connect(broker, heartbeat=1)
    for _ in range(7):
        connection.process_data_events(time_limit=0.5)
    assert connection.is_open
    close(connection)


def test_a_client_whose_heartbeat_is_lost_is_hung_up_on(broker):
    raw = Raw(broker)
    raw.open(heartbeat=1)
    raw.socket.settimeout(6)
    assert read_all(raw.socket) is not None, "the socket ends within a few seconds"


def test_update_secret_is_answered(connection):
    connection.update_secret("new", "renewal")
    assert connection.is_open


def test_more_channels_than_agreed_are_refused(broker):
    raw = Raw(broker)
    raw.open(channel_max=10)
    raw.send_method(11, 20, 10, b"\x00")
    code, text = raw.close_reason()
    assert code == 530 and "channel_max (10)" in text


def test_half_closed_socket_ends_the_connection_and_requeues(broker, channel, queue):
    channel.basic_publish("", queue, b"m", pika.BasicProperties(delivery_mode=2))
    raw = Raw(broker)
    raw.open()
    raw.send_method(1, 20, 10, b"\x00")
    assert raw.method()[:2] == (20, 11)
    name = queue.encode()
    raw.send_method(1, 60, 70, b"\x00\x00" + bytes([len(name)]) + name + b"\x00")
    assert raw.method()[:2] == (60, 71)
    raw.socket.shutdown(socket.SHUT_WR)
    method, _, body = get(channel, queue)
    assert (body, method.redelivered) == (b"m", True)

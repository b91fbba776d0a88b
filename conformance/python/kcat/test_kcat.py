"""kcat as Debian ships it: produce, consume, list, and look an offset up by time."""

import json
import subprocess

import pytest

from kafka_client import SECONDS


@pytest.fixture
def kcat(broker):
    """Runs kcat against the shared broker and gives what it prints."""

    def run(*args, text=None):
        done = subprocess.run(
            ["kcat", "-b", broker.kafka, *args],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_lines_are_produced_and_consumed(kcat, name):
    kcat("-P", "-t", name, text="one\ntwo\nthree\n")
    assert kcat("-C", "-t", name, "-e", "-q") == "one\ntwo\nthree\n"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_comes_back(kcat, name, codec):
    lines = "".join(f"{n} tramline tramline tramline\n" for n in range(200))
    kcat("-P", "-t", name, "-z", codec, text=lines)
    assert kcat("-C", "-t", name, "-e", "-q") == lines


def test_keys_headers_and_offsets_are_shown(kcat, name):
    kcat("-P", "-t", name, "-K", ":", "-H", "a=1", "-H", "a=2", text="k:v\n")
    shown = kcat("-C", "-t", name, "-e", "-q", "-f", "%p %o %k %s %h\\n")
    assert shown == "0 0 k v a=1,a=2\n"


def test_reading_starts_where_it_is_told(kcat, name):
    kcat("-P", "-t", name, text="".join(f"{n}\n" for n in range(10)))
    assert kcat("-C", "-t", name, "-e", "-q", "-o", "7") == "7\n8\n9\n"
    assert kcat("-C", "-t", name, "-e", "-q", "-o", "-2") == "8\n9\n"
    assert kcat("-C", "-t", name, "-e", "-q", "-o", "beginning", "-c", "1") == "0\n"
    assert kcat("-C", "-t", name, "-e", "-q", "-o", "end") == ""


def test_metadata_lists_the_broker_and_the_topic(kcat, broker, name):
    kcat("-P", "-t", name, text="v\n")
    listed = json.loads(kcat("-L", "-J"))
    assert [node["name"] for node in listed["brokers"]] == [broker.kafka]
    (topic,) = [one for one in listed["topics"] if one["topic"] == name]
    assert [partition["partition"] for partition in topic["partitions"]] == [0]


def test_an_offset_is_found_by_time(kcat, name):
    kcat("-P", "-t", name, text="v\n")
    stamp = int(kcat("-C", "-t", name, "-e", "-q", "-f", "%T"))
    assert kcat("-Q", "-t", f"{name}:0:{stamp}").split() == [name, "[0]", "offset", "0"]
    assert kcat("-Q", "-t", f"{name}:0:{stamp + 1}").split()[-1] == "-1"
    assert kcat("-Q", "-t", f"{name}:0:-1").split()[-1] == "1"
    assert kcat("-Q", "-t", f"{name}:0:-2").split()[-1] == "0"


def test_a_group_reads_each_message_once(kcat, name):
    kcat("-P", "-t", name, text="a\nb\n")
    assert sorted(kcat("-G", name, "-e", "-q", "-X", "auto.offset.reset=earliest", name).split()) == ["a", "b"]
    kcat("-P", "-t", name, text="c\n")
    assert kcat("-G", name, "-e", "-q", "-X", "auto.offset.reset=earliest", name) == "c\n"


def test_kcat_reads_all_partitions_in_one_order(kcat, clients, name):
    topic = clients.create_topic(name, partitions=8, order="total")
    for n in range(24):
        kcat("-P", "-t", topic, "-p", str(n * 3 % 8), text=f"{n}\n")
    expected = "".join(f"{n} {n}\n" for n in range(24))
    for _ in range(2):
        shown = kcat("-C", "-t", f"{topic}.ordered", "-e", "-q", "-f", "%o %s\\n")
        assert shown == expected
    listed = json.loads(kcat("-L", "-J", "-t", f"{topic}.ordered"))
    (view,) = listed["topics"]
    assert len(view["partitions"]) == 1


def test_an_empty_value_is_kept_apart_from_an_absent_one(kcat, name):
    kcat("-P", "-t", name, "-K", ":", "-Z", text="absent:\nhas:v\n")
    kcat("-P", "-t", name, "-K", ":", text="empty:\n")
    shown = kcat("-C", "-t", name, "-e", "-q", "-f", "%k %S\\n")
    assert shown == "absent -1\nhas 1\nempty 0\n"


def test_an_idempotent_producer_works(kcat, name):
    lines = "".join(f"{n}\n" for n in range(500))
    kcat("-P", "-t", name, "-X", "enable.idempotence=true", "-X", "batch.num.messages=20", text=lines)
    assert kcat("-C", "-t", name, "-e", "-q") == lines


def test_a_range_of_time_is_read(kcat, name):
    kcat("-P", "-t", name, text="a\nb\n")
    stamps = kcat("-C", "-t", name, "-e", "-q", "-f", "%T\\n").split()
    assert kcat("-C", "-t", name, "-e", "-q", "-o", f"s@{stamps[0]}").startswith("a\n")
    later = int(stamps[1]) + 1
    assert kcat("-C", "-t", name, "-e", "-q", "-o", f"s@{later}") == ""


def test_a_message_above_the_limit_is_refused(broker, name):
    done = subprocess.run(
        ["kcat", "-b", broker.kafka, "-P", "-t", name, "-X", "message.max.bytes=5000000", "-D", ";"],
        input="x" * 2_000_000,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "too large" in done.stderr, done.stderr


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_messages_and_the_groups_position_outlive_the_broker(own_broker, name, how):
    def kcat(*args, text=None):
        command = ["kcat", "-b", own_broker.kafka, *args]
        done = subprocess.run(command, input=text or "", capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    group = ["-G", name, "-e", "-q", "-X", "auto.offset.reset=earliest", name]
    kcat("-P", "-t", name, text="a\nb\n")
    assert kcat(*group) == "a\nb\n"
    getattr(own_broker, how)()
    own_broker.start()
    kcat("-P", "-t", name, text="c\n")
    assert kcat(*group) == "c\n"
    assert kcat("-C", "-t", name, "-e", "-q") == "a\nb\nc\n"

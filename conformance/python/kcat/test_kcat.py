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

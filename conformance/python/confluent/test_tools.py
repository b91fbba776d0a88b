"""What operators' tools call beside topics and groups."""

import pytest
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import ConfigResource

from kafka_client import SECONDS, read, send, values


@pytest.mark.since("2.6")
def test_records_are_deleted_up_to_an_offset(clients, name):
    topic = clients.create_topic(name)
    send(clients.producer(), topic, [b"%d" % n for n in range(10)])
    place = TopicPartition(topic, 0, 4)
    deleted = clients.admin().delete_records([place])[place].result(SECONDS)
    assert deleted.low_watermark == 4
    reader = clients.reader(topic)
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), SECONDS) == (4, 10)
    assert values(read(clients.reader(topic, offset=4), 6))[0] == b"4"


@pytest.mark.since("2.7")
def test_leaders_need_no_election(clients, name):
    from confluent_kafka import ElectionType

    place = TopicPartition(clients.create_topic(name), 0)
    elected = clients.admin().elect_leaders(ElectionType.PREFERRED, [place]).result(SECONDS)
    assert elected[place].code() == KafkaError.ELECTION_NOT_NEEDED


def test_altering_all_settings_resets_the_others(clients, name):
    topic = clients.create_topic(name, retention_ms=5, retention_bytes=6)
    resource = ConfigResource("topic", topic, set_config={"retention.ms": "7"})
    clients.admin().alter_configs([resource])[resource].result(SECONDS)
    asked = ConfigResource("topic", topic)
    settings = clients.admin().describe_configs([asked])[asked].result(SECONDS)
    found = {key: settings[key].value for key in ["retention.ms", "retention.bytes"]}
    assert found == {"retention.ms": "7", "retention.bytes": "-1"}

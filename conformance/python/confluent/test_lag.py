"""The lag of a consumer group and its state, while a real group lags, stalls, stops, rewinds."""

import json
import time
import urllib.request

from confluent_kafka import TopicPartition

from kafka_client import SECONDS, read, send, until

# What the window of ten commits, a second or more apart, takes to tell; and the least silence.
STATE_SECONDS = 90


def get(broker, path):
    with urllib.request.urlopen(f"http://{broker.http}{path}", timeout=SECONDS) as answer:
        return answer.read().decode()


def lag_of(broker, group, partition=0):
    answer = json.loads(get(broker, f"/v1/groups/{group}/lag"))
    (found,) = [of for of in answer["partitions"] if of["partition"] == partition]
    return found


def metric(broker, name, **labels):
    for line in get(broker, "/metrics").splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    return None


class Reader:
    """A group of one that reads and commits as it is told, one step a second."""

    def __init__(self, broker, clients, name):
        self.broker, self.name = broker, name
        self.topic = clients.create_topic(name, retention_ms=-1)
        self.producer = clients.producer()
        self.consumer = clients.consumer(group=name)
        self.consumer.subscribe([self.topic])
        self.position = 0

    def publish(self, count):
        send(self.producer, self.topic, [b"x"] * count)

    def step(self, published, taken):
        """Publishes, reads on or goes back, and commits."""
        self.publish(published)
        if taken < 0:
            self.position += taken
            self.consumer.seek(TopicPartition(self.topic, 0, self.position))
        elif taken > 0:
            self.position = read(self.consumer, taken)[-1].offset() + 1
        place = TopicPartition(self.topic, 0, self.position)
        self.consumer.commit(offsets=[place], asynchronous=False)
        time.sleep(1.05)
        return self.state()

    def state(self):
        return lag_of(self.broker, self.name)["lag_state"]

    def step_until(self, state, published, taken):
        deadline = time.monotonic() + STATE_SECONDS
        while (seen := self.step(published, taken)) != state:
            assert time.monotonic() < deadline, f"{seen}, never {state}"


def test_a_group_lags_stalls_rewinds_stops_and_recovers(broker, clients, name):
    reader = Reader(broker, clients, name)
    assert reader.step(5, 5) == "OK"
    reader.step_until("WARN", published=3, taken=2)
    reader.step_until("STALL", published=1, taken=0)
    reader.step_until("REWIND", published=1, taken=-2)
    assert metric(broker, "tramline_group_lag_state", group=name) == 4
    clients.close(reader.consumer)
    until(lambda: reader.state() == "STOP", seconds=STATE_SECONDS)
    again = Reader.__new__(Reader)
    again.__dict__.update(reader.__dict__)
    again.consumer = clients.consumer(group=name)
    again.consumer.subscribe([reader.topic])
    lag = lag_of(broker, name)["lag"]
    assert again.step(0, lag) == "OK"
    assert lag_of(broker, name)["lag"] == 0


def test_lag_is_told_in_messages_and_seconds(broker, clients, name):
    topic = clients.create_topic(name, partitions=2, retention_ms=-1)
    producer = clients.producer(linger_ms=0)
    times = [1_000, 2_000, 5_500, 65_500]
    for at in times:
        send(producer, topic, [b"x"], partition=lambda _: 1, timestamp=lambda _, at=at: at)
    consumer = clients.consumer(group=name)
    for committed, messages, seconds in [(0, 4, 64.5), (2, 2, 60.0), (3, 1, 0.0), (4, 0, 0.0)]:
        place = TopicPartition(topic, 1, committed)
        consumer.commit(offsets=[place], asynchronous=False)
        found = lag_of(broker, name, partition=1)
        assert (found["lag"], found["lag_seconds"]) == (messages, seconds)


def test_metrics_have_kafka_exporters_names_and_labels(broker, clients, name):
    topic = clients.create_topic(name, partitions=3)
    producer = clients.producer()
    send(producer, topic, [b"%d" % n for n in range(30)], partition=lambda n: n % 3)
    consumer = clients.consumer(group=name)
    consumer.subscribe([topic])
    read(consumer, 30)
    places = [TopicPartition(topic, partition, 4) for partition in range(3)]
    consumer.commit(offsets=places, asynchronous=False)
    place = {"topic": topic, "partition": 1}
    of_group = {"consumergroup": name, "topic": topic}
    for metric_name, labels, expected in [
        ("kafka_topic_partitions", {"topic": topic}, 3),
        ("kafka_topic_partition_current_offset", place, 10),
        ("kafka_topic_partition_oldest_offset", place, 0),
        ("kafka_topic_partition_leader", place, 0),
        ("kafka_topic_partition_replicas", place, 1),
        ("kafka_topic_partition_in_sync_replica", place, 1),
        ("kafka_topic_partition_leader_is_preferred", place, 1),
        ("kafka_topic_partition_under_replicated_partition", place, 0),
        ("kafka_consumergroup_current_offset", {**of_group, "partition": 2}, 4),
        ("kafka_consumergroup_current_offset_sum", of_group, 12),
        ("kafka_consumergroup_lag", {**of_group, "partition": 2}, 6),
        ("kafka_consumergroup_lag_sum", of_group, 18),
        ("kafka_consumergroup_members", {"consumergroup": name}, 1),
        ("tramline_group_lag_records", {"group": name, "topic": topic, "partition": 0}, 6),
    ]:
        assert metric(broker, metric_name, **labels) == expected, metric_name


def test_who_reads_what_is_shown_with_the_lag(broker, clients, name):
    topic = clients.create_topic(name, partitions=2)
    send(clients.producer(), topic, [b"a", b"b"], partition=lambda n: n)
    consumer = clients.consumer(group=name, client_id="somebody")
    consumer.subscribe([topic])
    read(consumer, 2)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    read_by, not_committed = lag_of(broker, name, 0), lag_of(broker, name, 1)
    assert (read_by["client_id"], read_by["committed"], read_by["lag"]) == ("somebody", 1, 0)
    assert (not_committed["client_id"], not_committed["committed"]) == ("somebody", None)

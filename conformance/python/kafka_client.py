"""confluent-kafka with bounded waits: every helper returns or fails within its limit."""

import threading
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS = 60


class Clients:
    """Makes clients of one broker and closes them at the end."""

    def __init__(self, broker, address=None):
        self.address = address or broker.kafka
        self.consumers = []
        self._admin = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for consumer in self.consumers:
            close_within(consumer, SECONDS)

    def settings(self, extra):
        return {
            "bootstrap.servers": self.address,
            "broker.address.family": "v4",
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            **extra,
        }

    def producer(self, **settings):
        extra = {name.replace("_", "."): value for name, value in settings.items()}
        return Producer(self.settings({"linger.ms": 5, "message.timeout.ms": 15000, **extra}))

    def consumer(self, group="nobody", **settings):
        extra = {name.replace("_", "."): value for name, value in settings.items()}
        base = {
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "fetch.wait.max.ms": 200,
            "fetch.error.backoff.ms": 50,
            "topic.metadata.refresh.interval.ms": 5000,
        }
        consumer = Consumer(self.settings({**base, **extra}))
        self.consumers.append(consumer)
        return consumer

    def reader(self, topic, partition=0, offset=0, **settings):
        """A consumer of one partition from an offset, without a group."""
        consumer = self.consumer(**settings)
        consumer.assign([TopicPartition(topic, partition, offset)])
        return consumer

    def close(self, consumer):
        self.consumers.remove(consumer)
        consumer.close()

    def admin(self):
        """One for all requests: its requests die with it."""
        if self._admin is None:
            self._admin = AdminClient(self.settings({}))
        return self._admin

    def create_topic(self, topic, partitions=1, **config):
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
        self.admin().create_topics([new])[topic].result(SECONDS)
        return topic


def close_within(consumer, seconds):
    """A close that does not end is an error, but for the 2.0 line, whose close may hang when
    its consumer has met an error: that consumer is left behind."""
    closing = threading.Thread(target=consumer.close, daemon=True)
    closing.start()
    closing.join(seconds)
    is_old = confluent_kafka.__version__.startswith("2.0.")
    assert is_old or not closing.is_alive(), f"a close took more than {seconds} s"


def send(producer, topic, values, **fields):
    """Sends values and waits for all of them: the delivered messages in the order of sending.
    A message that was refused raises its error."""
    delivered = {}
    failed = []

    def note(index):
        def on_delivery(error, message):
            if error is not None:
                failed.append(error)
            else:
                delivered[index] = message

        return on_delivery

    for index, value in enumerate(values):
        more = {name: field(index) if callable(field) else field for name, field in fields.items()}
        while True:
            try:
                producer.produce(topic, value, on_delivery=note(index), **more)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(SECONDS)
    if failed:
        raise KafkaException(failed[0])
    assert left == 0, f"{left} messages were not delivered"
    return [delivered[index] for index in sorted(delivered)]


def read(consumer, count, seconds=SECONDS):
    """The next `count` messages; fewer within the time fail."""
    messages = []
    deadline = time.monotonic() + seconds
    while len(messages) < count:
        left = deadline - time.monotonic()
        assert left > 0, f"{len(messages)} of {count} messages came within {seconds} s"
        message = consumer.poll(min(left, 1.0))
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        messages.append(message)
    return messages


def read_nothing(consumer, seconds=0.6):
    """Fails when a message comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = consumer.poll(0.1)
        assert message is None, f"unexpected: {message.error() or message.value()}"


def next_error(consumer, seconds=SECONDS):
    """The next error that polling gives or raises, skipping messages."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            message = consumer.poll(0.2)
        except KafkaException as error:
            return error.args[0]
        if message is not None and message.error():
            return message.error()
    raise AssertionError("no error came")


def values(messages):
    return [message.value() for message in messages]


def until(holds, consumers=(), seconds=SECONDS):
    """Polls the consumers until a condition holds; gives the messages that came meanwhile."""
    messages = []
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to be within {seconds} s"
        for consumer in consumers:
            message = consumer.poll(0.05)
            if message is not None and not message.error():
                messages.append(message)
            elif message is not None and message.error().fatal():
                raise KafkaException(message.error())
        if not consumers:
            time.sleep(0.05)
    return messages


def error_of(future):
    """The code of the error that a request failed with."""
    try:
        future.result(SECONDS)
    except KafkaException as error:
        return error.args[0].code()
    return KafkaError.NO_ERROR

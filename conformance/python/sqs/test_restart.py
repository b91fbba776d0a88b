"""What was acknowledged is there after kill -9."""

from sqs_support import attribute, client_of, receive_all


def test_messages_locks_and_deletes_outlive_a_crash(start_broker, name):
    broker = start_broker({})
    sqs = client_of(broker)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    for n in range(30):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    messages = receive_all(sqs, queue, 20, VisibilityTimeout=600)
    for message in messages[:10]:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    broker.kill()
    broker.start()
    sqs = client_of(broker)
    assert attribute(sqs, queue, "ApproximateNumberOfMessages") == "10"
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "10"
    # A handle of before the crash still deletes.
    for message in messages[10:]:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert attribute(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == "0"
    left = receive_all(sqs, queue, 10)
    assert sorted(int(message["Body"]) for message in left) == list(range(20, 30))


def test_a_message_sent_just_before_a_crash_is_there(start_broker, name):
    broker = start_broker({})
    sqs = client_of(broker)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    for round in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(round))
        broker.kill()
        broker.start()
        sqs = client_of(broker)
        assert attribute(sqs, queue, "ApproximateNumberOfMessages") == str(round + 1)

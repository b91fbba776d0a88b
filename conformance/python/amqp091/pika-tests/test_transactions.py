"""tx: publishes and acknowledgements that are done together or not at all."""

from amqp_support import Consumer, count, drain, get, publish


def test_publishes_wait_for_the_commit(connection, queue):
    channel, other = connection.channel(), connection.channel()
    channel.tx_select()
    publish(channel, queue, b"1", b"2")
    assert count(other, queue) == 0
    channel.tx_commit()
    assert drain(other, queue) == [b"1", b"2"]


def test_a_rollback_forgets_publishes(connection, queue):
    channel = connection.channel()
    channel.tx_select()
    publish(channel, queue, b"1")
    channel.tx_rollback()
    publish(channel, queue, b"2")
    channel.tx_commit()
    assert drain(connection.channel(), queue) == [b"2"]


def test_acknowledgements_wait_for_the_commit(connection, queue):
    publish(connection.channel(), queue, b"1")
    channel = connection.channel()
    channel.tx_select()
    channel.basic_ack(get(channel, queue, auto_ack=False)[0].delivery_tag)
    channel.close()
    method, _, body = get(connection.channel(), queue, auto_ack=False)
    assert (body, method.redelivered) == (b"1", True)


def test_after_a_rollback_deliveries_can_be_settled_again(connection, queue):
    publish(connection.channel(), queue, b"1")
    channel = connection.channel()
    channel.tx_select()
    tag = get(channel, queue, auto_ack=False)[0].delivery_tag
    channel.basic_ack(tag)
    channel.tx_rollback()
    channel.basic_ack(tag)
    channel.tx_commit()
    channel.close()
    assert connection.channel().basic_get(queue)[0] is None


def test_consume_and_publish_on_in_one_commit(connection, queue, name):
    target = f"{name}-target"
    channel = connection.channel()
    channel.queue_declare(target, durable=True)
    publish(connection.channel(), queue, b"in")
    channel.tx_select()
    consumer = Consumer(channel, queue).wait(1)
    publish(channel, target, b"out")
    channel.basic_ack(consumer.tags[0])
    channel.tx_commit()
    other = connection.channel()
    assert (drain(other, target), count(other, queue)) == ([b"out"], 0)
    other.queue_delete(target)


def test_modes_do_not_mix(connection, refused):
    channel = connection.channel()
    channel.tx_select()
    code, text = refused(channel.confirm_delivery)
    assert (code, text) == (406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    channel = connection.channel()
    channel.confirm_delivery()
    code, text = refused(channel.tx_select)
    assert (code, text) == (406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
    code, text = refused(connection.channel().tx_commit)
    assert (code, text) == (406, "PRECONDITION_FAILED - channel is not transactional")

"""aio-pika: publishing, consuming, the RPC pattern, and its robust connection."""

import asyncio

import aio_pika
import pytest
from aio_pika.patterns import RPC


def url(broker, **options):
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"amqp://guest:guest@{broker.amqp}/?{query}"


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 40))


async def collect(queue, n):
    got = []
    async with queue.iterator(timeout=10) as messages:
        async for message in messages:
            async with message.process():
                got.append(message.body)
            if len(got) == n:
                return got


def test_confirmed_messages_are_consumed_in_order(broker, name):
    async def body():
        async with await aio_pika.connect(url(broker)) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=10)
            queue = await channel.declare_queue(name, durable=True)
            for i in range(200):
                message = aio_pika.Message(b"%d" % i, delivery_mode=2, headers={"n": i})
                await channel.default_exchange.publish(message, name)
            assert await collect(queue, 200) == [b"%d" % i for i in range(200)]
            await queue.delete()

    run(body())


def test_topics_and_headers(broker, name):
    async def body():
        async with await aio_pika.connect(url(broker)) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(name, "topic", auto_delete=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "a.#")
            for key in ["a.b", "b.a", "a"]:
                await exchange.publish(aio_pika.Message(key.encode()), key)
            assert await collect(queue, 2) == [b"a.b", b"a"]

    run(body())


def test_errors_and_returns(broker, name):
    async def body():
        async with await aio_pika.connect(url(broker)) as connection:
            channel = await connection.channel()
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await channel.declare_queue(name, passive=True)
            channel = await connection.channel(on_return_raises=True)
            with pytest.raises(aio_pika.exceptions.PublishError):
                await channel.default_exchange.publish(aio_pika.Message(b"x"), name)

    run(body())


def test_transactions(broker, name):
    async def body():
        async with await aio_pika.connect(url(broker)) as connection:
            channel = await connection.channel(publisher_confirms=False)
            queue = await channel.declare_queue(name, durable=True)
            async with channel.transaction():
                await channel.default_exchange.publish(aio_pika.Message(b"1"), name)
            with pytest.raises(ZeroDivisionError):
                async with channel.transaction():
                    await channel.default_exchange.publish(aio_pika.Message(b"2"), name)
                    raise ZeroDivisionError
            await channel.close()
            channel = await connection.channel()
            queue = await channel.get_queue(name)
            assert await collect(queue, 1) == [b"1"]
            assert await queue.get(fail=False) is None
            await queue.delete()

    run(body())


def test_remote_procedure_calls(broker, name):
    async def body():
        async with await aio_pika.connect_robust(url(broker)) as connection:
            rpc = await RPC.create(await connection.channel())

            async def double(*, x):
                return 2 * x

            await rpc.register(name, double, auto_delete=True)
            calls = [rpc.call(name, kwargs={"x": i}) for i in range(20)]
            assert await asyncio.gather(*calls) == [2 * i for i in range(20)]

    run(body())


def test_a_robust_connection_comes_back(own_broker, name):
    async def body():
        connection = await aio_pika.connect_robust(url(own_broker, reconnect_interval=0.2))
        channel = await connection.channel()
        queue = await channel.declare_queue(name, durable=True)
        got = asyncio.Queue()

        async def on_message(message):
            async with message.process():
                await got.put(message.body)

        await queue.consume(on_message)
        message = aio_pika.Message(b"before", delivery_mode=2)
        await channel.default_exchange.publish(message, name)
        assert await asyncio.wait_for(got.get(), 60) == b"before"
        own_broker.kill()
        own_broker.start()
        await asyncio.sleep(1)
        async with await aio_pika.connect(url(own_broker)) as other:
            exchange = (await other.channel()).default_exchange
            await exchange.publish(aio_pika.Message(b"after", delivery_mode=2), name)
        while await asyncio.wait_for(got.get(), 60) != b"after":
            pass
        await connection.close()

    run(body())

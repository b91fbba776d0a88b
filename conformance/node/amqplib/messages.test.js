'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const {
  body, channel, confirmChannel, connect, consumer, declare, drain, get, numbers, ready, refused,
  send, shared, test, until,
} = require('./support')

shared()

test('properties and headers come back as they were sent', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  const headers = {
    yes: true, small: 7, large: 5_000_000_000, negative: -70_000, fraction: 1.5, text: 'käse',
    bytes: Buffer.from([0, 255]), nothing: null, list: [1, 'two', { three: 3 }],
    table: { inner: { deep: 'x' } }, float: { '!': 'float', value: 0.5 },
    at: { '!': 'timestamp', value: 1_700_000_000 },
    decimal: { '!': 'decimal', value: { places: 2, digits: 12345 } },
  }
  const sent = {
    contentType: 'text/plain', contentEncoding: 'utf-8', headers, deliveryMode: 2, priority: 3,
    correlationId: 'correlation', replyTo: 'reply', expiration: '60000', messageId: 'message',
    timestamp: 1_700_000_000, type: 'type', userId: 'guest', appId: 'app',
  }
  ch.sendToQueue(queue, Buffer.from('body'), sent)
  const got = await get(ch, queue, true)
  const { clusterId, ...properties } = got.properties
  assert.deepEqual({ ...properties, headers: undefined }, { ...sent, headers: undefined })
  assert.deepEqual({ ...got.properties.headers }, { ...headers, float: 0.5 })
  assert.equal(body(got), 'body')
})

test('bodies of every size', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  for (const size of [0, 1, 131_063, 131_064, 131_065, 5_000_000]) {
    const content = Buffer.alloc(size, 'tramline')
    ch.sendToQueue(queue, content)
    assert.ok((await get(ch, queue, true)).content.equals(content), `${size} bytes`)
  }
})

test('a thousand publishes are confirmed, each by its own callback', async () => {
  const ch = await confirmChannel()
  const queue = await declare(ch)
  const order = []
  for (let n = 0; n < 1000; n++) {
    ch.sendToQueue(queue, Buffer.from(String(n)), { persistent: true }, error => order.push([n, error]))
  }
  await ch.waitForConfirms()
  assert.deepEqual(order, Array.from({ length: 1000 }, (_, n) => [n, null]))
  assert.deepEqual(await drain(ch, queue), numbers(0, 1000))
})

test('deliveries come in order and are acknowledged', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  const reader = await consumer(ch, queue)
  send(ch, queue, ...numbers(0, 300))
  const messages = await reader.read(300)
  assert.deepEqual(messages.map(body), numbers(0, 300))
  ch.ack(messages[99], true)
  for (const message of messages.slice(100, 200)) ch.ack(message)
  ch.ackAll()
  await ch.close()
  assert.deepEqual(await drain(await channel(), queue), [])
})

test('what is out returns in order when its channel closes', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  send(ch, queue, 'a', 'b', 'c')
  await (await consumer(ch, queue)).read(3)
  await ch.close()
  const again = await (await consumer(await channel(), queue)).read(3)
  assert.deepEqual(again.map(m => [body(m), m.fields.redelivered]), [['a', true], ['b', true], ['c', true]])
})

test('nack and reject, with and without requeue', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  send(ch, queue, 'a', 'b', 'c', 'd')
  const [a, b, , d] = [await get(ch, queue), await get(ch, queue), await get(ch, queue), await get(ch, queue)]
  ch.reject(a, true)
  ch.reject(b, false)
  ch.nack(d, true, true)
  assert.deepEqual(await drain(ch, queue), ['a', 'c', 'd'])
  send(ch, queue, 'e', 'f')
  await get(ch, queue)
  await get(ch, queue)
  ch.nackAll(false)
  assert.equal(await ready(ch, queue), 0)
})

test('recover', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  send(ch, queue, 'a')
  const reader = await consumer(ch, queue)
  await reader.read(1)
  await ch.recover()
  assert.equal((await reader.read(1))[0].fields.redelivered, true)
})

for (const global of [false, true]) {
  test(`prefetch of a ${global ? 'channel' : 'consumer'}`, async () => {
    const ch = await channel()
    const queue = await declare(ch)
    send(ch, queue, ...numbers(0, 10))
    await ch.prefetch(2, global)
    const [one, two] = [await consumer(ch, queue), await consumer(ch, queue)]
    const both = () => [...one.messages, ...two.messages]
    const most = global ? 2 : 4
    await until(() => both().length === most)
    await new Promise(resolve => setTimeout(resolve, 200))
    assert.equal(both().length, most)
    ch.ack(both()[0])
    await until(() => both().length === most + 1)
  })
}

test('cancel, from either side', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  const reader = await consumer(ch, queue, { consumerTag: 'mine' })
  assert.deepEqual(await ch.cancel('mine'), { consumerTag: 'mine' })
  send(ch, queue, 'a')
  await reader.readNothing()
  assert.equal(await ready(ch, queue), 1)
  const other = await consumer(ch, queue)
  await other.read(1)
  await (await channel()).deleteQueue(queue)
  assert.deepEqual(await other.read(1), [null])
})

test('an exclusive consumer is alone', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  const reader = await consumer(ch, queue, { exclusive: true })
  await refused(403, async () => (await channel()).consume(queue, () => {}))
  await ch.cancel(reader.consumerTag)
  await consumer(ch, queue)
  await refused(403, async () => (await channel()).consume(queue, () => {}, { exclusive: true }))
})

test('a single active consumer hands over', async () => {
  const ch = await channel()
  const queue = await declare(ch, { 'x-single-active-consumer': true })
  const [active, next] = [await consumer(ch, queue), await consumer(ch, queue)]
  send(ch, queue, 'a')
  ch.ack((await active.read(1))[0])
  await next.readNothing()
  await ch.cancel(active.consumerTag)
  send(ch, queue, 'b')
  assert.equal(body((await next.read(1))[0]), 'b')
})

test('a consumer of a higher priority comes first', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  await ch.prefetch(1)
  const [low, high] = [await consumer(ch, queue), await consumer(ch, queue, { priority: 5 })]
  send(ch, queue, 'a')
  await high.read(1)
  send(ch, queue, 'b')
  assert.equal(body((await low.read(1))[0]), 'b')
})

test('direct reply-to', async () => {
  const [client, server] = [await channel(), await channel()]
  const requests = await declare(server)
  await server.consume(requests, ({ content, properties }) => {
    const { replyTo, correlationId } = properties
    server.sendToQueue(replyTo, content, { correlationId })
  }, { noAck: true })
  const replyTo = 'amq.rabbitmq.reply-to'
  const replies = await consumer(client, replyTo, { noAck: true })
  for (const correlationId of numbers(0, 50)) {
    client.sendToQueue(requests, Buffer.from(correlationId), { replyTo, correlationId })
    const [reply] = await replies.read(1)
    assert.deepEqual([reply.properties.correlationId, body(reply)], [correlationId, correlationId])
  }
  await refused(406, async () => (await channel()).consume(replyTo, () => {}))
})

test('a blocked reader holds up nobody else', async () => {
  const silent = await connect()
  const [ch, other] = [await silent.createChannel(), await channel()]
  const queue = await declare(other)
  await ch.consume(queue, () => {}, { noAck: true })
  silent.connection.stream.pause()
  const content = Buffer.alloc(200_000)
  const reader = await consumer(other, queue, { noAck: true })
  for (let n = 0; n < 200; n++) other.sendToQueue(queue, content)
  await reader.read(50)
  silent.connection.stream.resume()
  await once(silent.connection.stream, 'data')
})

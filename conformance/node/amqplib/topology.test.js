'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const {
  body, channel, closedWith, confirmChannel, connect, declare, drain, exchange, get, name, refused,
  ready, send, shared, sleep, test, until,
} = require('./support')

shared()
const publish = (ch, from, key, text, options) => ch.publish(from, key, Buffer.from(text), options)

test('direct', async () => {
  const ch = await channel()
  const [from, queue] = [await exchange(ch, 'direct'), await declare(ch)]
  await ch.bindQueue(queue, from, 'a')
  await ch.bindQueue(queue, from, 'b')
  for (const key of ['a', 'b', 'c']) publish(ch, from, key, key)
  assert.deepEqual(await drain(ch, queue), ['a', 'b'])
  await ch.unbindQueue(queue, from, 'a')
  for (const key of ['a', 'b']) publish(ch, from, key, key)
  assert.deepEqual(await drain(ch, queue), ['b'])
})

test('fanout', async () => {
  const ch = await channel()
  const from = await exchange(ch, 'fanout')
  const queues = [await declare(ch), await declare(ch)]
  for (const queue of queues) await ch.bindQueue(queue, from, '')
  publish(ch, from, 'any', 'm')
  for (const queue of queues) assert.deepEqual(await drain(ch, queue), ['m'])
})

test('topic', async () => {
  const ch = await channel()
  const from = await exchange(ch, 'topic')
  const keys = ['a', 'a.b', 'a.b.c', 'b.a', '']
  for (const [pattern, expected] of [
    ['#', keys], ['a.*', ['a.b']], ['a.#', ['a', 'a.b', 'a.b.c']], ['#.c', ['a.b.c']],
  ]) {
    const queue = await declare(ch)
    await ch.bindQueue(queue, from, pattern)
    for (const key of keys) publish(ch, from, key, key)
    assert.deepEqual(await drain(ch, queue), expected, pattern)
    await ch.deleteQueue(queue)
  }
})

test('headers', async () => {
  const ch = await channel()
  const from = await exchange(ch, 'headers')
  const messages = [{ a: 1, b: 'x' }, { a: 1 }, { b: 'x', 'x-c': true }, {}]
  for (const [args, expected] of [
    [{ 'x-match': 'all', a: 1, b: 'x' }, ['0']],
    [{ 'x-match': 'any', a: 1, b: 'x' }, ['0', '1', '2']],
    [{ 'x-match': 'all-with-x', b: 'x', 'x-c': true }, ['2']],
    [{ 'x-match': 'any-with-x', 'x-c': true }, ['2']],
  ]) {
    const queue = await declare(ch)
    await ch.bindQueue(queue, from, '', args)
    messages.forEach((headers, n) => publish(ch, from, '', String(n), { headers }))
    assert.deepEqual(await drain(ch, queue), expected)
    await ch.unbindQueue(queue, from, '', args)
  }
})

test('exchange to exchange, and an alternate exchange', async () => {
  const ch = await channel()
  const [first, rest] = [await exchange(ch, 'topic'), await exchange(ch, 'fanout')]
  const second = await exchange(ch, 'direct', { alternateExchange: rest })
  const [queue, others] = [await declare(ch), await declare(ch)]
  await ch.bindExchange(second, first, 'x.#')
  await ch.bindQueue(queue, second, 'x.1')
  await ch.bindQueue(others, rest, '')
  for (const key of ['x.1', 'x.2', 'y']) publish(ch, first, key, key)
  assert.deepEqual(await drain(ch, queue), ['x.1'])
  assert.deepEqual(await drain(ch, others), ['x.2'])
  await ch.unbindExchange(second, first, 'x.#')
  publish(ch, first, 'x.1', 'not')
  assert.deepEqual(await drain(ch, queue), [])
})

test('exchanges: auto-delete, internal, deleted', async () => {
  const ch = await channel()
  const [gone, queue] = [await exchange(ch, 'fanout', { autoDelete: true }), await declare(ch)]
  await ch.bindQueue(queue, gone, '')
  await ch.unbindQueue(queue, gone, '')
  await refused(404, async () => (await channel()).checkExchange(gone))
  const internal = await exchange(ch, 'fanout', { internal: true })
  const other = await channel()
  assert.equal(await closedWith(other, () => publish(other, internal, '', 'm')), 403)
  const used = await exchange(ch, 'direct')
  await ch.bindQueue(queue, used, 'k')
  await refused(406, async () => (await channel()).deleteExchange(used, { ifUnused: true }))
  await ch.deleteExchange(used)
  await refused(404, async () => (await channel()).checkExchange(used))
})

test('CC and BCC', async () => {
  const ch = await channel()
  const queues = [await declare(ch), await declare(ch), await declare(ch)]
  ch.sendToQueue(queues[0], Buffer.from('m'), { CC: [queues[1]], BCC: [queues[2]] })
  for (const queue of queues) {
    const { headers } = (await get(ch, queue, true)).properties
    assert.deepEqual(headers, { CC: [queues[1]] })
  }
})

test('mandatory messages come back', async () => {
  const ch = await channel()
  const returned = once(ch, 'return')
  publish(ch, '', name(), 'lost', { mandatory: true, messageId: 'id' })
  const [message] = await returned
  assert.deepEqual([message.fields.replyCode, message.fields.replyText], [312, 'NO_ROUTE'])
  assert.deepEqual([body(message), message.properties.messageId], ['lost', 'id'])
})

test('queues: named by the broker, counted, purged, deleted', async () => {
  const ch = await channel()
  const { queue } = await ch.assertQueue('', { exclusive: true })
  assert.match(queue, /^amq\.gen-/)
  send(ch, queue, 'a', 'b', 'c')
  assert.equal(await ready(ch, queue), 3)
  assert.deepEqual(await ch.purgeQueue(queue), { messageCount: 3 })
  send(ch, queue, 'd')
  assert.deepEqual(await ch.deleteQueue(queue), { messageCount: 1 })
  assert.deepEqual(await ch.deleteQueue(queue), { messageCount: 0 })
})

test('queues: deleted only if unused or empty', async () => {
  const ch = await channel()
  const queue = await declare(ch)
  send(ch, queue, 'm')
  assert.equal(await ready(ch, queue), 1)
  await refused(406, async () => (await channel()).deleteQueue(queue, { ifEmpty: true }))
  await drain(ch, queue)
  const { consumerTag } = await ch.consume(queue, () => {})
  await refused(406, async () => (await channel()).deleteQueue(queue, { ifUnused: true }))
  await ch.cancel(consumerTag)
  await ch.deleteQueue(queue, { ifEmpty: true, ifUnused: true })
})

test('queues: exclusive to a connection, and gone with it', async () => {
  const connection = await connect()
  const queue = name()
  await (await connection.createChannel()).assertQueue(queue, { exclusive: true })
  await refused(405, async () => (await channel()).checkQueue(queue))
  await connection.close()
  await until(async () => (await channel()).checkQueue(queue).then(() => false, e => e.code === 404))
})

test('queues: auto-delete and x-expires', async () => {
  const ch = await channel()
  const auto = await declare(ch, undefined, { autoDelete: true })
  const { consumerTag } = await ch.consume(auto, () => {})
  await ch.cancel(consumerTag)
  const expiring = await declare(ch, undefined, { expires: 200 })
  await sleep(600)
  for (const queue of [auto, expiring]) {
    await until(async () => (await channel()).checkQueue(queue).then(() => sleep(500), () => true))
  }
})

test('priorities', async () => {
  const ch = await channel()
  const queue = await declare(ch, undefined, { maxPriority: 5 })
  for (const [text, priority] of [['low', 0], ['high', 5], ['mid', 3], ['above', 200]]) {
    ch.sendToQueue(queue, Buffer.from(text), { priority })
  }
  assert.deepEqual(await drain(ch, queue), ['high', 'above', 'mid', 'low'])
})

test('time to live', async () => {
  const ch = await channel()
  const [byQueue, byMessage] = [await declare(ch, undefined, { messageTtl: 50 }), await declare(ch)]
  send(ch, byQueue, 'm')
  ch.sendToQueue(byMessage, Buffer.from('short'), { expiration: 50 })
  send(ch, byMessage, 'long')
  await until(async () => (await ready(ch, byQueue)) === 0 && (await ready(ch, byMessage)) === 1)
  assert.deepEqual(await drain(ch, byMessage), ['long'])
})

test('bounds: drop the head, or refuse', async () => {
  const ch = await confirmChannel()
  const dropping = await declare(ch, undefined, { maxLength: 2 })
  send(ch, dropping, 'a', 'b', 'c')
  await ch.waitForConfirms()
  assert.deepEqual(await drain(ch, dropping), ['b', 'c'])
  const refusing = await declare(ch, undefined, { maxLength: 1, overflow: 'reject-publish' })
  const publishes = ['a', 'b'].map(text => new Promise(resolve => {
    ch.sendToQueue(refusing, Buffer.from(text), {}, error => resolve(error === null))
  }))
  assert.deepEqual(await Promise.all(publishes), [true, false])
})

test('dead letters', async () => {
  const ch = await channel()
  const [to, dead] = [await exchange(ch, 'fanout'), await declare(ch)]
  await ch.bindQueue(dead, to, '')
  const deadLetterExchange = to
  for (const [reason, options, die] of [
    ['rejected', {}, async queue => ch.reject(await get(ch, queue), false)],
    ['expired', { messageTtl: 1 }, async () => {}],
    ['maxlen', { maxLength: 1 }, async queue => send(ch, queue, 'other')],
  ]) {
    const queue = await declare(ch, undefined, { deadLetterExchange, ...options })
    send(ch, queue, 'm')
    await die(queue)
    const letter = await get(ch, dead, true)
    const { headers } = letter.properties
    const [death] = headers['x-death']
    assert.deepEqual([body(letter), letter.fields.exchange, letter.fields.routingKey], ['m', to, queue])
    assert.deepEqual(
      [death.reason, death.queue, death.count, death.exchange, death['routing-keys']],
      [reason, queue, 1, '', [queue]])
    assert.equal(headers['x-first-death-reason'], reason)
  }
})

test('a delivery limit, and another routing key for the dead letter', async () => {
  const ch = await channel()
  const dead = await declare(ch)
  const queue = await declare(ch, { 'x-queue-type': 'quorum', 'x-delivery-limit': 1 }, {
    deadLetterExchange: '', deadLetterRoutingKey: dead,
  })
  send(ch, queue, 'm')
  ch.nack(await get(ch, queue))
  const again = await get(ch, queue)
  assert.equal(again.properties.headers['x-delivery-count'], 1)
  ch.nack(again)
  const [death] = (await get(ch, dead, true)).properties.headers['x-death']
  assert.deepEqual([death.reason, death.queue], ['delivery_limit', queue])
})

for (const [what, code, call] of [
  ['an unknown queue', 404, ch => ch.checkQueue(name())],
  ['consuming from an unknown queue', 404, ch => ch.consume(name(), () => {})],
  ['getting from an unknown queue', 404, ch => ch.get(name())],
  ['purging an unknown queue', 404, ch => ch.purgeQueue(name())],
  ['an unknown exchange', 404, ch => ch.checkExchange(name())],
  ['binding an unknown queue', 404, ch => ch.bindQueue(name(), 'amq.direct', '')],
  ['binding to an unknown exchange', 404, async ch => ch.bindQueue(await declare(ch), name(), '')],
  ['binding to the default exchange', 403, async ch => ch.bindQueue(await declare(ch), '', 'k')],
  ['an unknown type of exchange', 406, ch => ch.assertExchange(name(), 'odd')],
  ['a reserved name of an exchange', 403, ch => ch.assertExchange('amq.mine', 'direct')],
  ['a reserved name of a queue', 403, ch => ch.assertQueue('amq.mine')],
  ['a wrong argument', 406, ch => declare(ch, { 'x-message-ttl': 'soon' })],
  ['a stream', 406, ch => declare(ch, { 'x-queue-type': 'stream' })],
  ['other arguments', 406, async ch => ch.assertQueue(await declare(ch), { maxLength: 1 })],
  ['another durability', 406, async ch => ch.assertQueue(await declare(ch), { durable: false })],
  ['the default exchange declared', 403, ch => ch.assertExchange('', 'direct')],
]) test(`refused with ${code}: ${what}`, () => refused(code, async () => call(await channel())))

for (const [what, code, call] of [
  ['an unknown exchange', 404, ch => publish(ch, name(), '', 'm')],
  ['a wrong expiration', 406, ch => publish(ch, '', 'x', 'm', { expiration: 'soon' })],
  ["another's user id", 406, ch => publish(ch, '', 'x', 'm', { userId: 'somebody' })],
]) test(`a publish closes its channel with ${code}: ${what}`, async () => {
  const ch = await channel()
  assert.equal(await closedWith(ch, () => call(ch)), code)
})

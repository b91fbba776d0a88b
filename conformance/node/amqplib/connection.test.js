'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const { Broker } = require('../broker')
const { amqp, channel, closedWith, connect, declare, get, shared, sleep, test, url } = require('./support')

const context = shared()

test('the broker tells what it can do', async () => {
  const { product, capabilities } = (await connect()).connection.serverProperties
  assert.equal(product, 'RabbitMQ')
  for (const name of [
    'publisher_confirms', 'exchange_exchange_bindings', 'basic.nack', 'consumer_cancel_notify',
    'connection.blocked', 'consumer_priorities', 'authentication_failure_close',
    'per_consumer_qos', 'direct_reply_to',
  ]) assert.equal(capabilities[name], true, name)
})

test('small frames and few channels are agreed on', async () => {
  const connection = await connect({ query: '?frameMax=4096&channelMax=2&heartbeat=1' })
  const ch = await connection.createChannel()
  const queue = await declare(ch)
  ch.sendToQueue(queue, Buffer.alloc(100_000, 7))
  assert.equal((await get(ch, queue, true)).content.length, 100_000)
  await connection.createChannel()
  await assert.rejects(() => connection.createChannel(), /No channels left/)
})

test('a wrong password is refused', async () => {
  await assert.rejects(() => amqp.connect(`amqp://guest:wrong@${context.broker.amqp}`), /403/)
})

test('AMQPLAIN', async () => {
  const credentials = amqp.credentials.amqplain('guest', 'guest')
  const connection = await amqp.connect(`amqp://${context.broker.amqp}`, { credentials })
  await connection.createChannel()
  await connection.close()
})

test('an unknown virtual host is refused', async () => {
  await assert.rejects(() => amqp.connect(`${url(context.broker)}/elsewhere`), /ConnectionClose/)
})

test('a secret is updated', async () => {
  const connection = await connect()
  await connection.updateSecret(Buffer.from('guest'), 'it was time')
  await connection.createChannel()
})

test('heartbeats keep an idle connection', async () => {
  const connection = await connect({ query: '?heartbeat=1' })
  await sleep(3500)
  await connection.createChannel()
})

test('channels close and open again', async () => {
  const connection = await connect()
  for (let n = 0; n < 50; n++) await (await connection.createChannel()).close()
})

test('a broker that stops says so', async () => {
  const broker = await Broker.start()
  const connection = await connect({ broker })
  const closed = once(connection, 'close')
  await broker.stop()
  assert.equal((await closed)[0].code, 320)
})

test('an error of a channel leaves its connection, one of the connection does not', async () => {
  const connection = await connect()
  const ch = await connection.createChannel()
  assert.equal(await closedWith(ch, () => ch.ack({ fields: { deliveryTag: 7 } })), 406)
  const other = await connection.createChannel()
  other.on('error', () => {})
  const queue = await declare(other)
  const twice = async () => {
    await other.consume(queue, () => {}, { consumerTag: 'tag' })
    await assert.rejects(() => other.consume(queue, () => {}, { consumerTag: 'tag' }))
  }
  assert.equal(await closedWith(connection, twice), 530)
  await channel()
})

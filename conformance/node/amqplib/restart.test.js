'use strict'
// Over a restart, clean or by kill -9, nothing confirmed is lost, what is durable is intact, and
// a client comes back.

const assert = require('node:assert/strict')
const { afterEach, beforeEach } = require('node:test')
const { Broker } = require('../broker')
const {
  amqp, body, channel, closeAll, confirmChannel, declare, drain, exchange, get, name, numbers,
  refused, send, test, until, url,
} = require('./support')

let broker
beforeEach(async () => {
  broker = await Broker.start()
})
afterEach(async () => {
  await closeAll()
  await broker.kill()
})

for (const how of ['stop', 'kill']) {
  const restart = async () => {
    await broker[how]()
    await broker.start()
  }

  test(`${how}: confirmed messages, queues, exchanges and bindings are there afterwards`, async () => {
    let ch = await confirmChannel({ broker })
    const [from, queue] = [await exchange(ch, 'topic'), await declare(ch)]
    await ch.bindQueue(queue, from, 'a.#')
    const { queue: transient } = await ch.assertQueue(name(), { durable: false })
    for (const text of numbers(0, 500)) ch.publish(from, 'a.b', Buffer.from(text), { persistent: true })
    await ch.waitForConfirms()
    const out = await get(ch, queue)
    await restart()
    ch = await confirmChannel({ broker })
    const again = await get(ch, queue)
    assert.equal(body(again), body(out))
    if (how === 'stop') assert.equal(again.fields.redelivered, true)
    assert.deepEqual(await drain(ch, queue), numbers(1, 500))
    ch.publish(from, 'a.c', Buffer.from('routed'))
    assert.equal(body(await get(ch, queue, true)), 'routed')
    await refused(404, async () => (await channel({ broker })).checkQueue(transient))
  })

  test(`${how}: a client with recovery goes on`, async () => {
    const received = []
    let queue
    const connection = await amqp.connect(url(broker), {
      recovery: {
        initialDelay: 50,
        maxDelay: 200,
        setup: async recovered => {
          const ch = await recovered.createChannel()
          queue ??= name()
          await ch.assertQueue(queue, { durable: true })
          await ch.consume(queue, message => {
            if (message === null) return
            received.push(body(message))
            ch.ack(message)
          })
        },
      },
    })
    connection.on('error', () => {})
    send(await channel({ broker }), queue, 'before')
    await until(() => received.includes('before'))
    await restart()
    send(await channel({ broker }), queue, 'after')
    await until(() => received.includes('after'))
    await connection.close()
  })
}

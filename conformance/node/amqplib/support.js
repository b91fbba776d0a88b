'use strict'
// What amqplib's tests share: a broker for a file's tests, connections that are closed after each
// test, and waiting.

const { after, afterEach, before } = require('node:test')
const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const amqp = require('amqplib')
const { Broker } = require('../broker')
const { numbers, sleep, test, until } = require('../timed')

const context = { connections: [] }

/** The broker of a file's tests. */
function shared() {
  before(async () => {
    context.broker = await Broker.start()
  })
  afterEach(async () => {
    await closeAll()
    assert.ok(context.broker.isRunning(), 'the broker died')
  })
  after(() => context.broker.kill())
  return context
}

async function closeAll() {
  await Promise.all(context.connections.splice(0).map(one => one.close().catch(() => {})))
}

const url = broker => `amqp://guest:guest@${broker.amqp}`

async function connect({ broker = context.broker, query = '' } = {}) {
  const connection = await amqp.connect(`${url(broker)}${query}`)
  // A closed connection tells it once more as an event.
  connection.on('error', () => {})
  context.connections.push(connection)
  return connection
}

/** A channel of a connection of its own. */
async function channel(options) {
  const created = await (await connect(options)).createChannel()
  created.on('error', () => {})
  return created
}

async function confirmChannel(options) {
  const created = await (await connect(options)).createConfirmChannel()
  created.on('error', () => {})
  return created
}

const name = () => `t-${randomBytes(6).toString('hex')}`

/** A durable queue with a name of its own. */
async function declare(ch, args, options = {}) {
  const { queue } = await ch.assertQueue(name(), { durable: true, arguments: args, ...options })
  return queue
}

async function exchange(ch, type, options) {
  return (await ch.assertExchange(name(), type, { durable: true, ...options })).exchange
}

function send(ch, queue, ...bodies) {
  for (const body of bodies) ch.sendToQueue(queue, Buffer.from(body), { persistent: true })
}

const get = (ch, queue, noAck = false) => until(() => ch.get(queue, { noAck }), `a message in ${queue}`)
const body = message => message.content.toString()
const ready = async (ch, queue) => (await ch.checkQueue(queue)).messageCount

/** The bodies of all ready messages. */
async function drain(ch, queue) {
  const bodies = []
  for (let got; (got = await ch.get(queue, { noAck: true })); ) bodies.push(body(got))
  return bodies
}

/** A consumer that collects. */
async function consumer(ch, queue, options) {
  const messages = []
  const { consumerTag } = await ch.consume(queue, message => messages.push(message), options)
  const read = async n => {
    await until(() => messages.length >= n, `${n} deliveries`)
    return messages.splice(0, n)
  }
  const readNothing = async () => {
    await sleep(200)
    assert.deepEqual(messages.map(message => message && body(message)), [])
  }
  return { consumerTag, messages, read, readNothing }
}

/** The code with which something is refused. */
async function refused(code, call) {
  await assert.rejects(call, error => {
    assert.equal(error.code, code, `${error}`)
    return true
  })
}

/** The code with which a channel or a connection is closed later. */
async function closedWith(emitter, call) {
  const closed = once(emitter, 'error')
  await call()
  return (await closed)[0].code
}

module.exports = {
  amqp, body, channel, closeAll, closedWith, confirmChannel, connect, consumer, declare, drain,
  exchange, get, name, numbers, ready, refused, send, shared, sleep, test, until, url,
}

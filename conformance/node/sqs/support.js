'use strict'
// What the tests of the AWS SDK share: a broker without the 60-second windows for a file's tests,
// queues that are deleted after each test, and waiting.

const { after, afterEach, before } = require('node:test')
const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { SQS, SQSServiceException } = require('@aws-sdk/client-sqs')
const { Broker } = require('../broker')
const { numbers, sleep, test, until } = require('../timed')

const SETTINGS = '[sqs]\ndeleted_window = "0s"\npurged_window = "0s"\n'
const context = { made: [] }

/** The broker of a file's tests, and a client of it. */
function shared() {
  before(async () => {
    context.broker = await Broker.start(SETTINGS)
    context.sqs = client(context.broker)
  })
  afterEach(async () => {
    assert.ok(context.broker.isRunning(), 'the broker died')
    const gone = context.made.splice(0).map(QueueUrl => context.sqs.deleteQueue({ QueueUrl }))
    await Promise.allSettled(gone)
  })
  after(async () => {
    context.sqs.destroy()
    await context.broker.kill()
  })
  return context
}

function client(broker, options = {}) {
  return new SQS({
    endpoint: `http://${broker.sqs}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'secret' },
    ...options,
  })
}

const name = () => `q-${randomBytes(6).toString('hex')}`

/** A queue of this test's own. */
async function declare(Attributes = {}, suffix = '', tags = undefined) {
  const { QueueUrl } = await context.sqs.createQueue({ QueueName: name() + suffix, Attributes, tags })
  context.made.push(QueueUrl)
  return QueueUrl
}

/** A FIFO queue whose repeats the bodies tell. */
const declareFifo = (Attributes = {}) =>
  declare({ FifoQueue: 'true', ContentBasedDeduplication: 'true', ...Attributes }, '.fifo')

async function attribute(QueueUrl, of) {
  const asked = await context.sqs.getQueueAttributes({ QueueUrl, AttributeNames: [of] })
  return asked.Attributes?.[of]
}

async function send(QueueUrl, ...bodies) {
  for (const MessageBody of bodies) await context.sqs.sendMessage({ QueueUrl, MessageBody })
}

/** One receive, which waits. */
async function receive(QueueUrl, options = {}) {
  const asked = { QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 5, ...options }
  return (await context.sqs.receiveMessage(asked)).Messages ?? []
}

/** Receives until there are `n` messages. */
async function receiveAll(QueueUrl, n, options = {}) {
  const messages = []
  await until(async () => {
    messages.push(...(await receive(QueueUrl, { WaitTimeSeconds: 1, ...options })))
    return messages.length >= n
  }, `${n} messages`)
  return messages
}

const bodies = messages => messages.map(message => message.Body)

/** Runs what is refused with an exception of this name. */
async function refused(name, call, status = 400) {
  await assert.rejects(call, error => {
    assert.ok(error instanceof SQSServiceException, `${error}`)
    assert.equal(error.name, name, `${error}`)
    assert.equal(error.$metadata.httpStatusCode, status)
    return true
  })
}

module.exports = {
  SETTINGS, attribute, bodies, client, declare, declareFifo, name, numbers, receive, receiveAll,
  refused, send, shared, sleep, test, until,
}

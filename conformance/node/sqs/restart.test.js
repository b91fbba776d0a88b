'use strict'
// Over a restart, clean or by kill -9, nothing acknowledged is lost, and the client comes back.

const assert = require('node:assert/strict')
const { afterEach, beforeEach } = require('node:test')
const { Broker } = require('../broker')
const { SETTINGS, client, name, numbers, test } = require('./support')

let broker
let sqs
beforeEach(async () => {
  broker = await Broker.start(SETTINGS)
  sqs = client(broker, { maxAttempts: 10 })
})
afterEach(async () => {
  sqs.destroy()
  await broker.kill()
})

const receive = async (QueueUrl, options) =>
  (await sqs.receiveMessage({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 5, ...options })).Messages ?? []

for (const how of ['stop', 'kill']) {
  const restart = async () => {
    await broker[how]()
    await broker.start()
  }

  test(`${how}: queues, messages, locks and deletes are as they were`, async () => {
    const Attributes = { VisibilityTimeout: '600' }
    const { QueueUrl } = await sqs.createQueue({ QueueName: name(), Attributes, tags: { a: 'b' } })
    for (const b of numbers(0, 3)) {
      const Entries = numbers(0, 10).map(Id => ({ Id, MessageBody: `${b}${Id}` }))
      await sqs.sendMessageBatch({ QueueUrl, Entries })
    }
    const locked = await receive(QueueUrl)
    const deleted = locked.splice(0, 3)
    for (const { ReceiptHandle } of deleted) await sqs.deleteMessage({ QueueUrl, ReceiptHandle })
    await restart()
    // A handle of before the restart still deletes.
    for (const { ReceiptHandle } of locked) await sqs.deleteMessage({ QueueUrl, ReceiptHandle })
    const { Attributes: now } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] })
    assert.equal(now.ApproximateNumberOfMessages, String(30 - locked.length - 3))
    assert.equal(now.ApproximateNumberOfMessagesNotVisible, '0')
    assert.equal(now.VisibilityTimeout, '600')
    assert.deepEqual((await sqs.listQueueTags({ QueueUrl })).Tags, { a: 'b' })
  })

  test(`${how}: a FIFO queue keeps its order and remembers repeats`, async () => {
    const Attributes = { FifoQueue: 'true', ContentBasedDeduplication: 'true' }
    const { QueueUrl } = await sqs.createQueue({ QueueName: `${name()}.fifo`, Attributes })
    const send = MessageBody => sqs.sendMessage({ QueueUrl, MessageBody, MessageGroupId: 'g' })
    for (const body of numbers(0, 8)) await send(body)
    await restart()
    for (const body of numbers(0, 10)) await send(body)
    const got = []
    while (got.length < 10) {
      for (const { Body, ReceiptHandle } of await receive(QueueUrl)) {
        got.push(Body)
        await sqs.deleteMessage({ QueueUrl, ReceiptHandle })
      }
    }
    assert.deepEqual(got, numbers(0, 10))
  })
}

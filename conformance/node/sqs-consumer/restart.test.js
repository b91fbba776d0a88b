'use strict'
// A consumer goes on after a restart of the broker, clean or by kill -9; nothing is lost.

const assert = require('node:assert/strict')
const { Consumer } = require('sqs-consumer')
const { Broker } = require('../broker')
const { SETTINGS, client, name, numbers, test, until } = require('../sqs/support')

for (const how of ['stop', 'kill']) {
  test(`${how}: a consumer goes on`, async () => {
    const broker = await Broker.start(SETTINGS)
    const sqs = client(broker, { maxAttempts: 10 })
    const { QueueUrl } = await sqs.createQueue({ QueueName: name() })
    const handled = new Set()
    const consumer = Consumer.create({
      queueUrl: QueueUrl, sqs, batchSize: 10, waitTimeSeconds: 2, visibilityTimeout: 3,
      authenticationErrorTimeout: 100, pollingWaitTimeMs: 50,
      handleMessage: async message => { handled.add(message.Body); return message },
    })
    consumer.on('error', () => {}) // It meets the restart.
    consumer.start()
    const send = async (from, to) => {
      for (const MessageBody of numbers(from, to)) await sqs.sendMessage({ QueueUrl, MessageBody })
    }
    await send(0, 20)
    await until(() => handled.size > 0, 'a first message')
    await broker[how]()
    await broker.start()
    await send(20, 40)
    await until(() => handled.size === 40, 'all messages')
    assert.deepEqual([...handled].sort((a, b) => a - b), numbers(0, 40))
    consumer.stop({ abort: true })
    sqs.destroy()
    await broker.kill()
  })
}

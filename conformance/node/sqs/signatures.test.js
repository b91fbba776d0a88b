'use strict'
// What the SDK signs is verified where there are keys.

const assert = require('node:assert/strict')
const { Broker } = require('../broker')
const { SETTINGS, client, name, test } = require('./support')

test('signed requests pass, those of unknown keys and wrong secrets are refused', async () => {
  const broker = await Broker.start(`${SETTINGS}\n[sqs.keys]\nAKIDEXAMPLE = "right/secret+"\n`)
  const as = (accessKeyId, secretAccessKey) => client(broker, {
    maxAttempts: 1, credentials: { accessKeyId, secretAccessKey },
  })
  const good = as('AKIDEXAMPLE', 'right/secret+')
  const { QueueUrl } = await good.createQueue({ QueueName: name(), tags: { 'a b': 'ä/?' } })
  await good.sendMessage({ QueueUrl, MessageBody: 'käse' })
  const { Messages } = await good.receiveMessage({ QueueUrl, WaitTimeSeconds: 5 })
  assert.equal(Messages[0].Body, 'käse')
  for (const wrong of [as('AKIDEXAMPLE', 'wrong'), as('AKIDOTHER', 'right/secret+')]) {
    await assert.rejects(wrong.listQueues(), error => error.$metadata.httpStatusCode === 403)
    wrong.destroy()
  }
  good.destroy()
  await broker.kill()
})

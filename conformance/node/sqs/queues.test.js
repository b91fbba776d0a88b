'use strict'
const assert = require('node:assert/strict')
const { paginateListQueues, QueueDoesNotExist, QueueNameExists } = require('@aws-sdk/client-sqs')
const { attribute, client, declare, declareFifo, name, refused, shared, test } = require('./support')

const context = shared()

test('a queue is made, found, listed and deleted', async () => {
  const { sqs, broker } = context
  const QueueName = name()
  const { QueueUrl } = await sqs.createQueue({ QueueName })
  assert.equal(QueueUrl, `http://${broker.sqs}/000000000000/${QueueName}`)
  assert.equal((await sqs.getQueueUrl({ QueueName })).QueueUrl, QueueUrl)
  const asked = { QueueNamePrefix: QueueName }
  assert.deepEqual((await sqs.listQueues(asked)).QueueUrls, [QueueUrl])
  await sqs.deleteQueue({ QueueUrl })
  assert.equal((await sqs.listQueues(asked)).QueueUrls, undefined)
  await assert.rejects(sqs.getQueueUrl({ QueueName }), QueueDoesNotExist)
})

test('the same queue again is that queue, and another is refused', async () => {
  const { sqs } = context
  const QueueName = name()
  const Attributes = { DelaySeconds: '1' }
  const { QueueUrl } = await sqs.createQueue({ QueueName, Attributes })
  assert.equal((await sqs.createQueue({ QueueName, Attributes })).QueueUrl, QueueUrl)
  const other = sqs.createQueue({ QueueName, Attributes: { DelaySeconds: '2' } })
  await assert.rejects(other, QueueNameExists)
  await sqs.deleteQueue({ QueueUrl })
})

test('wrong names are refused', async () => {
  for (const QueueName of ['a b', 'a.b', 'x'.repeat(81), 'q.fifo']) {
    await refused('InvalidParameterValue', context.sqs.createQueue({ QueueName }))
  }
})

test('queues are listed in pages', async () => {
  const { sqs } = context
  const prefix = name()
  const made = []
  for (let n = 0; n < 5; n++) made.push((await sqs.createQueue({ QueueName: `${prefix}-${n}` })).QueueUrl)
  const listed = []
  const pages = paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: prefix })
  for await (const page of pages) {
    assert.ok(page.QueueUrls.length <= 2)
    listed.push(...page.QueueUrls)
  }
  assert.deepEqual(listed, made)
  for (const QueueUrl of made) await sqs.deleteQueue({ QueueUrl })
})

test('every attribute that can be set is set and told', async () => {
  const QueueUrl = await declareFifo()
  const Attributes = {
    DelaySeconds: '7', MaximumMessageSize: '2048', MessageRetentionPeriod: '60',
    ReceiveMessageWaitTimeSeconds: '3', VisibilityTimeout: '40', ContentBasedDeduplication: 'false',
    DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId',
    KmsMasterKeyId: 'alias/mine', KmsDataKeyReusePeriodSeconds: '60',
    Policy: '{"Version":"2012-10-17","Statement":[]}',
    RedriveAllowPolicy: '{"redrivePermission":"denyAll"}',
  }
  await context.sqs.setQueueAttributes({ QueueUrl, Attributes })
  const asked = await context.sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] })
  for (const [key, value] of Object.entries(Attributes)) assert.equal(asked.Attributes[key], value, key)
  assert.equal(asked.Attributes.FifoQueue, 'true')
  assert.match(asked.Attributes.QueueArn, /^arn:aws:sqs:us-east-1:000000000000:q-.*\.fifo$/)
})

test('attributes out of their range, read-only and unknown ones are refused', async () => {
  const QueueUrl = await declare()
  const set = Attributes => context.sqs.setQueueAttributes({ QueueUrl, Attributes })
  await refused('InvalidAttributeValue', set({ DelaySeconds: '901' }))
  await refused('InvalidAttributeValue', set({ VisibilityTimeout: 'soon' }))
  await refused('InvalidAttributeName', set({ QueueArn: 'x' }))
  await refused('InvalidAttributeName', set({ NoSuchThing: 'x' }))
  assert.equal(await attribute(QueueUrl, 'DelaySeconds'), '0')
})

test('tags', async () => {
  const { sqs } = context
  const QueueUrl = await declare({}, '', { team: 'a', cost: '1 €' })
  await sqs.tagQueue({ QueueUrl, Tags: { team: 'b', more: '' } })
  assert.deepEqual((await sqs.listQueueTags({ QueueUrl })).Tags, { team: 'b', more: '', cost: '1 €' })
  await sqs.untagQueue({ QueueUrl, TagKeys: ['cost', 'more'] })
  assert.deepEqual((await sqs.listQueueTags({ QueueUrl })).Tags, { team: 'b' })
})

test('permissions', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const add = { QueueUrl, Label: 'one', AWSAccountIds: ['111122223333'], Actions: ['SendMessage'] }
  await sqs.addPermission(add)
  const [statement] = JSON.parse(await attribute(QueueUrl, 'Policy')).Statement
  assert.equal(statement.Sid, 'one')
  await refused('InvalidParameterValue', sqs.addPermission(add))
  await refused('OverLimit', sqs.addPermission({ ...add, Label: 'l', Actions: Array(8).fill('*') }), 403)
  await sqs.removePermission({ QueueUrl, Label: 'one' })
  assert.equal(await attribute(QueueUrl, 'Policy'), undefined)
})

test('an access key id of twelve digits is an account of its own', async () => {
  const credentials = { accessKeyId: '111122223333', secretAccessKey: 'secret' }
  const other = client(context.broker, { credentials })
  const QueueName = name()
  const { QueueUrl } = await other.createQueue({ QueueName })
  assert.ok(QueueUrl.endsWith(`/111122223333/${QueueName}`))
  await assert.rejects(context.sqs.getQueueUrl({ QueueName }), QueueDoesNotExist)
  const found = context.sqs.getQueueUrl({ QueueName, QueueOwnerAWSAccountId: '111122223333' })
  assert.equal((await found).QueueUrl, QueueUrl)
  await other.deleteQueue({ QueueUrl })
  other.destroy()
})

test('a queue that is not there is an exception of its own in every action', async () => {
  const { sqs } = context
  const QueueUrl = `http://${context.broker.sqs}/000000000000/${name()}`
  const calls = [
    sqs.sendMessage({ QueueUrl, MessageBody: 'x' }), sqs.receiveMessage({ QueueUrl }),
    sqs.deleteMessage({ QueueUrl, ReceiptHandle: 'x' }), sqs.purgeQueue({ QueueUrl }),
    sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] }), sqs.listQueueTags({ QueueUrl }),
    sqs.deleteQueue({ QueueUrl }), sqs.listDeadLetterSourceQueues({ QueueUrl }),
  ]
  const outcomes = await Promise.allSettled(calls)
  for (const { reason } of outcomes) {
    assert.ok(reason instanceof QueueDoesNotExist, `${reason}`)
    assert.equal(reason.$metadata.httpStatusCode, 400)
    assert.equal(reason.message, 'The specified queue does not exist.')
  }
})

'use strict'
const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { bodies, declare, declareFifo, numbers, receive, refused, shared, test } = require('./support')

const context = shared()

const sendTo = (QueueUrl, MessageGroupId, MessageBody, options = {}) =>
  context.sqs.sendMessage({ QueueUrl, MessageGroupId, MessageBody, ...options })

async function done(QueueUrl, messages) {
  for (const { ReceiptHandle } of messages) await context.sqs.deleteMessage({ QueueUrl, ReceiptHandle })
}

test('groups keep their order, one by one and side by side', async () => {
  const QueueUrl = await declareFifo()
  for (const n of numbers(0, 15)) {
    for (const group of ['a', 'b']) await sendTo(QueueUrl, group, `${group}${n}`)
  }
  const got = { a: [], b: [] }
  while (got.a.length + got.b.length < 30) {
    const messages = await receive(QueueUrl, { MaxNumberOfMessages: 3 })
    for (const { Body } of messages) got[Body[0]].push(Body.slice(1))
    await done(QueueUrl, messages)
  }
  assert.deepEqual(got, { a: numbers(0, 15), b: numbers(0, 15) })
})

test('a group waits while one of it is in flight, and a message that comes back comes first', async () => {
  const QueueUrl = await declareFifo()
  for (const body of ['1', '2']) await sendTo(QueueUrl, 'a', body)
  const [first] = await receive(QueueUrl, { MaxNumberOfMessages: 1 })
  assert.deepEqual(await receive(QueueUrl, { WaitTimeSeconds: 0 }), [])
  await sendTo(QueueUrl, 'b', 'other')
  assert.deepEqual(bodies(await receive(QueueUrl)), ['other'])
  const { ReceiptHandle } = first
  await context.sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })
  assert.deepEqual(bodies(await receive(QueueUrl, { MaxNumberOfMessages: 1 })), ['1'])
})

test('repeats are accepted and not delivered, also after deletion', async () => {
  const QueueUrl = await declareFifo()
  const once = { MessageDeduplicationId: randomUUID() }
  const sent = await sendTo(QueueUrl, 'a', 'x', once)
  const again = await sendTo(QueueUrl, 'a', 'y', once)
  assert.equal(again.MessageId, sent.MessageId)
  assert.equal(again.SequenceNumber, sent.SequenceNumber)
  const messages = await receive(QueueUrl)
  assert.deepEqual(bodies(messages), ['x'])
  await done(QueueUrl, messages)
  await sendTo(QueueUrl, 'a', 'z', once)
  await sendTo(QueueUrl, 'a', 'x')
  assert.deepEqual(bodies(await receive(QueueUrl)), ['x'])
})

test('sequence numbers grow, and system attributes tell group and repeat', async () => {
  const QueueUrl = await declareFifo()
  const Entries = numbers(0, 5).map(Id => (
    { Id, MessageBody: Id, MessageGroupId: 'g', MessageDeduplicationId: `d${Id}` }))
  const { Successful } = await context.sqs.sendMessageBatch({ QueueUrl, Entries })
  const sequence = Successful.map(one => BigInt(one.SequenceNumber))
  assert.deepEqual(sequence, [...sequence].sort((a, b) => (a < b ? -1 : 1)))
  assert.equal(new Set(sequence).size, 5)
  const messages = await receive(QueueUrl, { MessageSystemAttributeNames: ['All'] })
  for (const [n, { Attributes }] of messages.entries()) {
    assert.equal(Attributes.MessageGroupId, 'g')
    assert.equal(Attributes.MessageDeduplicationId, `d${n}`)
    assert.equal(Attributes.SequenceNumber, Successful[n].SequenceNumber)
  }
})

test('a receive is tried again with the id of its attempt', async () => {
  const QueueUrl = await declareFifo()
  await sendTo(QueueUrl, 'a', 'x')
  const ReceiveRequestAttemptId = randomUUID()
  const first = await receive(QueueUrl, { ReceiveRequestAttemptId })
  const again = await receive(QueueUrl, { ReceiveRequestAttemptId })
  assert.deepEqual(again.map(one => one.ReceiptHandle), first.map(one => one.ReceiptHandle))
  await done(QueueUrl, first)
  assert.deepEqual(await receive(QueueUrl, { WaitTimeSeconds: 0, ReceiveRequestAttemptId }), [])
})

test('what FIFO queues ask for and refuse', async () => {
  const QueueUrl = await declareFifo({ ContentBasedDeduplication: 'false' })
  const { sqs } = context
  await refused('MissingParameter', sqs.sendMessage({ QueueUrl, MessageBody: 'x' }))
  await refused('InvalidParameterValue', sendTo(QueueUrl, 'g', 'x'))
  const once = { MessageDeduplicationId: 'd' }
  await refused('InvalidParameterValue', sendTo(QueueUrl, 'g', 'x', { ...once, DelaySeconds: 1 }))
  await refused('InvalidParameterValue', sendTo(QueueUrl, 'x'.repeat(129), 'x', once))
  const plain = await declare()
  await refused('InvalidParameterValue', sendTo(plain, undefined, 'x', once))
})

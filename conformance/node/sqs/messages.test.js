'use strict'
const assert = require('node:assert/strict')
const { BatchEntryIdsNotDistinct, EmptyBatchRequest, MessageNotInflight, ReceiptHandleIsInvalid } =
  require('@aws-sdk/client-sqs')
const { attribute, bodies, declare, numbers, receive, receiveAll, refused, send, shared, test, until } =
  require('./support')

const context = shared()

test('a message comes back as it was sent, with what is known of it', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const MessageAttributes = {
    text: { DataType: 'String', StringValue: 'käse' },
    number: { DataType: 'Number.int', StringValue: '-5' },
    bytes: { DataType: 'Binary', BinaryValue: new Uint8Array([0, 255, 1]) },
  }
  const trace = 'Root=1-5759e988-bd862e3fe1be46a994272793'
  const sent = await sqs.sendMessage({
    QueueUrl, MessageBody: '<käse>\r\n\t"&', MessageAttributes,
    MessageSystemAttributes: { AWSTraceHeader: { DataType: 'String', StringValue: trace } },
  })
  const [message] = await receive(QueueUrl, {
    MessageAttributeNames: ['All'], MessageSystemAttributeNames: ['All'],
  })
  assert.equal(message.Body, '<käse>\r\n\t"&')
  assert.equal(message.MessageId, sent.MessageId)
  assert.equal(message.MD5OfMessageAttributes, sent.MD5OfMessageAttributes)
  const told = Object.entries(message.MessageAttributes).map(([key, value]) => [key, {
    ...value, ...(value.BinaryValue && { BinaryValue: new Uint8Array(value.BinaryValue) }),
  }])
  assert.deepEqual(Object.fromEntries(told), MessageAttributes)
  assert.equal(message.Attributes.ApproximateReceiveCount, '1')
  assert.equal(message.Attributes.AWSTraceHeader, trace)
  assert.ok(Math.abs(Number(message.Attributes.SentTimestamp) - Date.now()) < 600_000)
  await sqs.deleteMessage({ QueueUrl, ReceiptHandle: message.ReceiptHandle })
  assert.deepEqual(await receive(QueueUrl, { WaitTimeSeconds: 0 }), [])
})

test('attributes are asked for by name and prefix', async () => {
  const QueueUrl = await declare()
  const text = StringValue => ({ DataType: 'String', StringValue })
  const MessageAttributes = { 'a.one': text('1'), 'a.two': text('2'), b: text('3') }
  for (const [names, wanted] of [
    [['a.*'], ['a.one', 'a.two']], [['b'], ['b']], [['.*'], ['a.one', 'a.two', 'b']], [[], []],
  ]) {
    await context.sqs.sendMessage({ QueueUrl, MessageBody: 'x', MessageAttributes })
    const [message] = await receive(QueueUrl, { MessageAttributeNames: names })
    assert.deepEqual(Object.keys(message.MessageAttributes ?? {}).sort(), wanted)
    await context.sqs.deleteMessage({ QueueUrl, ReceiptHandle: message.ReceiptHandle })
  }
})

test('a waiting receive is answered when a message comes', async () => {
  const QueueUrl = await declare()
  const started = Date.now()
  const waiting = receive(QueueUrl, { WaitTimeSeconds: 20 })
  await send(QueueUrl, 'late')
  assert.deepEqual(bodies(await waiting), ['late'])
  assert.ok(Date.now() - started < 19_000)
})

test('an empty receive waits for as long as it says', async () => {
  const QueueUrl = await declare({ ReceiveMessageWaitTimeSeconds: '1' })
  const started = Date.now()
  assert.deepEqual(await receive(QueueUrl, { WaitTimeSeconds: undefined }), [])
  assert.ok(Date.now() - started >= 950)
})

test('many wait and each gets one', async () => {
  const QueueUrl = await declare()
  const waiting = numbers(0, 20).map(() =>
    receive(QueueUrl, { WaitTimeSeconds: 20, MaxNumberOfMessages: 1 }))
  await send(QueueUrl, ...numbers(0, 20))
  const got = (await Promise.all(waiting)).flatMap(bodies)
  assert.deepEqual(got.sort((a, b) => a - b), numbers(0, 20))
})

test('a delayed message comes later', async () => {
  const QueueUrl = await declare()
  const started = Date.now()
  await context.sqs.sendMessage({ QueueUrl, MessageBody: 'x', DelaySeconds: 2 })
  await receiveAll(QueueUrl, 1)
  assert.ok(Date.now() - started >= 1950)
  await context.sqs.sendMessage({ QueueUrl, MessageBody: 'y', DelaySeconds: 900 })
  assert.equal(await attribute(QueueUrl, 'ApproximateNumberOfMessagesDelayed'), '1')
})

test('visibility ends, is changed, and ends at once', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  await send(QueueUrl, 'x')
  const [first] = await receive(QueueUrl, { VisibilityTimeout: 1 })
  const [second] = await receiveAll(QueueUrl, 1, { MessageSystemAttributeNames: ['All'] })
  assert.equal(second.Attributes.ApproximateReceiveCount, '2')
  assert.notEqual(second.ReceiptHandle, first.ReceiptHandle)
  const { ReceiptHandle } = second
  await sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })
  const [third] = await receive(QueueUrl)
  assert.equal(third.Body, 'x')
  await sqs.deleteMessage({ QueueUrl, ReceiptHandle: third.ReceiptHandle })
  const gone = { QueueUrl, ReceiptHandle: third.ReceiptHandle, VisibilityTimeout: 1 }
  await assert.rejects(sqs.changeMessageVisibility(gone), error =>
    error instanceof MessageNotInflight || error.name === 'InvalidParameterValue')
})

test('handles that never were are refused', async () => {
  const QueueUrl = await declare()
  const gone = context.sqs.deleteMessage({ QueueUrl, ReceiptHandle: 'nonsense' })
  await assert.rejects(gone, ReceiptHandleIsInvalid)
})

test('batches of sends, changes and deletes', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const Entries = numbers(0, 10).map(Id => ({ Id, MessageBody: `body ${Id}` }))
  const sent = await sqs.sendMessageBatch({ QueueUrl, Entries })
  assert.deepEqual(sent.Successful.map(one => one.Id), numbers(0, 10))
  assert.deepEqual(sent.Failed ?? [], [])
  const messages = await receiveAll(QueueUrl, 10)
  const handles = messages.map(({ ReceiptHandle }, n) => ({ Id: `m${n}`, ReceiptHandle }))
  const shown = await sqs.changeMessageVisibilityBatch({
    QueueUrl, Entries: handles.map(one => ({ ...one, VisibilityTimeout: 0 })),
  })
  assert.equal(shown.Successful.length, 10)
  const again = await receiveAll(QueueUrl, 10)
  const deleted = await sqs.deleteMessageBatch({
    QueueUrl, Entries: again.map(({ ReceiptHandle }, n) => ({ Id: `d${n}`, ReceiptHandle })),
  })
  assert.equal(deleted.Successful.length, 10)
  assert.equal(await attribute(QueueUrl, 'ApproximateNumberOfMessagesNotVisible'), '0')
})

test('some of a batch fail, the others are done', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const sent = await sqs.sendMessageBatch({
    QueueUrl,
    Entries: [
      { Id: 'good', MessageBody: 'x' }, { Id: 'late', MessageBody: 'x', DelaySeconds: 901 },
      { Id: 'letters', MessageBody: 'a\u0001' },
    ],
  })
  assert.deepEqual(sent.Successful.map(one => one.Id), ['good'])
  assert.deepEqual(sent.Failed.map(one => [one.Id, one.SenderFault]), [['late', true], ['letters', true]])
  assert.equal(sent.Failed[1].Code, 'InvalidMessageContents')
  const [{ ReceiptHandle }] = await receive(QueueUrl)
  const deleted = await sqs.deleteMessageBatch({
    QueueUrl, Entries: [{ Id: 'a', ReceiptHandle }, { Id: 'b', ReceiptHandle: 'nonsense' }],
  })
  assert.deepEqual(deleted.Successful, [{ Id: 'a' }])
  assert.deepEqual(deleted.Failed.map(one => [one.Id, one.Code]), [['b', 'ReceiptHandleIsInvalid']])
  const changed = await sqs.changeMessageVisibilityBatch({
    QueueUrl, Entries: [{ Id: 'c', ReceiptHandle: 'nonsense', VisibilityTimeout: 1 }],
  })
  assert.deepEqual(changed.Failed.map(one => one.Id), ['c'])
})

test('wrong batches are refused whole', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const batch = Entries => sqs.sendMessageBatch({ QueueUrl, Entries })
  await assert.rejects(batch([]), EmptyBatchRequest)
  const twice = [{ Id: 'a', MessageBody: 'x' }, { Id: 'a', MessageBody: 'y' }]
  await assert.rejects(batch(twice), BatchEntryIdsNotDistinct)
  await refused('TooManyEntriesInBatchRequest', batch(numbers(0, 11).map(Id => ({ Id, MessageBody: 'x' }))))
  await refused('InvalidBatchEntryId', batch([{ Id: 'a b', MessageBody: 'x' }]))
  const large = 'x'.repeat(600_000)
  await refused('BatchRequestTooLong', batch(numbers(0, 2).map(Id => ({ Id, MessageBody: large }))))
  assert.equal(await attribute(QueueUrl, 'ApproximateNumberOfMessages'), '0')
})

test('a message of a mebibyte, and one byte more', async () => {
  const { sqs } = context
  const QueueUrl = await declare()
  const MessageBody = 'x'.repeat(1_048_576)
  await sqs.sendMessage({ QueueUrl, MessageBody })
  const [message] = await receive(QueueUrl)
  assert.equal(message.Body, MessageBody)
  await refused('InvalidParameterValue', sqs.sendMessage({ QueueUrl, MessageBody: `${MessageBody}x` }))
})

test('purge', async () => {
  const QueueUrl = await declare()
  await send(QueueUrl, ...numbers(0, 5))
  await receive(QueueUrl, { MaxNumberOfMessages: 2 })
  await context.sqs.purgeQueue({ QueueUrl })
  for (const of of ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible']) {
    await until(async () => (await attribute(QueueUrl, of)) === '0', of)
  }
})

test('a thousand messages through many clients at once, each once', async () => {
  const { sqs } = context
  const QueueUrl = await declare({ VisibilityTimeout: '600' })
  const batches = Array.from({ length: 100 }, (_, b) => numbers(b * 10, b * 10 + 10))
  await Promise.all(batches.map(batch =>
    sqs.sendMessageBatch({ QueueUrl, Entries: batch.map(Id => ({ Id, MessageBody: Id })) })))
  const got = []
  await Promise.all(numbers(0, 8).map(async () => {
    while (got.length < 1000) {
      for (const { Body, ReceiptHandle } of await receive(QueueUrl, { WaitTimeSeconds: 1 })) {
        got.push(Body)
        await sqs.deleteMessage({ QueueUrl, ReceiptHandle })
      }
    }
  }))
  assert.deepEqual(got.sort((a, b) => a - b), numbers(0, 1000))
})

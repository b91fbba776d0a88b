'use strict'
const assert = require('node:assert/strict')
const { paginateListDeadLetterSourceQueues, ResourceNotFoundException, UnsupportedOperation } =
  require('@aws-sdk/client-sqs')
const { attribute, bodies, declare, numbers, receive, receiveAll, refused, send, shared, test, until } =
  require('./support')

const context = shared()

const arnOf = queue => attribute(queue, 'QueueArn')

async function policy(target, maxReceiveCount = 1) {
  return JSON.stringify({ deadLetterTargetArn: await arnOf(target), maxReceiveCount })
}

/** A queue, its dead-letter queue, and messages that are there. */
async function dead(n) {
  const target = await declare()
  const source = await declare({ RedrivePolicy: await policy(target) })
  await send(source, ...numbers(0, n))
  for (const { ReceiptHandle } of await receiveAll(source, n)) {
    await context.sqs.changeMessageVisibility({ QueueUrl: source, ReceiptHandle, VisibilityTimeout: 0 })
  }
  const there = async () => (await attribute(target, 'ApproximateNumberOfMessages')) === String(n)
  await until(there, 'dead letters')
  return { source, target, SourceArn: await arnOf(target) }
}

async function last(SourceArn) {
  return (await context.sqs.listMessageMoveTasks({ SourceArn })).Results[0]
}

const ended = (SourceArn, status) => until(async () => (await last(SourceArn)).Status === status, status)

test('a message that is received too often moves, with its id and where it came from', async () => {
  const { sqs } = context
  const target = await declare()
  const source = await declare({ RedrivePolicy: await policy(target, 2) })
  const { MessageId } = await sqs.sendMessage({ QueueUrl: source, MessageBody: 'x' })
  for (let n = 0; n < 2; n++) {
    const [{ ReceiptHandle }] = await receive(source)
    await sqs.changeMessageVisibility({ QueueUrl: source, ReceiptHandle, VisibilityTimeout: 0 })
  }
  const [moved] = await receiveAll(target, 1, { MessageSystemAttributeNames: ['All'] })
  assert.equal(moved.MessageId, MessageId)
  assert.equal(moved.Attributes.DeadLetterQueueSourceArn, await arnOf(source))
  assert.deepEqual(await receive(source, { WaitTimeSeconds: 0 }), [])
})

test('the queues of a dead-letter queue are listed in pages', async () => {
  const target = await declare()
  const sources = []
  for (let n = 0; n < 3; n++) sources.push(await declare({ RedrivePolicy: await policy(target) }))
  const listed = []
  const config = { client: context.sqs, pageSize: 2 }
  for await (const page of paginateListDeadLetterSourceQueues(config, { QueueUrl: target })) {
    listed.push(...page.queueUrls)
  }
  assert.deepEqual(listed.sort(), sources.sort())
})

test('who may use a dead-letter queue', async () => {
  const target = await declare({ RedriveAllowPolicy: '{"redrivePermission":"denyAll"}' })
  const RedrivePolicy = await policy(target)
  const QueueUrl = await declare()
  const set = context.sqs.setQueueAttributes({ QueueUrl, Attributes: { RedrivePolicy } })
  await refused('InvalidParameterValue', set)
})

test('a move task takes dead letters back to where they died', async () => {
  const { sqs } = context
  const { source, target, SourceArn } = await dead(5)
  await sqs.startMessageMoveTask({ SourceArn })
  await ended(SourceArn, 'COMPLETED')
  assert.equal((await last(SourceArn)).ApproximateNumberOfMessagesMoved, 5)
  assert.deepEqual(bodies(await receiveAll(source, 5)).sort(), numbers(0, 5))
  assert.equal(await attribute(target, 'ApproximateNumberOfMessages'), '0')
})

test('a move task goes elsewhere, slowly, and is cancelled', async () => {
  const { sqs } = context
  const { SourceArn } = await dead(20)
  const DestinationArn = await arnOf(await declare())
  const slow = { SourceArn, DestinationArn, MaxNumberOfMessagesPerSecond: 1 }
  const { TaskHandle } = await sqs.startMessageMoveTask(slow)
  await assert.rejects(sqs.startMessageMoveTask(slow), UnsupportedOperation)
  const running = await last(SourceArn)
  assert.deepEqual([running.Status, running.TaskHandle], ['RUNNING', TaskHandle])
  await sqs.cancelMessageMoveTask({ TaskHandle })
  await ended(SourceArn, 'CANCELLED')
})

test('wrong move tasks are refused', async () => {
  const { sqs } = context
  const { SourceArn } = await dead(1)
  const plain = await arnOf(await declare())
  await refused('InvalidParameterValue', sqs.startMessageMoveTask({ SourceArn: plain }))
  const none = sqs.startMessageMoveTask({ SourceArn: `${SourceArn}-not` })
  await assert.rejects(none, ResourceNotFoundException)
  await refused('ResourceNotFoundException', sqs.listMessageMoveTasks({ SourceArn: `${plain}-not` }), 404)
  await refused('InvalidParameterValue', sqs.cancelMessageMoveTask({ TaskHandle: 'nonsense' }))
})

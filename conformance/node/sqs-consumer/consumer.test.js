'use strict'
const assert = require('node:assert/strict')
const { afterEach } = require('node:test')
const { once } = require('node:events')
const { Consumer } = require('sqs-consumer')
const { attribute, client, declare, declareFifo, name, numbers, send, shared, sleep, test, until } =
  require('../sqs/support')

const context = shared()

const running = []

/** A consumer that has begun; what it is told of errors is kept. */
function consume(queueUrl, options) {
  const sqs = client(options.broker ?? context.broker)
  const consumer = Consumer.create({ queueUrl, sqs, waitTimeSeconds: 5, suppressFifoWarning: true, ...options })
  consumer.errors = []
  for (const event of ['error', 'processing_error', 'timeout_error']) {
    consumer.on(event, error => consumer.errors.push(error))
  }
  running.push({ consumer, sqs })
  consumer.start()
  return consumer
}

afterEach(() => {
  for (const { consumer, sqs } of running.splice(0)) {
    consumer.stop({ abort: true })
    sqs.destroy()
  }
})

/** All is deleted: read in one request, so that it is what was true at one time. */
const isEmpty = QueueUrl => until(async () => {
  const { Attributes } = await context.sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] })
  const { ApproximateNumberOfMessages: ready, ApproximateNumberOfMessagesNotVisible: out } = Attributes
  return ready === '0' && out === '0'
}, 'an empty queue')

test('each message is handled and deleted', async () => {
  const queue = await declare()
  const handled = []
  const consumer = consume(queue, {
    batchSize: 10,
    messageAttributeNames: ['All'],
    messageSystemAttributeNames: ['All'],
    handleMessage: async message => {
      handled.push([message.Body, message.MessageAttributes?.n.StringValue])
      assert.equal(message.Attributes.ApproximateReceiveCount, '1')
      return message
    },
  })
  for (const n of numbers(0, 25)) {
    const MessageAttributes = { n: { DataType: 'Number', StringValue: n } }
    await context.sqs.sendMessage({ QueueUrl: queue, MessageBody: `body ${n}`, MessageAttributes })
  }
  await until(() => handled.length >= 25)
  await isEmpty(queue)
  assert.deepEqual(handled.map(one => one[1]).sort((a, b) => a - b), numbers(0, 25))
  assert.deepEqual(consumer.errors, [])
})

test('a waiting consumer gets a message as it comes', async () => {
  const queue = await declare()
  const handled = []
  consume(queue, {
    waitTimeSeconds: 20, handleMessage: async message => { handled.push(message.Body); return message },
  })
  const started = Date.now()
  await send(queue, 'now')
  await until(() => handled.length === 1)
  assert.ok(Date.now() - started < 19_000)
  await isEmpty(queue)
})

test('a message whose handler fails comes again, at once where that is asked for', async () => {
  const queue = await declare({ VisibilityTimeout: '600' })
  const tries = []
  const consumer = consume(queue, {
    terminateVisibilityTimeout: true,
    messageSystemAttributeNames: ['ApproximateReceiveCount'],
    handleMessage: async message => {
      tries.push(message.Attributes.ApproximateReceiveCount)
      if (tries.length < 3) throw new Error('not yet')
      return message
    },
  })
  await send(queue, 'x')
  await until(() => tries.length >= 3)
  await isEmpty(queue)
  assert.deepEqual(tries, ['1', '2', '3'])
  assert.equal(consumer.errors.length, 2)
})

test('a message that always fails goes to the dead-letter queue', async () => {
  const dead = await declare()
  const deadLetterTargetArn = await attribute(dead, 'QueueArn')
  const queue = await declare({
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 2 }),
  })
  const seen = []
  consume(queue, {
    terminateVisibilityTimeout: true,
    handleMessage: async message => { seen.push(message.Body); throw new Error('never') },
  })
  await send(queue, 'x')
  await until(async () => (await attribute(dead, 'ApproximateNumberOfMessages')) === '1')
  assert.deepEqual(seen, ['x', 'x'])
})

test('batches are handled whole, and only what was handled is deleted', async () => {
  const queue = await declare({ VisibilityTimeout: '600' })
  const batches = []
  for (const of of [numbers(0, 10), numbers(10, 20)]) {
    await context.sqs.sendMessageBatch({
      QueueUrl: queue, Entries: of.map(Id => ({ Id, MessageBody: Id })),
    })
  }
  consume(queue, {
    batchSize: 10,
    strictReturn: false,
    handleMessageBatch: async messages => {
      batches.push(messages.map(message => message.Body))
      return messages.filter(message => message.Body !== '7')
    },
  })
  await until(() => batches.flat().length >= 20)
  await until(async () => (await attribute(queue, 'ApproximateNumberOfMessagesNotVisible')) === '1')
  assert.deepEqual(batches.flat().sort((a, b) => a - b), numbers(0, 20))
})

test('a heartbeat keeps a message for as long as its handler needs', async () => {
  const queue = await declare()
  const handled = []
  for (const who of ['a', 'b']) {
    consume(queue, {
      visibilityTimeout: 20, heartbeatInterval: 1,
      handleMessage: async message => {
        handled.push(who)
        const { ReceiptHandle } = message
        // Without the heartbeat it would come again to the other one within the time of the handler.
        await context.sqs.changeMessageVisibility({ QueueUrl: queue, ReceiptHandle, VisibilityTimeout: 12 })
        await sleep(14_000)
        return message
      },
    })
  }
  await send(queue, 'x')
  await isEmpty(queue)
  assert.equal(handled.length, 1)
})

test('a handler that takes too long is a time-out', async () => {
  const queue = await declare()
  const consumer = consume(queue, { handleMessageTimeout: 200, handleMessage: () => sleep(10_000) })
  await send(queue, 'x')
  await until(() => consumer.errors.length > 0)
  assert.equal(consumer.errors[0].name, 'TimeoutError')
})

test('a FIFO queue is handled in its order', async () => {
  const queue = await declareFifo()
  const handled = []
  for (const MessageBody of numbers(0, 20)) {
    await context.sqs.sendMessage({ QueueUrl: queue, MessageBody, MessageGroupId: 'g' })
  }
  for (let n = 0; n < 2; n++) {
    consume(queue, {
      batchSize: 3, handleMessage: async message => { handled.push(message.Body); return message },
    })
  }
  await until(() => handled.length >= 20)
  await isEmpty(queue)
  assert.deepEqual(handled, numbers(0, 20))
})

test('a consumer that stops finishes what it has', async () => {
  const queue = await declare()
  const handled = []
  const consumer = consume(queue, {
    pollingCompleteWaitTimeMs: 60_000, waitTimeSeconds: 1,
    handleMessage: async message => { await sleep(500); handled.push(message.Body); return message },
  })
  const received = once(consumer, 'message_received')
  await send(queue, 'x')
  await received
  const stopped = once(consumer, 'stopped')
  consumer.stop()
  await stopped
  assert.deepEqual(handled, ['x'])
  await isEmpty(queue)
})

test('a queue that is not there is told as an error', async () => {
  const gone = `http://${context.broker.sqs}/000000000000/${name()}`
  const consumer = consume(gone, { handleMessage: async message => message })
  await until(() => consumer.errors.length > 0)
  assert.equal(consumer.errors[0].name, 'SQSError')
  assert.equal(consumer.errors[0].code, 'QueueDoesNotExist')
})

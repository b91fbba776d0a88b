'use strict'
// What is refused, and that the client goes on afterwards.

const assert = require('node:assert/strict')
const { errorOf, name, numbers, toMessages, values } = require('../clients')
const { shared, test } = require('../shared')

const cx = shared()

test('a topic that does not exist is refused to a producer', async () => {
  const producer = await cx.clients.producer({ retry: { retries: 1 } })
  const sending = producer.send({ topic: name(), messages: [{ value: 'v' }] })
  assert.equal(await errorOf(sending), 'UNKNOWN_TOPIC_OR_PARTITION')
})

test('a topic that does not exist is refused to an administrator', async () => {
  const admin = await cx.clients.admin()
  assert.equal(await errorOf(admin.fetchTopicMetadata({ topics: [name()] })), 'UNKNOWN_TOPIC_OR_PARTITION')
})

test('a name that is not allowed is refused', async () => {
  const admin = await cx.clients.admin()
  const creating = admin.createTopics({ topics: [{ topic: 'with space' }] })
  assert.equal(await errorOf(creating), 'INVALID_TOPIC_EXCEPTION')
})

test('a message above the limit is refused, the next one is taken', async () => {
  const topic = await cx.clients.topic({ config: { 'max.message.bytes': '2000' } })
  const producer = await cx.clients.producer()
  const large = producer.send({ topic, messages: [{ value: 'x'.repeat(3000) }] })
  assert.equal(await errorOf(large), 'MESSAGE_TOO_LARGE')
  await producer.send({ topic, messages: [{ value: 'small' }] })
  const member = await cx.clients.member(topic)
  assert.deepEqual(values(await member.read(1)), ['small'])
})

for (const [fromBeginning, expected] of [[true, '0'], [false, 'later']]) {
  test(`an offset out of range is reset, fromBeginning ${fromBeginning}`, async () => {
    const topic = await cx.clients.topic()
    const producer = await cx.clients.producer()
    await producer.send({ topic, messages: toMessages(numbers(0, 10)) })
    const groupId = name()
    const first = await cx.clients.member(topic, { groupId })
    await first.joined()
    await first.consumer.commitOffsets([{ topic, partition: 0, offset: '5000' }])
    await cx.clients.close(first.consumer)
    const member = await cx.clients.member(topic, { groupId, fromBeginning })
    await member.joined()
    if (!fromBeginning) {
      await member.readNothing()
      await producer.send({ topic, messages: [{ value: 'later' }] })
    }
    assert.deepEqual(values(await member.read(1)), [expected])
  })
}

test('a transactional producer is refused for good', async () => {
  const producer = await cx.clients.producer({
    transactionalId: name(), idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 },
  })
  assert.equal(await errorOf(producer.transaction()), 'KafkaJSGroupCoordinatorNotFound')
})

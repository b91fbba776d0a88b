'use strict'
// Producing: what was sent is what is read, in order, once.

const assert = require('node:assert/strict')
const { CompressionTypes, Partitioners } = require('kafkajs')
const { name, numbers, toMessages, values } = require('../clients')
const { shared, test } = require('../shared')

const cx = shared()

for (const codec of ['None', 'GZIP', 'Snappy', 'LZ4', 'ZSTD']) {
  test(`codec ${codec} comes back as sent`, async () => {
    const topic = await cx.clients.topic()
    const producer = await cx.clients.producer()
    const sent = numbers(0, 300).map(n => `${n} ${'tramline '.repeat(30)}`)
    await producer.send({ topic, messages: toMessages(sent), compression: CompressionTypes[codec] })
    const member = await cx.clients.member(topic)
    assert.deepEqual(values(await member.read(300)), sent)
  })
}

for (const acks of [1, -1]) {
  test(`acks ${acks} tells the first offset of what was sent`, async () => {
    const topic = await cx.clients.topic()
    const producer = await cx.clients.producer()
    const [first] = await producer.send({ topic, acks, messages: toMessages(numbers(0, 5)) })
    const [second] = await producer.send({ topic, acks, messages: toMessages(numbers(5, 9)) })
    assert.deepEqual([first.errorCode, first.baseOffset, second.baseOffset], [0, '0', '5'])
    const member = await cx.clients.member(topic)
    const came = await member.read(9)
    assert.deepEqual(came.map(({ offset }) => offset), numbers(0, 9))
    assert.deepEqual(values(came), numbers(0, 9))
  })
}

test('messages without acknowledgement arrive', async () => {
  const topic = await cx.clients.topic()
  const producer = await cx.clients.producer()
  await producer.send({ topic, acks: 0, messages: toMessages(numbers(0, 20)) })
  const member = await cx.clients.member(topic)
  assert.deepEqual(values(await member.read(20)), numbers(0, 20))
})

test('an idempotent producer keeps order and count over partitions', async () => {
  const topic = await cx.clients.topic({ numPartitions: 3 })
  const producer = await cx.clients.producer({ idempotent: true, maxInFlightRequests: 1 })
  for (let part = 0; part < 10; part++) {
    const messages = toMessages(numbers(part * 60, part * 60 + 60), n => ({ partition: n % 3 }))
    await producer.send({ topic, messages })
  }
  const member = await cx.clients.member(topic)
  const came = await member.read(600)
  for (const partition of [0, 1, 2]) {
    const expected = numbers(0, 600).filter(n => n % 3 === partition)
    assert.deepEqual(values(came.filter(one => one.partition === partition)), expected)
  }
  await member.readNothing()
})

test('one batch goes to several topics', async () => {
  const topics = [await cx.clients.topic(), await cx.clients.topic()]
  const producer = await cx.clients.producer()
  const topicMessages = topics.map(topic => ({ topic, messages: toMessages([`to ${topic}`]) }))
  await producer.sendBatch({ topicMessages })
  const member = await cx.clients.member(topics)
  const came = await member.read(2)
  assert.deepEqual(new Set(values(came)), new Set(topics.map(topic => `to ${topic}`)))
})

test('one key goes to one partition, the same as of the Java client', async () => {
  const topic = await cx.clients.topic({ numPartitions: 8 })
  const producer = await cx.clients.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  const messages = toMessages(Array(200).fill('v'), n => ({ key: `key ${n % 20}` }))
  await producer.send({ topic, messages })
  const member = await cx.clients.member(topic)
  const partitions = new Map()
  for (const { key, partition } of await member.read(200)) {
    partitions.set(key.toString(), (partitions.get(key.toString()) ?? new Set()).add(partition))
  }
  assert.equal(partitions.size, 20)
  assert.ok([...partitions.values()].every(used => used.size === 1))
  assert.ok(new Set([...partitions.values()].flatMap(used => [...used])).size > 1)
})

test('absent and empty keys and values stay apart', async () => {
  const topic = await cx.clients.topic()
  const producer = await cx.clients.producer()
  const pairs = [[null, null], ['', ''], ['k', null], [null, 'v'], ['k', '']]
  await producer.send({ topic, messages: pairs.map(([key, value]) => ({ key, value, partition: 0 })) })
  const member = await cx.clients.member(topic)
  const came = await member.read(pairs.length)
  const text = one => one?.toString() ?? null
  assert.deepEqual(came.map(({ key, value }) => [text(key), text(value)]), pairs)
})

test('headers keep duplicates and absent values', async () => {
  const topic = await cx.clients.topic()
  const producer = await cx.clients.producer()
  const headers = { a: ['1', '2', '1'], b: Buffer.from([0, 255]), empty: '' }
  await producer.send({ topic, messages: [{ value: 'v', headers }, { value: 'w' }] })
  const member = await cx.clients.member(topic)
  const [withHeaders, without] = await member.read(2)
  assert.deepEqual(withHeaders.headers.a.map(String), ['1', '2', '1'])
  assert.deepEqual(withHeaders.headers.b, Buffer.from([0, 255]))
  assert.equal(String(withHeaders.headers.empty), '')
  assert.deepEqual(without.headers, {})
})

test("the producer's timestamp is kept", async () => {
  const topic = await cx.clients.topic({ config: { 'retention.ms': '-1' } }) // They are old.
  const producer = await cx.clients.producer()
  const stamps = ['1700000000000', '1700000000500', '1700000000100']
  await producer.send({ topic, messages: toMessages(stamps, n => ({ timestamp: stamps[n] })) })
  const member = await cx.clients.member(topic)
  assert.deepEqual((await member.read(3)).map(({ timestamp }) => timestamp), stamps)
})

test("log append time replaces the producer's", async () => {
  const topic = await cx.clients.topic({ config: { 'message.timestamp.type': 'LogAppendTime' } })
  const producer = await cx.clients.producer()
  const before = Date.now()
  await producer.send({ topic, messages: [{ value: 'v', timestamp: '1700000000000' }] })
  const after = Date.now()
  const member = await cx.clients.member(topic)
  const [{ timestamp }] = await member.read(1)
  assert.ok(before - 5 <= Number(timestamp) && Number(timestamp) <= after + 5, timestamp)
})

test('naming an unknown topic creates it', async () => {
  const topic = name()
  const producer = await cx.clients.producer({ allowAutoTopicCreation: true })
  await producer.send({ topic, messages: [{ value: 'v' }] })
  const member = await cx.clients.member(topic)
  assert.deepEqual(values(await member.read(1)), ['v'])
})

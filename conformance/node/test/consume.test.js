'use strict'
// Reading: from the beginning, the end, an offset, a time; groups and their rebalances.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { PartitionAssigners } = require('kafkajs')
const { name, numbers, sleep, toMessages, until, values } = require('../clients')
const { shared, test } = require('../shared')

const cx = shared()
// An hour ago: what is older than a week goes when retention looks next.
const BASE = Math.floor(Date.now() / 1000) * 1000 - 3_600_000

/** A topic of one partition: value n at offset n, at time BASE + 1000 n, in batches of 10. */
async function hundred() {
  const topic = await cx.clients.topic()
  const producer = await cx.clients.producer()
  for (let from = 0; from < 100; from += 10) {
    const stamp = n => ({ timestamp: String(BASE + 1000 * (from + n)) })
    await producer.send({ topic, messages: toMessages(numbers(from, from + 10), stamp) })
  }
  return topic
}

async function send(topic, values, more) {
  const producer = await cx.clients.producer()
  await producer.send({ topic, messages: toMessages(values, more) })
}

async function committed(groupId, topic) {
  const [found] = await (await cx.clients.admin()).fetchOffsets({ groupId, topics: [topic] })
  return found.partitions.map(({ offset }) => offset)
}

test('from the beginning', async () => {
  const member = await cx.clients.member(await hundred())
  assert.deepEqual(values(await member.read(100)), numbers(0, 100))
})

test('from the end only later messages come', async () => {
  const topic = await hundred()
  const member = await cx.clients.member(topic, { fromBeginning: false })
  await member.joined()
  await member.readNothing()
  await send(topic, ['later'])
  const [message] = await member.read(1)
  assert.deepEqual([message.offset, message.value.toString()], ['100', 'later'])
})

for (const offset of [1, 37, 99]) {
  test(`from offset ${offset}, also inside a batch`, async () => {
    const topic = await hundred()
    const member = await cx.clients.member(topic, { fromBeginning: false })
    await member.joined()
    member.consumer.seek({ topic, partition: 0, offset: String(offset) })
    const came = await member.read(100 - offset)
    assert.deepEqual(came.map(one => one.offset), numbers(offset, 100))
  })
}

test('offsets are found by time', async () => {
  const topic = await hundred()
  const admin = await cx.clients.admin()
  const wanted = { [BASE]: '0', [BASE + 1]: '1', [BASE + 37_000]: '37', [BASE + 37_001]: '38' }
  for (const [stamp, offset] of Object.entries(wanted)) {
    const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, Number(stamp))
    assert.deepEqual([stamp, found.offset], [stamp, offset])
  }
  const [late] = await admin.fetchTopicOffsetsByTimestamp(topic, BASE + 99_001)
  assert.equal(late.offset, '100')
})

test('first and next offsets of a topic are told', async () => {
  const admin = await cx.clients.admin()
  const [found] = await admin.fetchTopicOffsets(await hundred())
  assert.deepEqual(found, { partition: 0, offset: '100', high: '100', low: '0' })
})

test('pause and resume', async () => {
  const topic = await hundred()
  const member = await cx.clients.member(topic)
  await member.read(100)
  member.consumer.pause([{ topic }])
  await sleep(300)
  await send(topic, ['while paused'])
  await member.readNothing()
  member.consumer.resume([{ topic }])
  assert.deepEqual(values(await member.read(1)), ['while paused'])
})

test('small fetches lose nothing', async () => {
  const member = await cx.clients.member(await hundred(), { maxBytes: 1024, maxBytesPerPartition: 512 })
  assert.deepEqual(values(await member.read(100)), numbers(0, 100))
})

test('batches are read whole with their high watermark', async () => {
  const batches = []
  const run = { eachMessage: undefined, eachBatch: async ({ batch }) => batches.push(batch) }
  await cx.clients.member(await hundred(), { run })
  await until(() => batches.flatMap(batch => batch.messages).length >= 100)
  assert.deepEqual(values(batches.flatMap(batch => batch.messages)), numbers(0, 100))
  assert.equal(batches.at(-1).highWatermark, '100')
})

test('topics are subscribed to by pattern', async () => {
  const prefix = name()
  const admin = await cx.clients.admin()
  const topics = ['a', 'b'].map(suffix => ({ topic: `${prefix}.${suffix}` }))
  await admin.createTopics({ topics: [...topics, { topic: `${prefix}-other` }] })
  for (const { topic } of topics) await send(topic, [topic])
  const member = await cx.clients.member(new RegExp(`^${prefix}\\..*`))
  assert.deepEqual(new Set(values(await member.read(2))), new Set(topics.map(({ topic }) => topic)))
})

test('a commit is read back and resumed from', async () => {
  const topic = await hundred()
  const first = await cx.clients.member(topic)
  const { groupId } = first
  await first.read(40)
  assert.deepEqual(await committed(groupId, topic), ['-1'])
  await first.consumer.commitOffsets([{ topic, partition: 0, offset: '40', metadata: 'forty' }])
  assert.deepEqual(await committed(groupId, topic), ['40'])
  await cx.clients.close(first.consumer)
  const second = await cx.clients.member(topic, { groupId })
  assert.deepEqual(values(await second.read(60)), numbers(40, 100))
})

test('offsets are committed automatically', async () => {
  const topic = await hundred()
  const run = { autoCommit: true, autoCommitInterval: 100 }
  const member = await cx.clients.member(topic, { run })
  await member.read(100)
  await send(topic, ['one more']) // A commit is made when a batch was worked through.
  await until(async () => (await committed(member.groupId, topic))[0] === '101')
})

test('two members share the partitions, and the one left takes all', async () => {
  const topic = await cx.clients.topic({ numPartitions: 4 })
  const first = await cx.clients.member(topic)
  const { groupId } = first
  await until(() => first.assigned?.length === 4)
  const second = await cx.clients.member(topic, { groupId })
  await until(() => first.assigned.length === 2 && second.assigned?.length === 2)
  assert.deepEqual([...first.assigned, ...second.assigned].sort(), [0, 1, 2, 3])
  await send(topic, numbers(0, 40), n => ({ partition: n % 4 }))
  await until(() => first.messages.length + second.messages.length >= 40)
  for (const { messages, assigned } of [first, second]) {
    assert.deepEqual([...new Set(messages.map(({ partition }) => partition))].sort(), assigned)
    assert.equal(messages.length, 20)
  }
  await cx.clients.close(second.consumer)
  await until(() => first.assigned.length === 4)
})

test('a member that died is given up after its session timeout', async () => {
  const topic = await cx.clients.topic({ numPartitions: 2 })
  const groupId = name()
  const code = `
    const { Clients } = require('./clients')
    const clients = new Clients({ kafka: ${JSON.stringify(cx.broker.kafka)} })
    clients.member(${JSON.stringify(topic)}, { groupId: ${JSON.stringify(groupId)} })
      .then(member => member.joined())
      .then(() => process.stdout.write('joined'))`
  const other = spawn(process.execPath, ['-e', code], { cwd: path.join(__dirname, '..') })
  try {
    assert.equal(String((await once(other.stdout, 'data'))[0]), 'joined')
  } finally {
    other.kill('SIGKILL')
  }
  const member = await cx.clients.member(topic, { groupId })
  await until(() => member.assigned?.length === 2)
  const { groups } = await (await cx.clients.admin()).describeGroups([groupId])
  assert.equal(groups[0].members.length, 1)
})

test('an assigner of the application is used', async () => {
  const topic = await cx.clients.topic({ numPartitions: 3 })
  const own = config => {
    const roundRobin = PartitionAssigners.roundRobin(config)
    const protocol = subscription => ({ ...roundRobin.protocol(subscription), name: 'own' })
    return { ...roundRobin, name: 'own', protocol }
  }
  const member = await cx.clients.member(topic, { partitionAssigners: [own] })
  await until(() => member.assigned?.length === 3)
  const { groups } = await (await cx.clients.admin()).describeGroups([member.groupId])
  assert.equal(groups[0].protocol, 'own')
})

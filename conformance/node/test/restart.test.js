'use strict'
// Over a restart, clean or by kill -9, nothing acknowledged is lost and clients go on.

const assert = require('node:assert/strict')
const { afterEach, beforeEach } = require('node:test')
const { Broker } = require('../broker')
const { Clients, name, numbers, toMessages, until, values } = require('../clients')
const { test } = require('../shared')

let broker
let clients
beforeEach(async () => {
  broker = await Broker.start()
  clients = new Clients(broker)
})
afterEach(async () => {
  await clients.closeAll()
  await broker.kill()
})

for (const how of ['stop', 'kill']) {
  async function restart() {
    await broker[how]()
    await broker.start()
  }

  test(`${how}: acknowledged messages are there afterwards, and a producer goes on`, async () => {
    const topic = await clients.topic()
    const producer = await clients.producer({ idempotent: true, maxInFlightRequests: 1 })
    for (const from of [0, 100, 200]) {
      await producer.send({ topic, messages: toMessages(numbers(from, from + 100)) })
      await restart()
    }
    const member = await clients.member(topic)
    assert.deepEqual(values(await member.read(300)), numbers(0, 300))
    await member.readNothing()
  })

  test(`${how}: a member goes on, and its successor resumes`, async () => {
    const topic = await clients.topic()
    const groupId = name()
    const producer = await clients.producer()
    const commit = (member, offset) =>
      member.consumer.commitOffsets([{ topic, partition: 0, offset: String(offset) }])
    await producer.send({ topic, messages: toMessages(numbers(0, 10)) })
    const member = await clients.member(topic, { groupId })
    await member.read(10)
    await commit(member, 10)
    await restart()
    await producer.send({ topic, messages: toMessages(numbers(10, 20)) })
    // A client that joins again by itself may read again from its commit.
    await until(() => new Set(values(member.messages)).size === 10)
    assert.deepEqual(new Set(values(member.messages)), new Set(numbers(10, 20)))
    await until(() => commit(member, 20).then(() => true, () => false))
    await clients.close(member.consumer)
    await restart()
    await producer.send({ topic, messages: toMessages(numbers(20, 25)) })
    const successor = await clients.member(topic, { groupId })
    assert.deepEqual(values(await successor.read(5)), numbers(20, 25))
  })

  test(`${how}: topics with their partitions and settings stay`, async () => {
    const topic = await clients.topic({ numPartitions: 3, config: { 'retention.ms': '1000000' } })
    const admin = await clients.admin()
    const before = await admin.describeCluster()
    await restart()
    assert.deepEqual((await admin.describeCluster()).clusterId, before.clusterId)
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    assert.equal(topics[0].partitions.length, 3)
  })
}

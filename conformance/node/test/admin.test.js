'use strict'
// Administration: topics, their settings and partitions, groups and their offsets, records.

const assert = require('node:assert/strict')
const { beforeEach } = require('node:test')
const { ConfigResourceTypes } = require('kafkajs')
const { errorOf, name, numbers, toMessages, until, values } = require('../clients')
const { shared, test } = require('../shared')

const cx = shared()
let admin
beforeEach(async () => {
  admin = await cx.clients.admin()
})

/** A group that has read and committed the two messages of a topic of the same name. */
async function group() {
  const topic = await cx.clients.topic({ numPartitions: 2 })
  const producer = await cx.clients.producer()
  await producer.send({ topic, messages: toMessages(['a', 'b'], partition => ({ partition })) })
  const member = await cx.clients.member(topic, { groupId: topic })
  await member.read(2)
  const commits = [0, 1].map(partition => ({ topic, partition, offset: '1', metadata: 'note' }))
  await member.consumer.commitOffsets(commits)
  return { topic, member }
}

async function settings(resource) {
  const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [resource] })
  return Object.fromEntries(resources[0].configEntries.map(entry => [entry.configName, entry]))
}

async function offsets(groupId) {
  const found = await admin.fetchOffsets({ groupId })
  const flat = found.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, offset, metadata }) => [topic, partition, offset, metadata])
  )
  return flat.sort((a, b) => a[1] - b[1])
}

test('a topic is created, listed, described and deleted', async () => {
  const topic = name()
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] }), true)
  assert.equal(await admin.createTopics({ topics: [{ topic }] }), false)
  assert.ok((await admin.listTopics()).includes(topic))
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(topics[0].partitions.length, 3)
  assert.deepEqual(topics[0].partitions[0].replicas, topics[0].partitions[0].isr)
  await admin.deleteTopics({ topics: [topic] })
  assert.ok(!(await admin.listTopics()).includes(topic))
})

test('validation alone creates nothing', async () => {
  const topic = name()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }], validateOnly: true, waitForLeaders: false })
  assert.ok(!(await admin.listTopics()).includes(topic))
})

test('more replicas than there are copies are refused', async () => {
  const topics = [{ topic: name(), numPartitions: 1, replicationFactor: 3 }]
  assert.equal(await errorOf(admin.createTopics({ topics })), 'INVALID_REPLICATION_FACTOR')
})

test('an unknown topic cannot be deleted', async () => {
  const impatient = await cx.clients.connect(cx.clients.kafka.admin({ retry: { retries: 1 } }))
  assert.equal(await errorOf(impatient.deleteTopics({ topics: [name()] })), 'UNKNOWN_TOPIC_OR_PARTITION')
})

test('partitions are added but not removed', async () => {
  const topic = await cx.clients.topic({ numPartitions: 2 })
  const grow = count => admin.createPartitions({ topicPartitions: [{ topic, count }] })
  await grow(5)
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(topics[0].partitions.length, 5)
  assert.equal(await errorOf(grow(3)), 'INVALID_PARTITIONS')
})

test('settings of a topic are described and altered', async () => {
  const topic = await cx.clients.topic({ config: { 'retention.ms': '86400000' } })
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const before = await settings(resource)
  assert.equal(before['retention.ms'].configValue, '86400000')
  assert.equal(before['cleanup.policy'].configValue, 'delete')
  assert.equal(before['retention.ms'].isDefault, false)
  const configEntries = [{ name: 'retention.bytes', value: '1000000' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
  const after = await settings(resource)
  assert.equal(after['retention.bytes'].configValue, '1000000')
  assert.equal(after['retention.ms'].configValue, '604800000') // AlterConfigs replaces all.
  const wrong = [{ ...resource, configEntries: [{ name: 'retention.ms', value: 'soon' }] }]
  assert.equal(await errorOf(admin.alterConfigs({ validateOnly: false, resources: wrong })), 'INVALID_CONFIG')
})

test('settings of the broker are described', async () => {
  const { brokers } = await admin.describeCluster()
  const found = await settings({ type: ConfigResourceTypes.BROKER, name: String(brokers[0].nodeId) })
  assert.equal(found['num.partitions'].configValue, '1')
})

test('the cluster is described', async () => {
  const { brokers, clusterId, controller } = await admin.describeCluster()
  assert.equal(clusterId.length, 22)
  assert.deepEqual(brokers.map(({ host, port }) => `${host}:${port}`), [cx.broker.kafka])
  assert.equal(controller, brokers[0].nodeId)
})

test('groups are listed and described', async () => {
  const { topic } = await group()
  const { groups } = await admin.listGroups()
  assert.ok(groups.some(({ groupId, protocolType }) => groupId === topic && protocolType === 'consumer'))
  const described = await admin.describeGroups([topic])
  const [{ state, protocol, members }] = described.groups
  assert.deepEqual([state, protocol, members.length], ['Stable', 'RoundRobinAssigner', 1])
  assert.equal(members[0].clientId, 'conformance')
  assert.match(members[0].clientHost, /127\.0\.0\.1/)
})

test('offsets of a group are fetched, set and reset', async () => {
  const { topic, member } = await group()
  assert.deepEqual(await offsets(topic), [[topic, 0, '1', 'note'], [topic, 1, '1', 'note']])
  await cx.clients.close(member.consumer)
  await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 1, offset: '0' }] })
  assert.deepEqual((await offsets(topic)).map(one => one[2]), ['1', '0'])
  await admin.resetOffsets({ groupId: topic, topic, earliest: true })
  const again = await cx.clients.member(topic, { groupId: topic })
  assert.deepEqual(values(await again.read(2)).sort(), ['a', 'b'])
})

test('a group is deleted when it is empty', async () => {
  const { topic, member } = await group()
  assert.equal(await errorOf(admin.deleteGroups([topic])), 'NON_EMPTY_GROUP')
  await cx.clients.close(member.consumer)
  await until(async () => (await errorOf(admin.deleteGroups([topic]))) === 'NONE')
  const { groups } = await admin.listGroups()
  assert.ok(!groups.some(({ groupId }) => groupId === topic))
})

test('records below an offset are deleted', async () => {
  const topic = await cx.clients.topic()
  const producer = await cx.clients.producer()
  await producer.send({ topic, messages: toMessages(numbers(0, 10)) })
  await admin.fetchTopicOffsets(topic) // Without it kafkajs does not know who leads.
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
  const [found] = await admin.fetchTopicOffsets(topic)
  assert.deepEqual([found.low, found.high], ['6', '10'])
  const member = await cx.clients.member(topic)
  assert.deepEqual(values(await member.read(4)), numbers(6, 10))
})

test('no partition is being reassigned', async () => {
  const topic = await cx.clients.topic()
  const { topics } = await admin.listPartitionReassignments({ topics: [{ topic, partitions: [0] }] })
  assert.deepEqual(topics, [])
})

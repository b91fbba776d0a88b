'use strict'
// kafkajs with bounded waits: every helper returns or fails within its limit.

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { setTimeout: sleep } = require('node:timers/promises')
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs')
const lz4 = require('lz4js')
const snappy = require('kafkajs-snappy')
const { ZstdCodec } = require('zstd-codec')

const LIMIT_MS = 60_000

// kafkajs brings gzip alone and takes the other codecs from whoever uses it.
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
const zstd = new Promise(resolve => ZstdCodec.run(one => resolve(new one.Simple())))
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async buffer => Buffer.from((await zstd).decompress(buffer)),
})

/** Makes clients of one broker and closes them at the end. */
class Clients {
  constructor(broker) {
    this.broker = broker
    this.open = []
    this.kafka = new Kafka({
      clientId: 'conformance',
      brokers: () => [this.broker.kafka],
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 20 },
    })
  }

  async connect(client) {
    this.open.push(client)
    await client.connect()
    return client
  }

  producer(options = {}) {
    return this.connect(this.kafka.producer({ allowAutoTopicCreation: false, ...options }))
  }

  async admin() {
    this.shared ??= await this.connect(this.kafka.admin())
    return this.shared
  }

  async topic(options = {}) {
    const topic = name()
    const { config = {}, ...rest } = options
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    await (await this.admin()).createTopics({ topics: [{ topic, configEntries, ...rest }] })
    return topic
  }

  /** A running member of a group that collects what it reads. */
  async member(topic, options = {}) {
    const { groupId = name(), fromBeginning = true, run = {}, ...rest } = options
    const consumer = await this.connect(
      this.kafka.consumer({
        groupId,
        sessionTimeout: 6000,
        heartbeatInterval: 300,
        rebalanceTimeout: 6000,
        maxWaitTimeInMs: 100,
        allowAutoTopicCreation: false,
        ...rest,
      })
    )
    const member = new Member(consumer, groupId)
    await consumer.subscribe({ topics: [topic].flat(), fromBeginning })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) => {
        member.messages.push({ topic, partition, ...message })
      },
      ...run,
    })
    return member
  }

  async close(client) {
    this.open = this.open.filter(one => one !== client)
    await client.disconnect()
  }

  async closeAll() {
    await Promise.all(this.open.splice(0).map(client => client.disconnect()))
    this.shared = undefined
  }
}

class Member {
  constructor(consumer, groupId) {
    this.consumer = consumer
    this.groupId = groupId
    this.messages = []
    this.assigned = undefined
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      this.assigned = Object.values(payload.memberAssignment).flat().sort()
    })
  }

  /** The next `count` messages; fewer within the limit fail. */
  async read(count) {
    await until(() => this.messages.length >= count, () => `${this.messages.length} of ${count} messages`)
    return this.messages.splice(0, count)
  }

  /** Fails when a message comes. */
  async readNothing(ms = 500) {
    await sleep(ms)
    assert.deepEqual(values(this.messages), [])
  }

  async joined() {
    await until(() => this.assigned !== undefined, () => 'no assignment')
  }
}

async function until(holds, describe = () => 'it did not come to be', ms = LIMIT_MS) {
  const deadline = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > deadline) assert.fail(`${describe()} within ${ms} ms`)
    await sleep(20)
  }
}

/** A name that no other test uses, for a topic or a group. */
function name() {
  return `t-${randomUUID().slice(0, 13)}`
}

function numbers(from, to) {
  return Array.from({ length: to - from }, (_, n) => String(from + n))
}

function toMessages(values, more = () => ({})) {
  return values.map((value, index) => ({ value, ...more(index) }))
}

function values(messages) {
  return messages.map(message => message.value?.toString() ?? null)
}

/** The protocol error (by its Kafka name) that a promise fails with. */
async function errorOf(promise) {
  try {
    await promise
  } catch (error) {
    const inner = error.errors?.[0] ?? error.groups?.[0]?.error ?? error.cause ?? error
    return inner.type ?? error.type ?? error.name
  }
  return 'NONE'
}

module.exports = { Clients, errorOf, name, numbers, sleep, toMessages, until, values }

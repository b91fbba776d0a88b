'use strict'
// Tests with a time limit, and the broker that a file's tests share with clients of it, which are
// closed after each test.

const { after, afterEach, before, test: untimed } = require('node:test')
const assert = require('node:assert/strict')
const { Broker } = require('./broker')
const { Clients } = require('./clients')

function shared() {
  const context = {}
  before(async () => {
    context.broker = await Broker.start()
    context.clients = new Clients(context.broker)
  })
  afterEach(async () => {
    await context.clients.closeAll()
    assert.ok(context.broker.isRunning(), 'the broker died')
  })
  after(() => context.broker.kill())
  return context
}

const EXCLUDED = new Set((process.env.TRAMLINE_EXCLUDED ?? '').split('\n'))

/** A test with a time limit, unless `counts.toml` leaves it out. */
function test(name, run) {
  if (EXCLUDED.has(name)) return undefined
  return untimed(name, { timeout: 180_000 }, run)
}

module.exports = { shared, test }

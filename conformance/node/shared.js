'use strict'
// Tests with a time limit, and the broker that a file's tests share with clients of it, which are
// closed after each test.

const { after, afterEach, before } = require('node:test')
const assert = require('node:assert/strict')
const { Broker } = require('./broker')
const { Clients } = require('./clients')
const { test } = require('./timed')

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

module.exports = { shared, test }

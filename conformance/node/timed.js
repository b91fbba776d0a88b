'use strict'
// Tests with a time limit, and waiting within it.

const assert = require('node:assert/strict')
const { test: untimed } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')

const EXCLUDED = new Set((process.env.TRAMLINE_EXCLUDED ?? '').split('\n'))

/** A test with a time limit, unless `counts.toml` leaves it out. */
function test(name, run) {
  if (EXCLUDED.has(name)) return undefined
  return untimed(name, { timeout: 180_000 }, run)
}

async function until(holds, what = 'it') {
  const deadline = Date.now() + 60_000
  for (;;) {
    const value = await holds()
    if (value) return value
    assert.ok(Date.now() < deadline, `${what} does not come to be`)
    await sleep(20)
  }
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => String(from + n))

module.exports = { numbers, sleep, test, until }

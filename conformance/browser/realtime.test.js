'use strict'
// Channels in a browser: EventSource, and the broker's own client.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { Broker, LIMIT_MS, api, browser, open } = require('./support')

const timeout = 2 * LIMIT_MS
let broker
let chrome

before(async () => {
  broker = await Broker.start()
  chrome = await browser()
}, { timeout })

after(async () => {
  await chrome?.close()
  await broker?.stop()
}, { timeout })

const land = () => open(chrome, `http://${broker.http}/`)

async function broadcast(channel, data) {
  const { status, body } = await api(broker, 'POST', `/v1/broadcast/${channel}`, data)
  assert.equal(status, 200, JSON.stringify(body))
  return body
}

async function configure(prefix, settings) {
  const { status } = await api(broker, 'PUT', '/v1/channel-settings', { prefix, settings })
  assert.equal(status, 200)
}

/** What the page got, once there is so much. */
async function got(page, count) {
  await page.waitForFunction(count => window.got.length >= count, count, { timeout: LIMIT_MS })
  return page.evaluate(() => window.got)
}

/** Subscribes by the broker's client; gives the receipt of what the page itself publishes. */
const subscribe = (page, pattern, channel) =>
  page.evaluate(async ([pattern, channel]) => {
    const { Tramline } = await import('/v1/client.js')
    window.got = []
    window.recovered = []
    window.tramline = new Tramline({ client: pattern })
    window.tramline.subscribe(pattern, message => window.got.push(message.data), {
      recovered: yes => window.recovered.push(yes),
    })
    return window.tramline.publish(channel, { title: 'hello' })
  }, [pattern, channel])

/** Breaks the page's connection, as a bad network would. */
async function hangUp(client) {
  const { body } = await api(broker, 'GET', '/v1/receivers')
  const { connection } = body.receivers.find(of => of.client === client)
  await fetch(`http://${broker.http}/v1/connections/${connection}`, { method: 'DELETE' })
}

test('the line of the README shows what is published', { timeout }, async () => {
  const readme = fs.readFileSync(path.join(__dirname, '../../README.md'), 'utf8')
  const [, line] = /```js\n(.*?)```/s.exec(readme)
  const page = await land()
  const shown = new Promise(resolve => {
    page.on('console', message => message.type() === 'log' && resolve(message.text()))
  })
  await page.evaluate(line)
  const listens = async () => (await api(broker, 'GET', '/v1/receivers')).body.receivers.length > 0
  while (!(await listens()));
  await broadcast('news/today', 'hi')
  assert.equal(await shown, 'hi')
  await page.context().close()
})

test('EventSource gets what is published, and what it missed', { timeout }, async () => {
  await configure('news', { history_size: 10 })
  const page = await land()
  await page.evaluate(async () => {
    window.got = []
    const events = new EventSource('/v1/channels/news/**?client=page')
    events.onmessage = event => window.got.push(JSON.parse(event.data).data)
    await new Promise(done => events.addEventListener('subscribed', done, { once: true }))
  })
  await broadcast('news/today', 'first')
  assert.deepEqual(await got(page, 1), ['first'])
  await hangUp('page')
  await broadcast('news/today', 'second')
  await broadcast('news/tomorrow', 'third')
  assert.deepEqual(await got(page, 3), ['first', 'second', 'third'])
  await page.context().close()
})

test("the broker's client publishes, comes back by itself and recovers", { timeout }, async () => {
  await configure('chat', { history_size: 10 })
  const page = await land()
  const receipt = await subscribe(page, 'chat/*', 'chat/1')
  assert.equal(receipt.delivered + receipt.waiting, 1)
  assert.deepEqual(await got(page, 1), [{ title: 'hello' }])
  await hangUp('chat/*')
  await broadcast('chat/1', 'a')
  await broadcast('chat/2', 'b')
  assert.deepEqual(await got(page, 3), [{ title: 'hello' }, 'a', 'b'])
  assert.deepEqual(await page.evaluate(() => window.recovered), [true])
  await page.context().close()
})

test("the broker's client goes on after kill -9, and is told that something may be missing", { timeout }, async () => {
  await configure('prices', { history_size: 10, retain: true })
  const page = await land()
  await subscribe(page, 'prices/*', 'prices/1')
  await got(page, 1)
  await broker.kill()
  await broker.start()
  // The last value, which outlived the broker, comes with the new subscription.
  assert.deepEqual(await got(page, 2), [{ title: 'hello' }, { title: 'hello' }])
  assert.deepEqual(await page.evaluate(() => window.recovered), [false])
  await broadcast('prices/1', 'on')
  assert.deepEqual((await got(page, 3))[2], 'on')
  await page.context().close()
})

'use strict'
// Realtime channels with ws, eventsource, and the broker's own client for browsers.

const assert = require('node:assert/strict')
const fs = require('node:fs/promises')
const path = require('node:path')
const { once } = require('node:events')
const { randomUUID } = require('node:crypto')
const { pathToFileURL } = require('node:url')
const { EventSource } = require('eventsource')
const WebSocket = require('ws')
const { shared, test } = require('../shared')

const context = shared()
const http = path => `http://${context.broker.http}${path}`

async function post(path, body, method = 'POST') {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(http(path), { method, headers, body: JSON.stringify(body) })
  assert.ok(answer.ok, await answer.clone().text())
  return answer.json()
}

const broadcast = (channel, data) => post(`/v1/broadcast/${channel}`, data)
const name = () => `test/${randomUUID()}`

/** The broker's client, with the WebSocket that browsers and newer versions of Node have. */
async function tramline(options) {
  globalThis.WebSocket ??= WebSocket
  const file = path.join(context.broker.directory, 'client.mjs')
  await fs.writeFile(file, await (await fetch(http('/v1/client.js'))).text())
  const { Tramline } = await import(pathToFileURL(file))
  return new Tramline({ url: http('/v1/ws'), ...options })
}

test('eventsource gets what is published, and recovers when it comes back', async () => {
  const channel = name()
  await post('/v1/channel-settings', { prefix: channel, settings: { history_size: 10 } }, 'PUT')
  const source = new EventSource(http(`/v1/channels/${channel}`))
  await once2(source, 'subscribed')
  const published = once2(source, 'message')
  await broadcast(channel, { n: 1 })
  const first = await published
  assert.deepEqual(JSON.parse(first.data).data, { n: 1 })
  const { receivers } = await (await fetch(http('/v1/receivers'))).json()
  const { connection } = receivers.find(of => of.channels.includes(channel))
  const again = once2(source, 'subscribed')
  // It may be back before the answer to what is published.
  const message = once2(source, 'message')
  await fetch(http(`/v1/connections/${connection}`), { method: 'DELETE' })
  await broadcast(channel, { n: 2 })
  assert.equal(JSON.parse((await again).data).recovered, true)
  assert.deepEqual(JSON.parse((await message).data).data, { n: 2 })
  source.close()
})

/** The next event of an EventTarget. */
const once2 = (target, type) =>
  new Promise(resolve => target.addEventListener(type, resolve, { once: true }))

test('ws subscribes, publishes and is told of a refusal', async () => {
  const socket = new WebSocket(`ws://${context.broker.http}/v1/ws?client=ws`)
  await once(socket, 'open')
  const ask = async request => {
    socket.send(JSON.stringify(request))
    return JSON.parse((await once(socket, 'message'))[0])
  }
  const channel = name()
  assert.equal((await ask({ type: 'subscribe', id: 1, channel })).type, 'subscribed')
  const message = await ask({ type: 'publish', channel, data: 'ä', key: 'k' })
  assert.deepEqual([message.data, message.key], ['ä', 'k'])
  assert.equal((await ask({ type: 'publish', id: 2, channel: 'a/*', data: 1 })).type, 'error')
  assert.equal((await ask({ type: 'presence', id: 3, channel })).members[0].client, 'ws')
  socket.ping()
  await once(socket, 'pong')
  socket.close(1000)
  const [code] = await once(socket, 'close')
  assert.equal(code, 1000)
})

test('a foreign origin is refused', async () => {
  const socket = new WebSocket(`ws://${context.broker.http}/v1/ws`, { origin: 'http://evil.example' })
  const [, response] = await once(socket, 'unexpected-response')
  assert.equal(response.statusCode, 403)
  socket.on('error', () => {})
  socket.terminate()
})

test("the broker's client subscribes by pattern, publishes, and comes back", async () => {
  const channel = name()
  await post('/v1/channel-settings', { prefix: channel, settings: { history_size: 10 } }, 'PUT')
  const client = await tramline({ client: 'browser' })
  const got = []
  let arrived = () => {}
  const until = async n => {
    while (got.length < n) await new Promise(resolve => (arrived = resolve))
  }
  let recovered
  const stop = client.subscribe(`${channel}/**`, message => {
    got.push(message.data)
    arrived()
  }, { recovered: yes => (recovered = yes) })
  while ((await client.presence(`${channel}/1`)).type !== 'presence');
  const receipt = await client.publish(`${channel}/1`, { n: 1 })
  assert.equal(receipt.delivered + receipt.waiting, 1)
  await until(1)
  const { receivers } = await (await fetch(http('/v1/receivers'))).json()
  const { connection } = receivers.find(of => of.client === 'browser')
  await fetch(http(`/v1/connections/${connection}`), { method: 'DELETE' })
  await broadcast(`${channel}/1`, { n: 2 })
  await until(2)
  assert.deepEqual([got, recovered], [[{ n: 1 }, { n: 2 }], true])
  const history = await client.history(`${channel}/1`)
  assert.equal(history.messages.length, 2)
  await assert.rejects(client.publish('$jobs/1', 1), /broker's own/)
  const refusal = await new Promise(failed => client.subscribe('a/*b', () => {}, { failed }))
  assert.match(refusal.message, /pattern/)
  stop()
  client.close()
})

test("subscriptions of the broker's client that overlap each get all they missed, in order", async () => {
  const channel = name()
  const settings = { history_size: 10, retain: true }
  await post('/v1/channel-settings', { prefix: channel, settings }, 'PUT')
  await broadcast(`${channel}/1`, 'last')
  const client = await tramline({ client: channel })
  const got = { name: [], pattern: [] }
  let arrived = () => {}
  const listen = (key, to) => client.subscribe(to, message => {
    got[key].push(message.data)
    arrived()
  })
  const until = async n => {
    while (got.pattern.length < n) await new Promise(resolve => (arrived = resolve))
  }
  listen('name', `${channel}/1`)
  listen('pattern', `${channel}/**`)
  await until(1)
  assert.deepEqual(got, { name: ['last'], pattern: ['last'] })
  const { receivers } = await (await fetch(http('/v1/receivers'))).json()
  const { connection } = receivers.find(of => of.client === channel)
  await fetch(http(`/v1/connections/${connection}`), { method: 'DELETE' })
  for (const [level, data] of [['0', 'a'], ['1', 'b'], ['0', 'c']]) {
    await broadcast(`${channel}/${level}`, data)
  }
  await until(4)
  assert.deepEqual(got, { name: ['last', 'b'], pattern: ['last', 'a', 'b', 'c'] })
  client.close()
})

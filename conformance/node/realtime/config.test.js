'use strict'
// Configuration push, followed with eventsource and with a stream of fetch; jobs, with eventsource.

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { EventSource } = require('eventsource')
const { shared, test } = require('../shared')
const { Broker } = require('../broker')

const context = shared()
const http = path => `http://${context.broker.http}${path}`

async function send(method, url, body, type = 'application/json') {
  const text = type === 'application/json' ? JSON.stringify(body) : body
  const answer = await fetch(url, { method, headers: { 'content-type': type }, body: text })
  assert.ok(answer.ok, await answer.clone().text())
  return answer.status === 204 ? null : answer.json()
}

const put = (key, value) => send('PUT', http(`/v1/config/${key}`), value, 'text/plain')
const name = () => `test-${randomUUID()}`

/** Everything that a source is told, and a way to wait for more of it. */
function record(source, ...types) {
  const told = []
  let wake = () => {}
  for (const type of types) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      told.push({ type, id: lastEventId, ...JSON.parse(data) })
      wake()
    })
  }
  const until = async has => {
    while (!told.some(has)) await new Promise(resolve => (wake = resolve))
    return told.find(has)
  }
  return { told, until }
}

const TYPES = ['put', 'delete', 'synced', 'resync']

test('eventsource gets all values, then every change, and goes on where it was after a restart', async () => {
  const broker = await Broker.start()
  const url = path => `http://${broker.http}${path}`
  const set = (key, value) => send('PUT', url(`/v1/config/${key}`), value, 'text/plain')
  await set('app/a', '1')
  await set('app/b', '1')
  await set('other/a', '1')
  // The broker comes back at another port: the source asks where that is each time.
  const path = '/v1/config-watch?scope=app/&client=web-1'
  const source = new EventSource(url(path), { fetch: (_, init) => fetch(url(path), init) })
  const { told, until } = record(source, ...TYPES)
  await until(event => event.type === 'synced')
  assert.deepEqual(told.map(({ type, key }) => [type, key]), [['put', 'app/a'], ['put', 'app/b'], ['synced', undefined]])
  const { revision } = await set('app/a', '2')
  await until(event => event.revision === revision)
  await broker.kill()
  await broker.start()
  const deleted = await send('DELETE', url('/v1/config/app/b'))
  const event = await until(event => event.type === 'delete')
  assert.equal(event.key, 'app/b')
  await until(event => event.type === 'synced' && event.revision >= deleted.revision)
  assert.equal(told.filter(event => event.type === 'resync').length, 0)
  assert.equal(told.filter(event => event.key === 'app/a').length, 2, 'nothing comes twice')
  const view = await (await fetch(url('/v1/config-adoption/app/a'))).json()
  assert.deepEqual([view.subscribers, view.adopted, view.watching], [1, 1, 1])
  source.close()
  await broker.stop()
})

test('a stream of fetch brings what one revision changed together, under one id', async () => {
  const scope = name()
  await put(`${scope}/a`, 'a')
  const stop = new AbortController()
  const answer = await fetch(http(`/v1/config-watch?scope=${scope}/`), { signal: stop.signal })
  assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const until = async pattern => {
    while (!pattern.test(text)) {
      const { value, done } = await reader.read()
      assert.ok(!done, text)
      text += value
    }
  }
  await until(/event: synced\n(.*\n)*\n/)
  text = ''
  const changes = [{ key: `${scope}/a`, json: { n: 1 } }, { key: `${scope}/b`, value: 'ä' }]
  const { revision } = await send('POST', http('/v1/config'), { changes })
  await until(new RegExp(`id: ${revision}@`))
  assert.equal(text.match(/^event: put$/gm).length, 2)
  assert.equal(text.match(/^id: /gm).length, 1)
  stop.abort()
})

test('a staged roll-out reaches its share by eventsource, is adopted, and reaches all', async () => {
  const key = name()
  await put(key, 'old')
  const clients = Array.from({ length: 12 }, (_, n) => `web-${n}`)
  const sources = clients.map(client => {
    const source = new EventSource(http(`/v1/config-watch?scope=${key}&client=${client}`))
    return { client, source, ...record(source, ...TYPES) }
  })
  await Promise.all(sources.map(({ until }) => until(event => event.type === 'synced')))
  const staged = await send('PUT', http(`/v1/config/${key}?rollout=50`), 'new', 'text/plain')
  const value = async client => (await fetch(http(`/v1/config/${key}?client=${client}`))).text()
  const values = await Promise.all(clients.map(value))
  const inShare = sources.filter((_, at) => values[at] === 'new')
  assert.ok(inShare.length > 0 && inShare.length < clients.length, `${values}`)
  await Promise.all(inShare.map(({ until }) => until(event => event.revision === staged.revision)))
  for (const { client } of inShare) {
    const confirmation = { scope: key, client, revision: staged.revision }
    await send('POST', http('/v1/config-adoption'), confirmation)
  }
  const half = await (await fetch(http(`/v1/config-adoption/${key}`))).json()
  assert.equal(half.by_revision[staged.revision], inShare.length)
  const all = await send('POST', http(`/v1/config-rollout/${key}`), { percent: 100 })
  const outside = sources.filter(source => !inShare.includes(source))
  await Promise.all(outside.map(({ until }) => until(event => event.revision === all.revision)))
  for (const { told } of outside) {
    assert.deepEqual(told.filter(event => event.type === 'put').map(event => event.value), ['old', 'new'])
  }
  for (const { source } of sources) source.close()
})

test('eventsource follows a job to its end, and stays away after it', async () => {
  const queue = name()
  await send('POST', http('/v1/queues'), { name: queue, settings: { track: true } })
  const id = name()
  await send('POST', http(`/v1/queues/${queue}/messages`), { messages: [{ value: 'x', headers: { 'job-id': id } }] })
  let requests = 0
  const source = new EventSource(http(`/v1/jobs/${id}`), {
    fetch: (url, init) => {
      requests++
      return fetch(url, init)
    },
  })
  const { told, until } = record(source, 'message')
  await until(event => event.state === 'queued')
  await send('POST', http(`/v1/queues/${queue}/receive`), { lock_ms: 600_000 })
  await until(event => event.state === 'processing')
  await send('POST', http(`/v1/jobs/${id}/progress`), { percent: 50, worker: 'w' })
  const progress = await until(event => event.progress)
  assert.deepEqual([progress.progress.percent, progress.worker, progress.attempts], [50, 'w', 1])
  await send('POST', http(`/v1/jobs/${id}/result`), { result: { n: 7 }, accept: true })
  const done = await until(event => event.state === 'done')
  assert.deepEqual([done.is_final, done.result], [true, { n: 7 }])
  // The stream has ended: it comes back once, is told 204, and gives up.
  while (source.readyState !== EventSource.CLOSED) await new Promise(resolve => source.addEventListener('error', resolve, { once: true }))
  assert.equal(requests, 2)
  assert.equal(told.at(-1).state, 'done')
})

test('a message on the channel $jobs/{id}/progress is progress, and extends the lock', async () => {
  const [queue, id] = [name(), name()]
  const settings = { track: true, lock_duration_ms: 60_000 }
  await send('POST', http('/v1/queues'), { name: queue, settings })
  await send('POST', http(`/v1/queues/${queue}/messages`), { messages: [{ value: 'x', headers: { 'job-id': id } }] })
  const got = await send('POST', http(`/v1/queues/${queue}/receive`), { lock_ms: 5_000 })
  const before = got.messages[0].locked_until
  await send('POST', http(`/v1/broadcast/$jobs/${id}/progress`), { percent: 10 })
  const job = await (await fetch(http(`/v1/jobs/${id}`))).json()
  assert.equal(job.progress.percent, 10)
  const [message] = (await (await fetch(http(`/v1/queues/${queue}/messages`))).json()).messages
  assert.ok(message.until >= before + 30_000, `${message.until} after ${before}`)
})

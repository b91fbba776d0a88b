'use strict'
// What a user sees of the job that waits for him: the pages in a browser, the work done by
// unmodified Celery.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { after, before, test } = require('node:test')
const { Broker, Celery, LIMIT_MS, PYTHON_SQS, api, browser, kill, open, seen } = require('./support')

const timeout = 3 * LIMIT_MS
let broker
let chrome
let celery

before(async () => {
  broker = await Broker.start()
  chrome = await browser()
  celery = new Celery({ BROKER_URL: `amqp://guest:guest@${broker.amqp}//` })
}, { timeout })

after(async () => {
  await celery?.close()
  await chrome?.close()
  await broker?.stop()
}, { timeout })

const pageOf = id => `http://${broker.http}/jobs/${encodeURIComponent(id)}`

async function put(queue, ...messages) {
  const answer = await api(broker, 'POST', `/v1/queues/${queue}/messages`, { messages })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
}

const message = id => ({ value: id, headers: { 'job-id': id } })

test('a task is queued, worked on, taken from a killed worker, and done, on one page', { timeout }, async () => {
  const go = celery.file('go')
  const id = celery.call('wait_for', go)
  const page = await open(chrome, pageOf(id))
  await seen(page, 'queued', 0)
  await page.evaluate(() => {
    window.mark = 'not loaded again'
  })
  const first = celery.worker()
  await seen(page, 'processing', 1)
  await page.getByText('processing (attempt 1)').waitFor()
  await kill(first)
  await seen(page, 'queued', 1)
  celery.worker()
  await seen(page, 'processing', 2)
  await page.getByText('processing (attempt 2)').waitFor()
  fs.writeFileSync(go, '')
  const told = await seen(page, 'done', 2)
  const states = told.map(([state, attempts]) => `${state} ${attempts}`)
  const distinct = states.filter((state, at) => state !== states[at - 1])
  assert.deepEqual(distinct, ['queued 0', 'processing 1', 'queued 1', 'processing 2', 'done 2'])
  assert.equal(await page.evaluate(() => window.mark), 'not loaded again')
  assert.equal(await page.locator('tbody tr').count(), 5, 'enqueued, two attempts, one of them ended, done')
  assert.deepEqual(page.errors, [])
  await page.context().close()
})

test('the same over SQS', { timeout }, async () => {
  const sqs = new Celery({ BROKER_URL: `sqs://test:secret@${broker.sqs}//` }, PYTHON_SQS)
  try {
    const go = sqs.file('go')
    // The first call makes the queue.
    sqs.call('wait_for', sqs.directory)
    const tracked = await api(broker, 'POST', '/v1/queues/celery-sqs/track', { track: true })
    assert.equal(tracked.status, 200, JSON.stringify(tracked.body))
    const id = sqs.call('wait_for', go)
    const page = await open(chrome, pageOf(id))
    await seen(page, 'queued', 0)
    const first = sqs.worker()
    await seen(page, 'processing', 1)
    await kill(first)
    await seen(page, 'queued', 1)
    sqs.worker()
    await seen(page, 'processing', 2)
    fs.writeFileSync(go, '')
    const told = await seen(page, 'done', 2)
    const states = told.map(([state, attempts]) => `${state} ${attempts}`)
    const wanted = ['queued 0', 'processing 1', 'queued 1', 'processing 2', 'done 2']
    let at = -1
    for (const state of wanted) {
      at = states.indexOf(state, at + 1)
      assert.notEqual(at, -1, `${state} in ${states}`)
    }
    await page.context().close()
  } finally {
    await sqs.close()
  }
})

test('a task that fails ends as dead-lettered with its reason', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'graves' })
  const id = celery.call('fail', 'as expected')
  const page = await open(chrome, pageOf(id))
  celery.worker()
  const told = await seen(page, 'dead-lettered', 1)
  assert.equal(told.at(-1)[2], 'rejected')
  await page.getByText('given up: rejected by its worker').waitFor()
  await page.context().close()
})

test('a token shows one job and nothing else', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'tokens' })
  await put('tokens', message('mine'), message('theirs'))
  const { body } = await api(broker, 'POST', '/v1/jobs/mine/token', {})
  const page = await open(chrome, `http://${broker.http}${body.page}`)
  await seen(page, 'queued', 0)
  assert.equal(await page.getByRole('button', { name: 'Cancel' }).isVisible(), false)
  const stolen = body.page.replace('/mine', '/theirs')
  const other = await open(chrome, `http://${broker.http}${stolen}`)
  await other.getByText('no such job, or no right to see it').waitFor()
  await page.context().close()
  await other.context().close()
})

test('progress, result and roll-up are shown as they come', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'steps', settings: { track: true } })
  await put('steps', message('parent'))
  const page = await open(chrome, pageOf('parent'))
  await api(broker, 'POST', '/v1/queues/steps/receive', { lock_ms: 600_000 })
  await api(broker, 'POST', '/v1/jobs/parent/progress', { percent: 40, message: 'encoding' })
  await page.getByText('encoding').waitFor()
  assert.equal(await page.getByRole('progressbar').first().getAttribute('value'), '40')
  const child = { value: 'c', headers: { 'job-id': 'child', 'job-parent': 'parent' } }
  await put('steps', child)
  await page.getByRole('heading', { name: 'What follows: 0 of 1 done' }).waitFor()
  await api(broker, 'POST', '/v1/jobs/parent/result', { result: '<img src=x onerror=alert(1)>', accept: true })
  await page.getByText('<img src=x').waitFor()
  await api(broker, 'POST', '/v1/queues/steps/receive', { accept: true })
  await page.getByRole('heading', { name: 'What follows: 1 of 1 done' }).waitFor()
  assert.deepEqual(page.errors, [], 'and what a worker says is never markup')
  await page.context().close()
})

test('the list follows by queue and state, and a job that waits can be cancelled', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'listed', settings: { track: true } })
  await put('listed', message('first'))
  const page = await open(chrome, `http://${broker.http}/jobs?queue=listed`)
  await page.getByRole('link', { name: 'first' }).waitFor()
  await put('listed', message('second'))
  await page.getByRole('link', { name: 'second' }).waitFor()
  await page.getByLabel('State').selectOption('cancelled')
  await page.getByText('No jobs.').waitFor()
  const one = await open(chrome, pageOf('first'))
  await one.getByRole('button', { name: 'Cancel' }).click()
  await seen(one, 'cancelled', 0)
  await page.getByRole('link', { name: 'first' }).waitFor()
  await page.context().close()
  await one.context().close()
})

test('the pages are accessible in light and dark, and fit 375 pixels', { timeout }, async () => {
  const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
  await api(broker, 'POST', '/v1/queues', { name: 'wide', settings: { track: true } })
  const long = 'a-rather-long-name-of-a-job-'.repeat(8)
  await put('wide', message(long))
  for (const colorScheme of ['light', 'dark']) {
    for (const url of [`http://${broker.http}/jobs`, pageOf(long)]) {
      const options = { colorScheme, viewport: { width: 375, height: 800 } }
      const page = await open(chrome, url, options)
      await page.getByText('queued').first().waitFor()
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() => window.axe.run())
      const broken = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)
      assert.deepEqual(broken, [], `${url} in ${colorScheme}`)
      const width = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(width <= 375, `${url} is ${width} pixels wide`)
      await page.context().close()
    }
  }
})

'use strict'
// What a user sees of the job that waits for him: the pages in a browser, the work done by
// unmodified Celery.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { Broker, Celery, LIMIT_MS, PYTHON_SQS, api, browser, kill, open, seen, sleep } = require('./support')

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

test('a refusal that is over soon is not the end of a page', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'patience' })
  await put('patience', message('patient'))
  const page = await open(chrome, `http://${broker.http}/jobs`)
  let refused = 0
  // As a proxy does while its broker starts: to the stream, and to whoever asks why there is none.
  await page.route('**/v1/jobs/patient', route => {
    refused += 1
    return refused <= 2 ? route.fulfill({ status: 503, body: '' }) : route.continue()
  })
  await page.goto(pageOf('patient'))
  await seen(page, 'queued', 0)
  assert.equal(refused, 3)
  await page.context().close()
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

test('what the broker itself makes follow is rolled up', { timeout }, async () => {
  for (const [name, on_done] of [['made', []], ['makes', ['made']]]) {
    await api(broker, 'POST', '/v1/queues', { name, settings: { track: true, on_done } })
  }
  await put('makes', message('maker'))
  const page = await open(chrome, pageOf('maker'))
  await seen(page, 'queued', 0)
  await api(broker, 'POST', '/v1/queues/makes/receive', { accept: true })
  await page.getByRole('heading', { name: 'What follows: 0 of 1 done' }).waitFor()
  await api(broker, 'POST', '/v1/queues/made/receive', { accept: true })
  await page.getByRole('heading', { name: 'What follows: 1 of 1 done' }).waitFor()
  await page.context().close()
})

test('the video pipeline is done although a worker is killed halfway', { timeout }, async () => {
  const script = path.join(__dirname, '../../examples/video-pipeline/pipeline.py')
  const server = `http://${broker.http}`
  const pipeline = spawn('python3', [script, '--server', server, '--seconds', '4'])
  let said = ''
  pipeline.stdout.on('data', data => {
    said += data
  })
  const ended = once(pipeline, 'exit')
  const tells = async pattern => {
    const deadline = Date.now() + LIMIT_MS
    while (!pattern.test(said)) {
      assert.ok(Date.now() < deadline && pipeline.exitCode === null, said)
      await sleep(50)
    }
    return pattern.exec(said)[1]
  }
  try {
    const worker = await tells(/worker captions (\d+)/)
    const url = await tells(/watch it: (\S+)/)
    const page = await open(chrome, url)
    await page.getByRole('heading', { name: 'What follows: 0 of 3 done' }).waitFor()
    const captions = await open(chrome, `${url}%2Fcaptions`)
    await seen(captions, 'processing', 1)
    process.kill(Number(worker), 'SIGKILL')
    await seen(captions, 'processing', 2)
    await page.getByRole('heading', { name: 'What follows: 3 of 3 done' }).waitFor()
    assert.deepEqual(await ended, [0, null], said)
    await page.context().close()
    await captions.context().close()
  } finally {
    if (pipeline.exitCode === null) pipeline.kill('SIGINT')
    await ended
  }
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
      await page.getByText('next in line').first().waitFor()
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

test('the pages are worked by keyboard, and focus stays where it is while jobs change', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'keys', settings: { track: true } })
  await put('keys', message('tabbed-first'), message('tabbed-second'))
  const page = await open(chrome, `http://${broker.http}/jobs`)
  const focused = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.name)
  await page.getByRole('link', { name: 'tabbed-first', exact: true }).waitFor()
  await page.keyboard.press('Tab')
  while ((await focused()) !== 'queue') await page.keyboard.press('Tab')
  await page.keyboard.type('keys')
  await page.keyboard.press('Tab')
  await page.waitForFunction(() => location.search === '?queue=keys' && document.querySelectorAll('tbody tr').length === 2)
  assert.equal(await page.evaluate(() => document.activeElement.name), 'state')
  await page.keyboard.press('Tab')
  assert.equal(await focused(), 'tabbed-second', 'the newest is the first in the list')
  await page.keyboard.press('Tab')
  assert.equal(await focused(), 'tabbed-first')
  await api(broker, 'POST', '/v1/queues/keys/receive', { lock_ms: 600_000 })
  await page.getByText('processing (attempt 1)').waitFor()
  assert.equal(await focused(), 'tabbed-first', 'its row has changed')
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
  assert.equal(outline, 'solid', 'and it is seen where the focus is')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/jobs/tabbed-first')
  await seen(page, 'processing', 1)
  await page.keyboard.press('Tab')
  while ((await focused()) !== 'Cancel') await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByText('to be cancelled').waitFor()
  await page.context().close()
})

test('a change of state is told to screen readers once, and everything has a name', { timeout }, async () => {
  await api(broker, 'POST', '/v1/queues', { name: 'spoken', settings: { track: true } })
  await put('spoken', message('spoken'))
  const page = await open(chrome, pageOf('spoken'))
  await seen(page, 'queued', 0)
  await page.getByRole('status').filter({ hasText: 'queued, next in line' }).waitFor()
  await page.evaluate(() => {
    window.said = []
    const status = document.querySelector('job-status').shadowRoot.querySelector('[role=status]')
    const tell = () => window.said.push(status.textContent)
    new MutationObserver(tell).observe(status, { childList: true, characterData: true, subtree: true })
  })
  await api(broker, 'POST', '/v1/queues/spoken/receive', { lock_ms: 600_000 })
  await seen(page, 'processing', 1)
  for (const percent of [10, 20, 30]) await api(broker, 'POST', '/v1/jobs/spoken/progress', { percent })
  await page.getByRole('progressbar', { name: 'Progress' }).waitFor()
  await api(broker, 'POST', '/v1/jobs/spoken/result', { result: 1, accept: true })
  await seen(page, 'done', 1)
  assert.deepEqual(await page.evaluate(() => window.said), ['processing (attempt 1)', 'done'])
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'spoken')
  const list = await open(chrome, `http://${broker.http}/jobs`)
  await list.getByRole('search').waitFor()
  assert.equal(await list.getByRole('textbox', { name: 'Queue' }).count(), 1)
  assert.equal(await list.getByRole('combobox', { name: 'State' }).count(), 1)
  for (const context of [page.context(), list.context()]) await context.close()
})

test('jobs in every state outlive kill -9', { timeout }, async () => {
  const own = await Broker.start()
  const post = async (path, body) => {
    const answer = await api(own, 'POST', path, body)
    assert.equal(answer.status, path === '/v1/queues' ? 201 : 200, JSON.stringify(answer.body))
    return answer.body
  }
  const states = async () => {
    const { body } = await api(own, 'GET', '/v1/jobs?limit=100')
    return Object.fromEntries(body.jobs.map(job => [job.id, [job.state, job.attempts]]))
  }
  await post('/v1/queues', { name: 'work', settings: { track: true } })
  const worked = ['done', 'dead', 'retried', 'locked']
  const put = messages => post('/v1/queues/work/messages', { messages })
  await put(worked.map(message))
  await post('/v1/queues/work/receive', { limit: 4, lock_ms: 3_600_000 })
  await post('/v1/jobs/done/result', { result: { n: 1 }, accept: true })
  await post('/v1/jobs/dead/fail', { error: 'broken' })
  await post('/v1/jobs/retried/fail', { error: 'not yet', retry: true, delay_ms: 3_600_000 })
  await post('/v1/jobs/locked/progress', { percent: 40 })
  await put([message('queued'), message('cancelled')])
  await put([{ ...message('scheduled'), delay_ms: 3_600_000 }])
  await post('/v1/jobs/cancelled/cancel', {})
  const expected = {
    done: ['done', 1],
    dead: ['dead-lettered', 1],
    retried: ['failed', 1],
    locked: ['processing', 1],
    queued: ['queued', 0],
    cancelled: ['cancelled', 0],
    scheduled: ['scheduled', 0],
  }
  assert.deepEqual(await states(), expected)
  for (let round = 0; round < 3; round++) {
    await own.kill()
    await own.start()
    assert.deepEqual(await states(), expected, `after kill ${round + 1}`)
  }
  const { body } = await api(own, 'GET', '/v1/jobs/locked')
  assert.equal(body.progress.percent, 40)
  await own.stop()
})

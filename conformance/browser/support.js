'use strict'
// A browser, a broker and Celery workers, each of which ends with its test.

const { spawn, execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { chromium } = require('playwright-core')
const { Broker } = require('../node/broker')

const PYTHON =
  process.env.TRAMLINE_PYTHON ?? path.join(__dirname, '../../.test-env/python-newest/bin/python')
const PYTHON_SQS =
  process.env.TRAMLINE_PYTHON_SQS ?? path.join(__dirname, '../../.test-env/python-sqs/bin/python')
const CHROMIUM = process.env.TRAMLINE_CHROMIUM ?? '/usr/bin/chromium'
// Waits end by what they wait for; this is for a machine that does much else.
const LIMIT_MS = 90_000
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Tells every event of `job-status` to the test, and that the page was not loaded again. */
const RECORDER = () => {
  window.seen = []
  document.addEventListener('job-change', event => {
    const { state, attempts, reason } = event.detail
    window.seen.push([state, attempts, reason])
  })
}

async function browser() {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGS, timeout: LIMIT_MS })
}

/** A page that remembers what its components told, and every error. */
async function open(chrome, url, options = {}) {
  const context = await chrome.newContext(options)
  const page = await context.newPage()
  page.setDefaultTimeout(LIMIT_MS)
  page.errors = []
  page.on('pageerror', error => page.errors.push(String(error)))
  page.on('console', message => {
    if (message.type() === 'error') page.errors.push(message.text())
  })
  await page.addInitScript(RECORDER)
  await page.goto(url)
  return page
}

/** What the page was told, once it has been told `state` at this attempt. */
async function seen(page, state, attempts) {
  await page.waitForFunction(
    ([state, attempts]) => window.seen.some(told => told[0] === state && told[1] === attempts),
    [state, attempts],
    { timeout: LIMIT_MS },
  )
  return page.evaluate(() => window.seen)
}

class Celery {
  constructor(environment, python = PYTHON) {
    this.python = python
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tramline-celery-'))
    this.environment = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment }
    this.workers = []
  }

  /** Calls a task; gives its id. */
  call(task, ...parameters) {
    const options = { cwd: __dirname, env: this.environment, encoding: 'utf8', timeout: LIMIT_MS }
    return execFileSync(this.python, ['tasks.py', task, ...parameters], options).trim()
  }

  /** A worker in one process, which is all gone when it is killed. */
  worker() {
    const log = fs.openSync(path.join(this.directory, 'worker.log'), 'a')
    const args = ['-m', 'celery', '-A', 'tasks', 'worker', '--pool=solo', '--loglevel=INFO']
    const options = { cwd: __dirname, env: this.environment, stdio: ['ignore', log, log] }
    const worker = spawn(this.python, [...args, '--without-gossip', '--without-mingle'], options)
    fs.closeSync(log)
    this.workers.push(worker)
    return worker
  }

  file(name) {
    return path.join(this.directory, name)
  }

  log() {
    return fs.readFileSync(this.file('worker.log'), 'utf8').slice(-3000)
  }

  async close() {
    for (const worker of this.workers) await kill(worker)
    fs.rmSync(this.directory, { recursive: true, force: true })
  }
}

async function kill(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** JSON from the broker's API. */
async function api(broker, method, path, body) {
  const init = { method, headers: { 'content-type': 'application/json' } }
  if (body !== undefined) init.body = JSON.stringify(body)
  const answer = await fetch(`http://${broker.http}${path}`, init)
  return { status: answer.status, body: await answer.json() }
}

module.exports = { Broker, Celery, LIMIT_MS, PYTHON_SQS, api, browser, kill, open, seen, sleep }

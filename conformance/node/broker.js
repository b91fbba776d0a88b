'use strict'
// A broker process: the real binary on a data directory of its own and free ports, which it keeps
// when it is started again, so that clients find it. It is stopped by its process id.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')

const BINARY = process.env.TRAMLINE_BINARY ?? path.join(__dirname, '../../target/release/tramline')
const READY_MS = 60_000
const STOP_MS = 60_000

class Broker {
  /** A broker with more settings, as TOML. */
  static async start(settings = '') {
    const broker = new Broker(settings)
    await broker.start()
    return broker
  }

  constructor(settings) {
    this.settings = settings
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tramline-'))
    this.kafka = '127.0.0.1:0'
    this.http = '127.0.0.1:0'
    this.amqp = '127.0.0.1:0'
    this.sqs = '127.0.0.1:0'
    // So that no broker is left behind where a test fails.
    process.on('exit', () => {
      if (this.isRunning()) this.process.kill('SIGKILL')
      fs.rmSync(this.directory, { recursive: true, force: true })
    })
  }

  async start() {
    const ready = path.join(this.directory, 'ready')
    const config = path.join(this.directory, 'tramline.toml')
    fs.rmSync(ready, { force: true })
    // No wait for further members: each test knows its own.
    const settings = `[groups]\ninitial_rebalance_delay = "0s"\n${this.settings}`
    fs.writeFileSync(config, settings)
    const log = fs.openSync(path.join(this.directory, 'log'), 'a')
    const args = [
      'serve',
      `--config=${config}`,
      `--data-dir=${path.join(this.directory, 'data')}`,
      `--listen-kafka=${this.kafka}`,
      `--listen-http=${this.http}`,
      `--listen-amqp=${this.amqp}`,
      `--listen-sqs=${this.sqs}`,
      `--ready-file=${ready}`,
    ]
    this.process = spawn(BINARY, args, { stdio: ['ignore', log, log] })
    this.process.unref()
    this.exited = new Promise(resolve => this.process.once('exit', resolve))
    fs.closeSync(log)
    const deadline = Date.now() + READY_MS
    while (!fs.existsSync(ready)) {
      if (!this.isRunning() || Date.now() > deadline) {
        this.process.kill('SIGKILL')
        throw new Error(`the broker did not start:\n${this.log()}`)
      }
      await sleep(10)
    }
    const { kafka, amqp, sqs, http } = JSON.parse(fs.readFileSync(ready, 'utf8'))
    Object.assign(this, { kafka, amqp, sqs, http })
  }

  /** A clean end; its exit code must be 0. */
  async stop() {
    this.process.kill('SIGTERM')
    await this.end()
    if (this.process.exitCode !== 0) {
      throw new Error(`exit code ${this.process.exitCode}:\n${this.log()}`)
    }
  }

  /** kill -9: nothing is written out first. */
  async kill() {
    if (!this.isRunning()) return
    this.process.kill('SIGKILL')
    await this.end()
  }

  async end() {
    this.process.ref()
    const isTooLate = sleep(STOP_MS, true, { ref: false })
    if ((await Promise.race([this.exited, isTooLate])) === true) {
      this.process.kill('SIGKILL')
      throw new Error(`the broker did not stop:\n${this.log()}`)
    }
  }

  isRunning() {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  log() {
    return fs.readFileSync(path.join(this.directory, 'log'), 'utf8').slice(-4000)
  }
}

module.exports = { Broker }

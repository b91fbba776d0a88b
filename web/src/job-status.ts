// <job-status job="ID" token="…" server="…">: shows what a job is, live, until it is over. Fires
// `job-change` with the job as its detail. Needs nothing but this file.

import { element, pathOf, sentence, type Job } from './api'

const STYLE = `
:host { display: block; font: inherit; color: inherit; }
.row { display: flex; gap: .6em; align-items: center; flex-wrap: wrap; }
.state { overflow-wrap: anywhere; }
.mark { inline-size: .8em; block-size: .8em; border-radius: 50%; flex: none; background: #6b7280; }
:host([state='processing']) .mark { background: #2563eb; }
:host([state='done']) .mark { background: #15803d; border-radius: 0; }
:host([state='failed']) .mark { background: #b45309; }
:host([state='dead-lettered']) .mark, :host([state='expired']) .mark { background: #b91c1c; transform: rotate(45deg); border-radius: 0; }
progress { inline-size: 100%; block-size: 1em; margin-block: .5em; accent-color: #2563eb; }
.note { margin: 0; opacity: .85; overflow-wrap: anywhere; }
[hidden] { display: none; }
`

/** How long a refusal is waited for that may be over by then. */
const AGAIN_MS = 3000

class JobStatus extends HTMLElement {
  static observedAttributes = ['job', 'token', 'server']

  #events: EventSource | null = null
  #again: ReturnType<typeof setTimeout> | undefined
  #state = element('span', { class: 'state', role: 'status', 'aria-live': 'polite' })
  #bar = element('progress', { max: '100', 'aria-label': 'Progress' })
  #note = element('p', { class: 'note' })

  constructor() {
    super()
    const root = this.attachShadow({ mode: 'open' })
    const style = new CSSStyleSheet()
    style.replaceSync(STYLE)
    root.adoptedStyleSheets = [style]
    const mark = element('span', { class: 'mark', 'aria-hidden': 'true' })
    root.append(element('div', { class: 'row' }, mark, this.#state), this.#bar, this.#note)
    this.#bar.hidden = true
  }

  connectedCallback(): void {
    this.#watch()
  }

  disconnectedCallback(): void {
    this.#stop()
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.#watch()
  }

  #stop(): void {
    clearTimeout(this.#again)
    this.#events?.close()
    this.#events = null
  }

  #watch(): void {
    this.#stop()
    const id = this.getAttribute('job')
    if (id === null || id === '') return
    const server = (this.getAttribute('server') ?? '').replace(/\/$/, '')
    const address = `${server}/v1/jobs/${pathOf(id, this.getAttribute('token'))}`
    const events = new EventSource(address)
    this.#events = events
    events.onmessage = event => this.#show(JSON.parse(event.data as string) as Job)
    events.onerror = () => {
      if (this.#events !== events) return
      // A lost connection is tried again by the browser itself, what is no stream is not.
      this.#note.textContent = 'connection lost, trying again'
      if (events.readyState === EventSource.CLOSED) void this.#refused(events, address)
    }
  }

  /** Says that there is nothing to be seen, or tries again where there may be. */
  async #refused(events: EventSource, address: string): Promise<void> {
    const asked = fetch(address, { headers: { accept: 'application/json' } })
    const status = await asked.then(answer => answer.status).catch(() => 0)
    if (this.#events !== events) return
    if (status === 403 || status === 404) {
      this.#note.textContent = ''
      this.#say('there is no such job, or no right to see it')
    } else {
      this.#again = setTimeout(() => this.#watch(), AGAIN_MS)
    }
  }

  #say(text: string): void {
    // A screen reader reads what changes: the same text is not set again.
    if (this.#state.textContent !== text) this.#state.textContent = text
  }

  #show(job: Job): void {
    this.setAttribute('state', job.state)
    this.#say(sentence(job))
    const percent = job.state === 'done' ? 100 : (job.progress?.percent ?? null)
    this.#bar.hidden = !(job.state === 'processing' || (percent !== null && !job.is_final))
    if (percent === null) this.#bar.removeAttribute('value')
    else this.#bar.value = percent
    const steps =
      job.progress?.total === undefined
        ? ''
        : `${job.progress.current ?? 0} of ${job.progress.total}`
    this.#note.textContent = job.is_final
      ? ''
      : [job.progress?.message ?? '', steps].filter(text => text !== '').join(' · ')
    const children = job.children
    const waits = children !== null && children.done + children.failed < children.total
    if (job.is_final && !waits) this.#stop()
    this.dispatchEvent(new CustomEvent<Job>('job-change', { detail: job, bubbles: true }))
  }
}

if (customElements.get('job-status') === undefined) {
  customElements.define('job-status', JobStatus)
}

// The page of all jobs: by queue and state, live.

import { ask, clock, element, pathOf, sentence, STATES, type Job, type JobList } from './api'

const ROWS_MAX = 500

export function showList(page: HTMLElement): void {
  document.title = 'Jobs'
  const wanted = new URLSearchParams(location.search)
  const queue = element('input', { name: 'queue', autocomplete: 'off', placeholder: 'any' })
  queue.value = wanted.get('queue') ?? ''
  const states = ['', ...STATES].map(state => element('option', { value: state }, state || 'any'))
  const state = element('select', { name: 'state' }, ...states)
  state.value = wanted.get('state') ?? ''
  const form = element(
    'form',
    { role: 'search' },
    element('label', {}, 'Queue ', queue),
    element('label', {}, 'State ', state),
  )
  const rows = element('tbody')
  const note = element('p', { role: 'status' })
  const more = element('button', { type: 'button' }, 'Older jobs')
  const names = ['Job', 'Queue', 'State', 'Attempts', 'Since']
  const head = element('tr', {}, ...names.map(name => element('th', { scope: 'col' }, name)))
  page.replaceChildren(
    element('h1', {}, 'Jobs'),
    form,
    element('table', {}, element('thead', {}, head), rows),
    note,
    element('p', {}, more),
  )
  const view = new View(rows, note, more)
  const apply = () => {
    const query = new URLSearchParams()
    if (queue.value !== '') query.set('queue', queue.value)
    if (state.value !== '') query.set('state', state.value)
    history.replaceState(null, '', `/jobs${query.size > 0 ? `?${query}` : ''}`)
    view.show(query, state.value)
  }
  form.addEventListener('submit', event => event.preventDefault())
  form.addEventListener('change', apply)
  apply()
}

class View {
  #events: EventSource | null = null
  #next: number | null = null
  #query = new URLSearchParams()
  #state = ''
  #rows: HTMLElement
  #note: HTMLElement
  #more: HTMLButtonElement
  #known = new Map<string, HTMLElement>()

  constructor(rows: HTMLElement, note: HTMLElement, more: HTMLButtonElement) {
    this.#rows = rows
    this.#note = note
    this.#more = more
    more.addEventListener('click', () => void this.#load())
  }

  show(query: URLSearchParams, state: string): void {
    this.#query = query
    this.#state = state
    this.#events?.close()
    const events = new EventSource(`/v1/jobs?${query}`)
    this.#events = events
    // What changes while the list comes is in it, or comes after it.
    events.onmessage = event => this.#change(JSON.parse(event.data as string) as Job)
    events.onopen = () => void this.#reload()
    events.addEventListener('resync', () => void this.#reload())
    events.onerror = () => {
      this.#note.textContent = 'connection lost, trying again'
    }
  }

  async #reload(): Promise<void> {
    this.#rows.replaceChildren()
    this.#known.clear()
    this.#next = null
    await this.#load()
  }

  async #load(): Promise<void> {
    const query = new URLSearchParams(this.#query)
    if (this.#next !== null) query.set('before', String(this.#next))
    try {
      const page = await ask<JobList>(`/v1/jobs?${query}`)
      for (const job of page.jobs) {
        if (this.#known.has(job.id)) continue
        const row = rowOf(job)
        this.#known.set(job.id, row)
        this.#rows.append(row)
      }
      this.#next = page.next
      this.#say()
    } catch (error) {
      this.#note.textContent = (error as Error).message
    }
  }

  #change(job: Job): void {
    const before = this.#known.get(job.id)
    if (this.#state !== '' && job.state !== this.#state) {
      before?.remove()
      this.#known.delete(job.id)
    } else {
      const row = before ?? rowOf(job)
      if (before !== undefined) refresh(before, job)
      else this.#rows.prepend(row)
      this.#known.set(job.id, row)
    }
    while (this.#rows.childElementCount > ROWS_MAX) {
      const last = this.#rows.lastElementChild as HTMLElement
      this.#known.delete(last.dataset['id'] ?? '')
      last.remove()
    }
    this.#say()
  }

  #say(): void {
    this.#more.hidden = this.#next === null
    this.#note.textContent = this.#known.size === 0 ? 'No jobs.' : ''
  }
}

function rowOf(job: Job): HTMLElement {
  const link = element('a', { href: `/jobs/${pathOf(job.id)}` }, job.id)
  const name = element('td', { 'data-label': 'Job' }, link)
  return element('tr', { 'data-id': job.id }, name, ...cellsOf(job))
}

/** Shows a job as it is; its link stays, and with it whoever has the focus there. */
function refresh(row: HTMLElement, job: Job): void {
  while (row.childElementCount > 1) row.lastElementChild?.remove()
  row.append(...cellsOf(job))
}

function cellsOf(job: Job): HTMLElement[] {
  const since = job.finished_at ?? job.started_at ?? job.enqueued_at
  const time = element('time', { datetime: new Date(since).toISOString() }, clock(since))
  const state = element('span', { class: `badge ${job.state}` }, sentence(job))
  return [
    element('td', { 'data-label': 'Queue' }, job.queue),
    element('td', { 'data-label': 'State' }, state),
    element('td', { 'data-label': 'Attempts' }, String(job.attempts)),
    element('td', { 'data-label': 'Since' }, time),
  ]
}

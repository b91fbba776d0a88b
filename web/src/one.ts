// The page of one job.

import { ask, clock, element, pathOf, REASONS, type Job } from './api'

export function showJob(page: HTMLElement, id: string, token: string | null): void {
  document.title = `Job ${id}`
  const status = element('job-status' as 'div', { job: id, ...(token ? { token } : {}) })
  const facts = element('dl')
  const attempts = element('tbody')
  const outcome = element('section', { 'aria-label': 'Outcome' })
  const relatives = element('section', { 'aria-label': 'Related jobs' })
  const cancel = element('button', { type: 'button' }, 'Cancel')
  const refused = element('p', { role: 'alert' })
  const outcomes = new Kept(outcome)
  const relations = new Relatives(relatives, token)
  cancel.hidden = true
  cancel.addEventListener('click', () => {
    ask(`/v1/jobs/${pathOf(id)}/cancel`, { method: 'POST' }).catch((error: Error) => {
      refused.textContent = error.message
    })
  })
  status.addEventListener('job-change', event => {
    const job = (event as CustomEvent<Job>).detail
    document.title = `${job.state} · job ${id}`
    facts.replaceChildren(...factsOf(job))
    attempts.replaceChildren(...timeLine(job))
    outcomes.show([job.error, job.result], () => outcomeOf(job))
    relations.show(job)
    // Who has a token may look, and no more.
    cancel.hidden = job.is_final || token !== null
  })
  const head = element('tr', {}, ...['What', 'When', 'Worker'].map(text => header(text)))
  page.replaceChildren(
    element('h1', {}, id),
    status,
    element('p', {}, cancel),
    refused,
    outcome,
    facts,
    relatives,
    element('h2', {}, 'Time line'),
    element('table', { class: 'times' }, element('thead', {}, head), attempts),
  )
}

/** A section that is made again only when what it shows is something else: focus stays. */
class Kept {
  #section: HTMLElement
  #shown = ''

  constructor(section: HTMLElement) {
    this.#section = section
  }

  show(what: unknown, make: () => HTMLElement[]): void {
    const text = JSON.stringify(what)
    if (text === this.#shown) return
    this.#shown = text
    this.#section.replaceChildren(...make())
  }
}

function header(text: string): HTMLElement {
  return element('th', { scope: 'col' }, text)
}

function factsOf(job: Job): HTMLElement[] {
  const facts: [string, string][] = [
    ['State', job.state],
    ['Queue', job.queue],
    ['Attempts', String(job.attempts)],
  ]
  if (job.worker !== null) facts.push(['Worker', job.worker])
  if (job.state === 'queued' && job.position !== null) {
    facts.push(['Before it', String(job.position)])
  }
  if (job.reason !== null) facts.push(['Reason', REASONS[job.reason] ?? job.reason])
  return facts.map(([name, value]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value)),
  )
}

function timeLine(job: Job): HTMLElement[] {
  const lines: [string, number, string][] = [['enqueued', job.enqueued_at, '']]
  for (const attempt of job.history) {
    const worker = attempt.worker ?? ''
    lines.push([`attempt ${attempt.attempt} began`, attempt.started_at, worker])
    const isLast = attempt === job.history[job.history.length - 1]
    if (attempt.ended_at !== null && !(isLast && job.is_final)) {
      lines.push([`attempt ${attempt.attempt} ended`, attempt.ended_at, worker])
    }
  }
  if (job.due_at !== null) lines.push([`${job.state} until`, job.due_at, ''])
  if (job.finished_at !== null) lines.push([job.state, job.finished_at, ''])
  return lines.map(([what, when, worker]) => {
    const time = element('time', { datetime: new Date(when).toISOString() }, clock(when))
    return element(
      'tr',
      {},
      element('td', { 'data-label': 'What' }, what),
      element('td', { 'data-label': 'When' }, time),
      element('td', { 'data-label': 'Worker' }, worker),
    )
  })
}

function outcomeOf(job: Job): HTMLElement[] {
  const shown: HTMLElement[] = []
  if (job.error !== null) {
    shown.push(element('h2', {}, 'Error'), element('pre', { class: 'error' }, job.error))
  }
  if (job.result !== null && job.result !== undefined) {
    const text = JSON.stringify(job.result, null, 2)
    shown.push(element('h2', {}, 'Result'), element('pre', { tabindex: '0' }, text))
  }
  return shown
}

/** The parent and the children of a job. */
class Relatives {
  #kept: Kept
  #token: string | null
  #heading = element('h2')
  #bar = element('progress', { 'aria-label': 'Jobs that follow' })

  constructor(section: HTMLElement, token: string | null) {
    this.#kept = new Kept(section)
    this.#token = token
  }

  show(job: Job): void {
    this.#kept.show([job.parent, job.children?.ids], () => this.#make(job))
    if (job.children === null) return
    const { total, done, failed } = job.children
    const failures = failed > 0 ? `, ${failed} failed` : ''
    this.#heading.textContent = `What follows: ${done} of ${total} done${failures}`
    this.#bar.max = total
    this.#bar.value = done + failed
  }

  #make(job: Job): HTMLElement[] {
    const made: HTMLElement[] = []
    const link = (id: string) => element('a', { href: `/jobs/${pathOf(id)}` }, id)
    // A token is for one job: the others are not shown by it.
    if (job.parent !== null && this.#token === null) {
      made.push(element('p', {}, 'Follows ', link(job.parent)))
    }
    if (job.children === null) return made
    made.push(this.#heading, this.#bar)
    if (this.#token === null) {
      const items = job.children.ids.map(id => {
        const status = element('job-status' as 'div', { job: id })
        return element('li', {}, link(id), status)
      })
      made.push(element('ul', {}, ...items))
    }
    return made
  }
}

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
    outcome.replaceChildren(...outcomeOf(job))
    relatives.replaceChildren(...relativesOf(job, token))
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

function relativesOf(job: Job, token: string | null): HTMLElement[] {
  const shown: HTMLElement[] = []
  const link = (id: string) => element('a', { href: `/jobs/${pathOf(id)}` }, id)
  // A token is for one job: the others are not shown by it.
  if (job.parent !== null && token === null) {
    shown.push(element('p', {}, 'Follows ', link(job.parent)))
  }
  if (job.children !== null) {
    const { ids, total, done, failed } = job.children
    const failures = failed > 0 ? `, ${failed} failed` : ''
    const bar = element('progress', {
      max: String(total),
      value: String(done + failed),
      'aria-label': 'Jobs that follow',
    })
    shown.push(element('h2', {}, `What follows: ${done} of ${total} done${failures}`), bar)
    if (token === null) {
      const items = ids.map(id => {
        const status = element('job-status' as 'div', { job: id })
        return element('li', {}, link(id), status)
      })
      shown.push(element('ul', {}, ...items))
    }
  }
  return shown
}

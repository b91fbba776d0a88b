// What the broker says of jobs, and how it is asked.

export interface Progress {
  percent?: number
  message?: string
  current?: number
  total?: number
  worker?: string
}

export interface Attempt {
  attempt: number
  started_at: number
  ended_at: number | null
  worker: string | null
}

export interface Job {
  id: string
  queue: string
  state: string
  is_final: boolean
  position: number | null
  attempts: number
  worker: string | null
  progress: Progress | null
  enqueued_at: number
  started_at: number | null
  due_at: number | null
  finished_at: number | null
  result: unknown
  error: string | null
  reason: string | null
  cancel_requested: boolean
  parent: string | null
  after: string[]
  children: { ids: string[]; total: number; done: number; failed: number } | null
  history: Attempt[]
}

export interface JobList {
  jobs: Job[]
  next: number | null
}

export const STATES = [
  'scheduled',
  'queued',
  'processing',
  'failed',
  'done',
  'dead-lettered',
  'expired',
  'cancelled',
]

/** Asks for JSON; an error has the broker's own words. */
export async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(path, { headers: { accept: 'application/json' }, ...init })
  const body: unknown = await answer.json().catch(() => null)
  if (answer.ok) return body as T
  const error = (body as { error?: { message?: string } } | null)?.error
  throw new Error(error?.message ?? `the broker answered ${answer.status}`)
}

export function pathOf(id: string, token: string | null = null): string {
  const query = token === null || token === '' ? '' : `?token=${encodeURIComponent(token)}`
  return `${encodeURIComponent(id)}${query}`
}

/** What a job is, in one line for people. */
export function sentence(job: Job): string {
  switch (job.state) {
    case 'scheduled':
      if (job.after.length > 0) return `waits for ${job.after.join(', ')}`
      return job.due_at === null ? 'scheduled' : `scheduled for ${clock(job.due_at)}`
    case 'queued':
      if (job.position === null) return 'queued'
      return job.position === 0 ? 'queued, next in line' : `queued, ${job.position} before it`
    case 'processing':
      return `processing (attempt ${job.attempts})${job.cancel_requested ? ', to be cancelled' : ''}`
    case 'failed':
      return job.due_at === null
        ? `failed (attempt ${job.attempts})`
        : `failed (attempt ${job.attempts}), next attempt at ${clock(job.due_at)}`
    case 'dead-lettered':
      return `given up: ${job.error ?? REASONS[job.reason ?? ''] ?? job.reason ?? 'no reason told'}`
    default:
      return job.state
  }
}

export const REASONS: Record<string, string> = {
  expired: 'its time to live was over',
  rejected: 'rejected by its worker',
  maxlen: 'its queue was full',
  delivery_limit: 'tried too often',
}

/** A time of day, with the date where that is not today. */
export function clock(millis: number): string {
  const time = new Date(millis)
  const today = new Date().toDateString() === time.toDateString()
  return today ? time.toLocaleTimeString() : time.toLocaleString()
}

/** An element with its children; texts are texts, never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

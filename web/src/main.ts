// One page for all jobs and for each: its address says which.

import './job-status'
import { showList } from './list'
import { showJob } from './one'

const page = document.getElementById('page')
const id = location.pathname.replace(/^\/jobs\/?/, '')
if (page !== null) {
  const token = new URLSearchParams(location.search).get('token')
  if (id === '') showList(page)
  else showJob(page, decodeURIComponent(id), token)
}

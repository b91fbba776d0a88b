//! `tramline job`: get, list, watch, cancel, token, track.

use super::{
    Stop,
    client::{Refused, escape},
    queue::ask,
    sse,
    table::{Table, cell, list, show},
    time,
};
use crate::arguments::{Asking, JobCommand, Output};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::{
    io::{self, BufReader, Write},
    time::Duration,
};
use ureq::http::Method;

const RECONNECT: Duration = Duration::from_secs(1);

pub(crate) fn run(command: JobCommand) -> anyhow::Result<()> {
    match command {
        JobCommand::Get { job, asking } => {
            show(asking.output, &ask(&asking)?.get(&path(&job, ""))?, describe)
        }
        JobCommand::List { queue, state, count, asking } => {
            let mut query = format!("?limit={count}");
            for (name, value) in [("queue", queue), ("state", state)] {
                if let Some(value) = value {
                    query.push_str(&format!("&{name}={}", escape(&value)));
                }
            }
            show(asking.output, &ask(&asking)?.get(&format!("/v1/jobs{query}"))?, table)
        }
        JobCommand::Watch { job, asking } => watch(&job, &asking),
        JobCommand::Cancel { jobs, asking } => {
            for job in &jobs {
                let answer = ask(&asking)?.json(Method::POST, &path(job, "/cancel"), None)?;
                show(asking.output, &answer, |answer| format!("job {job}: {}\n", line(answer)))?;
            }
            Ok(())
        }
        JobCommand::Token { job, lasts_ms, asking } => {
            let client = ask(&asking)?;
            let body = json!({ "lasts_ms": lasts_ms });
            let answer = client.json(Method::POST, &path(&job, "/token"), Some(&body))?;
            let server = asking.client.server.trim_end_matches('/');
            show(asking.output, &answer, |answer| {
                let expires = time::format(answer["expires_at"].as_i64().unwrap_or(-1));
                format!("{server}{}\ngood until {expires}\n", cell(&answer["page"]))
            })
        }
        JobCommand::Track { queue, result_ttl_ms, on_done, off, asking } => {
            let mut body = json!({ "track": !off, "result_ttl_ms": result_ttl_ms });
            if let Some(queues) = on_done {
                body["on_done"] = queues.into_iter().filter(|queue| !queue.is_empty()).collect();
            }
            let path = format!("/v1/queues/{}/track", escape(&queue));
            let answer = ask(&asking)?.json(Method::POST, &path, Some(&body))?;
            show(asking.output, &answer, |_| {
                let what = if off { "are no jobs any more" } else { "are jobs from here on" };
                format!("messages of queue {queue} {what}\n")
            })
        }
    }
}

fn path(job: &str, rest: &str) -> String {
    format!("/v1/jobs/{}{rest}", escape(job))
}

fn text<'a>(job: &'a Value, name: &str) -> &'a str {
    job[name].as_str().unwrap_or_default()
}

/// What a job is, in one line.
fn line(job: &Value) -> String {
    let mut parts = vec![text(job, "state").to_owned()];
    if let Some(before) = job["position"].as_u64() {
        parts.push(format!("{before} before it"));
    }
    if job["attempts"].as_u64() > Some(0) {
        parts.push(format!("attempt {}", job["attempts"]));
    }
    // What was said last of one that is done is behind it.
    if text(job, "state") != "done" {
        let progress = &job["progress"];
        parts.extend(progress["percent"].as_f64().map(|percent| format!("{percent} %")));
        parts.extend(progress["message"].as_str().map(str::to_owned));
    }
    if job["cancel_requested"] == true && job["is_final"] == false {
        parts.push("to be cancelled".to_owned());
    }
    parts.extend(["reason", "error"].into_iter().filter_map(|name| {
        let said = job[name].as_str()?;
        Some(said.to_owned())
    }));
    parts.join(", ")
}

fn describe(job: &Value) -> String {
    let at = |name: &str| job[name].as_i64().map_or_else(|| "-".to_owned(), time::format);
    let mut out =
        format!("job {} of queue {}\n{}\n", text(job, "id"), text(job, "queue"), line(job));
    for (what, name) in [("enqueued", "enqueued_at"), ("due", "due_at"), ("over", "finished_at")] {
        if job[name].is_i64() {
            out.push_str(&format!("{what} {}\n", at(name)));
        }
    }
    if !job["result"].is_null() {
        out.push_str(&format!("result {}\n", job["result"]));
    }
    let mut attempts = Table::new(["attempt", "began", "ended", "worker"]);
    for attempt in list(job, "history") {
        let at = |name: &str| attempt[name].as_i64().map_or_else(|| "-".to_owned(), time::format);
        let (number, worker) = (cell(&attempt["attempt"]), cell(&attempt["worker"]));
        attempts.row([number, at("started_at"), at("ended_at"), worker]);
    }
    format!("{out}\n{}", attempts.render())
}

fn table(jobs: &Value) -> String {
    let mut table = Table::new(["job", "queue", "state", "enqueued"]);
    for job in list(jobs, "jobs") {
        let enqueued = time::format(job["enqueued_at"].as_i64().unwrap_or(-1));
        table.row([cell(&job["id"]), cell(&job["queue"]), line(job), enqueued]);
    }
    table.render()
}

/// Follows a job over lost connections until it is over.
fn watch(id: &str, asking: &Asking) -> anyhow::Result<()> {
    let client = ask(asking)?;
    let mut shown = String::new();
    let mut connected = false;
    loop {
        let body = match client.events(&path(id, ""), None) {
            Ok(body) => body,
            Err(error) if !connected || error.is::<Refused>() => return Err(error),
            Err(_) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the command line waits in real time"
                )]
                std::thread::sleep(RECONNECT);
                continue;
            }
        };
        connected = true;
        let mut stream = BufReader::new(body.into_reader());
        while let Ok(Some(event)) = sse::next(&mut stream) {
            if event.data.is_empty() {
                continue;
            }
            let job: Value = serde_json::from_str(&event.data)
                .with_context(|| format!("the broker sent `{}`", event.data))?;
            let said = if asking.output == Output::Json { event.data.clone() } else { line(&job) };
            if said != shown {
                writeln!(io::stdout(), "{said}").map_err(|_| Stop)?;
                shown = said;
            }
            if job["is_final"] == true {
                return match text(&job, "state") {
                    "done" => Ok(()),
                    state => bail!("job {id} is {state}"),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_matters() {
        let job = json!({ "state": "queued", "position": 3, "attempts": 0 });
        assert_eq!(line(&job), "queued, 3 before it");
        let progress = json!({ "percent": 12.5, "message": "encoding" });
        let job = json!({ "state": "processing", "attempts": 2, "progress": progress,
            "cancel_requested": true, "is_final": false });
        assert_eq!(line(&job), "processing, attempt 2, 12.5 %, encoding, to be cancelled");
        let progress = json!({ "percent": 95, "message": "encoding" });
        let job = json!({ "state": "done", "attempts": 1, "progress": progress, "is_final": true });
        assert_eq!(line(&job), "done, attempt 1");
        let job = json!({ "state": "dead-lettered", "attempts": 1, "reason": "rejected",
            "error": "no such file", "is_final": true });
        assert_eq!(line(&job), "dead-lettered, attempt 1, rejected, no such file");
    }
}

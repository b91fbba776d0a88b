//! `tramline queue`: declare, list, describe, put, get, peek, remove, deliver, redrive, purge,
//! delete.

use super::{
    client::{Client, escape},
    confirm::confirm,
    table::{Table, cell, list, show},
    time,
};
use crate::arguments::{
    Asking, Only, QueueCommand, QueueGet, QueuePlaces, QueuePut, QueueRedrive, QueueReplay, Start,
};
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::time::Duration;
use ureq::http::Method;

/// How often the progress of a redrive is looked at.
const POLL: Duration = Duration::from_millis(200);

pub(crate) fn run(command: QueueCommand) -> anyhow::Result<()> {
    match command {
        QueueCommand::Declare { queue, topic, start, settings, asking } => {
            let mut settings: Map<String, Value> =
                settings.iter().map(|pair| (pair.name.clone(), typed(&pair.value))).collect();
            if let Some(topic) = &topic {
                settings.insert("topic".to_owned(), Value::from(topic.as_str()));
                settings.insert("start".to_owned(), Value::from(start_name(start)));
            }
            let body = json!({ "name": queue, "settings": settings });
            let answer = ask(&asking)?.json(Method::POST, "/v1/queues", Some(&body))?;
            show(asking.output, &answer, |_| match &topic {
                Some(topic) => format!("subscription {queue} to topic {topic} is there\n"),
                None => format!("queue {queue} is there\n"),
            })
        }
        QueueCommand::List { asking } => {
            show(asking.output, &ask(&asking)?.get("/v1/queues")?, list_table)
        }
        QueueCommand::Describe { queue, asking } => {
            show(asking.output, &ask(&asking)?.get(&path(&queue, ""))?, describe_text)
        }
        QueueCommand::Put(arguments) => put(&arguments),
        QueueCommand::Get(arguments) => get(&arguments),
        QueueCommand::Peek { queue, count, from, only, asking } => {
            let query = [
                ("from", from),
                ("key", only.key),
                ("header", only.header),
                ("since", only.since_ms.map(|at| at.to_string())),
                ("before", only.before_ms.map(|at| at.to_string())),
                ("died_in", only.died_in),
                ("reason", only.reason),
            ];
            let given = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let query: String =
                given.map(|(name, value)| format!("&{name}={}", escape(&value))).collect();
            let path = path(&queue, &format!("/messages?limit={count}{query}"));
            show(asking.output, &ask(&asking)?.get(&path)?, peek_table)
        }
        QueueCommand::Remove(of) => each(&of, (Method::DELETE, ""), "removed"),
        QueueCommand::Deliver(of) => each(&of, (Method::POST, "/deliver"), "can be delivered"),
        QueueCommand::Redrive(arguments) => redrive(&arguments),
        QueueCommand::Replay(arguments) => replay(&arguments),
        QueueCommand::Purge { queue, yes, asking } => {
            confirm(&format!("drop every ready message of queue {queue}?"), yes)?;
            let answer = ask(&asking)?.json(Method::POST, &path(&queue, "/purge"), None)?;
            show(asking.output, &answer, |answer| {
                format!("dropped {} messages of queue {queue}\n", answer["messages"])
            })
        }
        QueueCommand::Delete { queues, if_empty, if_unused, yes, asking } => {
            confirm(&format!("delete {} with everything in it?", queues.join(", ")), yes)?;
            let client = ask(&asking)?;
            for queue in &queues {
                let query = format!("?if_empty={if_empty}&if_unused={if_unused}");
                let answer = client.json(Method::DELETE, &path(queue, &query), None)?;
                show(asking.output, &answer, |answer| {
                    format!("deleted queue {queue} with {} messages\n", answer["messages"])
                })?;
            }
            Ok(())
        }
    }
}

pub(super) fn ask(asking: &Asking) -> anyhow::Result<Client> {
    Client::new(&asking.client)
}

const fn start_name(start: Start) -> &'static str {
    match start {
        Start::Earliest => "earliest",
        Start::Latest => "latest",
    }
}

fn path(queue: &str, rest: &str) -> String {
    format!("/v1/queues/{}{rest}", escape(queue))
}

/// Numbers and truth values stand for themselves, everything else for its text.
pub(super) fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_))) => value,
        _ => Value::from(text),
    }
}

fn list_table(queues: &Value) -> String {
    let columns = ["name", "topic", "ready", "locked", "delayed", "consumers", "bytes_ready"];
    let heads = ["queue", "topic", "ready", "locked", "delayed", "consumers", "bytes"];
    let mut table = Table::new(heads);
    for queue in list(queues, "queues") {
        table.row(columns.map(|name| cell(&queue[name])));
    }
    table.render()
}

fn describe_text(queue: &Value) -> String {
    let created = time::format(queue["created"].as_i64().unwrap_or(-1));
    let of_topic = match &queue["topic"] {
        Value::Null => String::new(),
        topic => format!(", subscription to topic {}", cell(topic)),
    };
    let head = format!(
        "queue {}{of_topic}\ncreated {created}, durable: {}, exclusive: {}\n",
        cell(&queue["name"]),
        queue["durable"],
        queue["exclusive"],
    );
    let mut counts = Table::new(["ready", "locked", "delayed", "deferred", "consumers", "bytes"]);
    counts.row(
        ["ready", "locked", "delayed", "deferred", "consumers", "bytes_ready"]
            .map(|name| cell(&queue[name])),
    );
    let mut settings = Table::new(["setting", "value"]);
    for (name, value) in queue["settings"].as_object().into_iter().flatten() {
        settings.row([name.clone(), cell(value)]);
    }
    let bindings = binding_table(list(queue, "bindings"));
    format!("{head}\n{}\n{}\n{bindings}", counts.render(), settings.render())
}

/// Bindings as lines.
pub(super) fn binding_table(bindings: &[Value]) -> String {
    let mut table = Table::new(["source", "to", "key", "arguments"]);
    for binding in bindings {
        let to = match (&binding["queue"], &binding["exchange"]) {
            (Value::Null, exchange) => format!("exchange {}", cell(exchange)),
            (queue, _) => format!("queue {}", cell(queue)),
        };
        let key = cell(&binding["key"]);
        table.row([cell(&binding["source"]), to, key, cell(&binding["arguments"])]);
    }
    table.render()
}

fn put(arguments: &QueuePut) -> anyhow::Result<()> {
    let headers: Map<String, Value> = arguments
        .headers
        .iter()
        .map(|pair| (pair.name.clone(), Value::from(pair.value.clone())))
        .collect();
    let message = |value: &String| {
        json!({
            "value": value,
            "headers": headers,
            "priority": arguments.priority,
            "delay_ms": arguments.delay_ms,
            "ttl_ms": arguments.ttl_ms,
            "group": arguments.group,
            "deduplication_id": arguments.deduplication_id,
        })
    };
    let messages: Vec<Value> = arguments.values.iter().map(message).collect();
    let count = messages.len();
    let body = json!({ "messages": messages });
    let asking = &arguments.asking;
    let path = path(&arguments.queue, "/messages");
    let answer = ask(asking)?.json(Method::POST, &path, Some(&body))?;
    let queue = &arguments.queue;
    show(asking.output, &answer, |_| format!("put {count} messages into queue {queue}\n"))
}

/// Asks for each place by itself.
fn each(of: &QueuePlaces, (method, rest): (Method, &str), done: &str) -> anyhow::Result<()> {
    let client = ask(&of.asking)?;
    for place in &of.places {
        let path = path(&of.queue, &format!("/messages/{}{rest}", escape(place)));
        client.json(method.clone(), &path, None)?;
        show(of.asking.output, &json!({ "place": place }), |_| format!("{place} {done}\n"))?;
    }
    Ok(())
}

/// Prints messages under their locks: what could not be printed comes again.
fn get(arguments: &QueueGet) -> anyhow::Result<()> {
    let asking = &arguments.asking;
    let client = ask(asking)?;
    let request = match arguments.places.is_empty() {
        true => json!({ "limit": arguments.count, "wait_ms": arguments.wait_ms }),
        false => json!({ "places": arguments.places }),
    };
    let receive = path(&arguments.queue, "/receive");
    let answer = client.json(Method::POST, &receive, Some(&request))?;
    let messages = list(&answer, "messages");
    if messages.is_empty() {
        bail!("nothing is ready in queue {}", arguments.queue);
    }
    let shown = show(asking.output, &answer, |_| messages.iter().map(message_text).collect());
    let outcome = if arguments.release || shown.is_err() { "release" } else { "accept" };
    let settle = |message: &Value| json!({ "token": message["token"], "outcome": outcome });
    let body = json!({ "settles": messages.iter().map(settle).collect::<Vec<Value>>() });
    client.json(Method::POST, &path(&arguments.queue, "/settle"), Some(&body))?;
    shown
}

fn peek_table(page: &Value) -> String {
    let mut table = Table::new(["place", "state", "deliveries", "enqueued", "value"]);
    for message in list(page, "messages") {
        let [place, state, deliveries] =
            ["place", "state", "deliveries"].map(|name| cell(&message[name]));
        let enqueued = message["enqueued_at"].as_i64().map_or_else(String::new, time::format);
        table.row([
            place,
            state,
            deliveries,
            enqueued,
            message_text(message).trim_end().to_owned(),
        ]);
    }
    let next = match &page["next"] {
        Value::Null => String::new(),
        next => format!("more from {}\n", cell(next)),
    };
    format!("{}{next}", table.render())
}

fn meant(only: &Only) -> Value {
    json!({
        "key": only.key, "header": only.header, "since": only.since_ms, "before": only.before_ms,
        "died_in": only.died_in, "reason": only.reason,
    })
}

fn replay(arguments: &QueueReplay) -> anyhow::Result<()> {
    let QueueReplay { queue, to, only, dry_run, asking } = arguments;
    let body = json!({ "to": to, "only": meant(only), "dry_run": dry_run });
    let answer = ask(asking)?.json(Method::POST, &path(queue, "/replay"), Some(&body))?;
    let into = to.as_ref().unwrap_or(queue);
    show(asking.output, &answer, |answer| match dry_run {
        true => format!("{} messages are kept for queue {into}\n", answer["messages"]),
        false => format!("{} messages are in queue {into} again\n", answer["messages"]),
    })
}

fn redrive(arguments: &QueueRedrive) -> anyhow::Result<()> {
    let asking = &arguments.asking;
    let client = ask(asking)?;
    let path = path(&arguments.queue, "/redrives");
    if arguments.status || arguments.cancel {
        let method = if arguments.cancel { Method::DELETE } else { Method::GET };
        return show(asking.output, &client.json(method, &path, None)?, redrive_table);
    }
    let only = meant(&arguments.only);
    let mut body = json!({ "to": arguments.to, "per_second": arguments.per_second, "only": only });
    if arguments.dry_run {
        body["dry_run"] = Value::Bool(true);
        return show(asking.output, &client.json(Method::POST, &path, Some(&body))?, |count| {
            format!("{} would move, {} stay\n", count["would_move"], count["left_behind"])
        });
    }
    let mut redrive = client.json(Method::POST, &path, Some(&body))?;
    while !arguments.detach && matches!(redrive["state"].as_str(), Some("running" | "cancelling")) {
        #[expect(clippy::disallowed_methods, reason = "the command line waits in real time")]
        std::thread::sleep(POLL);
        let answer = client.get(&path)?;
        let id = redrive["id"].clone();
        let same = list(&answer, "redrives").iter().find(|other| other["id"] == id);
        redrive = same
            .context("the broker does not know it any more: what has not moved is there still")?
            .clone();
    }
    let redrives = json!({ "redrives": [redrive] });
    show(asking.output, &redrives, redrive_table)?;
    let redrive = &redrives["redrives"][0];
    if redrive["state"] == "failed" {
        bail!("{}", cell(&redrive["error"]));
    }
    Ok(())
}

fn redrive_table(redrives: &Value) -> String {
    let columns = ["state", "moved", "total", "left_behind", "to"];
    let mut table = Table::new(["state", "moved", "of", "left behind", "to"]);
    for redrive in list(redrives, "redrives") {
        table.row(columns.map(|name| cell(&redrive[name])));
    }
    table.render()
}

fn message_text(message: &Value) -> String {
    let value = match &message["value"] {
        Value::Null => cell(&message["value_base64"]),
        value => cell(value),
    };
    let name = |header: &Value| format!("{}={}", cell(&header["name"]), cell(&header["value"]));
    let headers: Vec<String> = list(message, "headers").iter().map(name).collect();
    let again = if message["redelivered"] == true { " redelivered" } else { "" };
    match headers.is_empty() {
        true => format!("{value}{again}\n"),
        false => format!("{value}{again} [{}]\n", headers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_numbers_where_they_look_like_it() {
        assert_eq!(typed("60000"), json!(60_000));
        assert_eq!(typed("true"), json!(true));
        assert_eq!(typed("[1,2]"), json!([1, 2]));
        assert_eq!(typed("drop-head"), json!("drop-head"));
        assert_eq!(typed(""), json!(""));
        assert_eq!(typed("null"), json!("null"));
    }
}

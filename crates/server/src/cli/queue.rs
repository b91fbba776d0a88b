//! `tramline queue`: declare, list, describe, put, get, purge, delete.

use super::{
    client::{Client, escape},
    confirm::confirm,
    table::{Table, cell, list, show},
    time,
};
use crate::arguments::{Asking, QueueCommand, QueueGet, QueuePut};
use anyhow::bail;
use serde_json::{Map, Value, json};
use ureq::http::Method;

pub(crate) fn run(command: QueueCommand) -> anyhow::Result<()> {
    match command {
        QueueCommand::Declare { queue, settings, asking } => {
            let settings: Map<String, Value> =
                settings.iter().map(|pair| (pair.name.clone(), typed(&pair.value))).collect();
            let body = json!({ "name": queue, "settings": settings });
            let answer = ask(&asking)?.json(Method::POST, "/v1/queues", Some(&body))?;
            show(asking.output, &answer, |_| format!("queue {queue} is there\n"))
        }
        QueueCommand::List { asking } => {
            show(asking.output, &ask(&asking)?.get("/v1/queues")?, list_table)
        }
        QueueCommand::Describe { queue, asking } => {
            show(asking.output, &ask(&asking)?.get(&path(&queue, ""))?, describe_text)
        }
        QueueCommand::Put(arguments) => put(&arguments),
        QueueCommand::Get(arguments) => get(&arguments),
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
    let columns = ["ready", "locked", "delayed", "consumers", "bytes_ready"];
    let mut table = Table::new(["queue", "ready", "locked", "delayed", "consumers", "bytes"]);
    for queue in list(queues, "queues") {
        let [ready, locked, delayed, consumers, bytes] = columns.map(|name| cell(&queue[name]));
        table.row([cell(&queue["name"]), ready, locked, delayed, consumers, bytes]);
    }
    table.render()
}

fn describe_text(queue: &Value) -> String {
    let created = time::format(queue["created"].as_i64().unwrap_or(-1));
    let head = format!(
        "queue {}\ncreated {created}, durable: {}, exclusive: {}\n",
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

fn get(arguments: &QueueGet) -> anyhow::Result<()> {
    let asking = &arguments.asking;
    let client = ask(asking)?;
    let request = json!({
        "limit": arguments.count,
        "wait_ms": arguments.wait_ms,
        "accept": !arguments.release,
    });
    let receive = path(&arguments.queue, "/receive");
    let answer = client.json(Method::POST, &receive, Some(&request))?;
    let messages = list(&answer, "messages");
    if messages.is_empty() {
        bail!("nothing is ready in queue {}", arguments.queue);
    }
    show(asking.output, &answer, |_| messages.iter().map(message_text).collect())?;
    if arguments.release {
        let release = |message: &Value| json!({ "token": message["token"], "outcome": "release" });
        let settles: Vec<Value> = messages.iter().map(release).collect();
        let body = json!({ "settles": settles });
        client.json(Method::POST, &path(&arguments.queue, "/settle"), Some(&body))?;
    }
    Ok(())
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

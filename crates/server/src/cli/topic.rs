//! `tramline topic`: create, list, describe, alter, delete.

use super::{
    client::{Client, escape, exists_already},
    confirm::confirm,
    table::{Table, cell, list, print, show},
    time,
};
use crate::arguments::{Asking, Order, Output, TopicAlter, TopicCommand, TopicCreate};
use serde_json::{Map, Value, json};
use ureq::http::Method;

pub(crate) fn run(command: TopicCommand) -> anyhow::Result<()> {
    match command {
        TopicCommand::Create(arguments) => create(&arguments),
        TopicCommand::List { asking: Asking { client, output } } => {
            let topics = Client::new(&client)?.get("/v1/topics")?;
            show(output, &topics, list_table)
        }
        TopicCommand::Describe { topic, all, asking: Asking { client, output } } => {
            let path = format!("/v1/topics/{}", escape(&topic));
            let description = Client::new(&client)?.get(&path)?;
            show(output, &description, |description| describe_text(description, all))
        }
        TopicCommand::Alter(arguments) => alter(&arguments),
        TopicCommand::Delete { topics, yes, asking: Asking { client, output } } => {
            let client = Client::new(&client)?;
            delete(&client, &topics, yes, output)
        }
    }
}

fn create(arguments: &TopicCreate) -> anyhow::Result<()> {
    let mut settings: Map<String, Value> = arguments
        .settings
        .iter()
        .map(|pair| (pair.name.clone(), Value::from(pair.value.clone())))
        .collect();
    match arguments.order {
        None => {}
        Some(Order::Partition) => drop(settings.insert("order".to_owned(), "partition".into())),
        Some(Order::Total) => drop(settings.insert("order".to_owned(), "total".into())),
    }
    let body = json!({
        "name": arguments.topic,
        "partitions": arguments.partitions,
        "settings": settings,
        "dry_run": arguments.dry_run,
    });
    let client = Client::new(&arguments.asking.client)?;
    let topic = &arguments.topic;
    match client.json(Method::POST, "/v1/topics", Some(&body)) {
        Err(error) if arguments.if_not_exists && exists_already(&error) => {
            let found = client.get(&format!("/v1/topics/{}", escape(topic)))?;
            show(arguments.asking.output, &found, |_| format!("topic {topic} exists already\n"))
        }
        created => show(arguments.asking.output, &created?, |created| {
            let verb = if arguments.dry_run { "could create" } else { "created" };
            format!("{verb} topic {topic}, partitions: {}\n", created["partitions"])
        }),
    }
}

fn list_table(topics: &Value) -> String {
    let mut table = Table::new(["topic", "partitions", "copies", "created"]);
    for topic in list(topics, "topics") {
        table.row([
            cell(&topic["name"]),
            cell(&topic["partitions"]),
            cell(&topic["copies"]),
            time::format(topic["created"].as_i64().unwrap_or(-1)),
        ]);
    }
    table.render()
}

fn describe_text(topic: &Value, all: bool) -> String {
    let mut partitions = Table::new(["partition", "log start", "high watermark", "bytes"]);
    for partition in list(topic, "partition_list") {
        partitions.row(
            ["partition", "log_start", "high_watermark", "bytes"]
                .map(|name| cell(&partition[name])),
        );
    }
    let mut settings = Table::new(["setting", "value", "source"]);
    let mut count = 0;
    for setting in list(topic, "settings") {
        if all || setting["source"] != "default" {
            settings.row(["name", "value", "source"].map(|name| cell(&setting[name])));
            count += 1;
        }
    }
    let created = time::format(topic["created"].as_i64().unwrap_or(-1));
    let mut head = format!(
        "topic {}\nid {}, created {created}, copies: {}\n",
        cell(&topic["name"]),
        cell(&topic["id"]),
        topic["copies"],
    );
    head.push_str(&format!("kept: {}\n", retention(&topic["retention"])));
    if let Some(view) = topic["ordered_view"].as_str() {
        head.push_str(&format!("in one order over all partitions as {view}\n"));
    }
    if let Some(of) = topic["view_of"].as_str() {
        head.push_str(&format!("read-only: the ordered view of {of}\n"));
    }
    let subscriptions: Vec<String> = list(topic, "subscriptions").iter().map(cell).collect();
    if !subscriptions.is_empty() {
        head.push_str(&format!("subscriptions: {}\n", subscriptions.join(", ")));
    }
    let settings = match count {
        0 => "every setting has its default; --all shows them\n".to_owned(),
        _ => settings.render(),
    };
    format!("{head}\n{}\n{settings}", partitions.render())
}

/// What is kept of a topic.
fn retention(retention: &Value) -> String {
    let policy = retention["cleanup_policy"].as_str().unwrap_or_default();
    let mut kept = Vec::new();
    if policy.contains("compact") {
        kept.push("the latest record of each key".to_owned());
    }
    if policy.contains("delete") {
        let ms = retention["ms"].as_u64();
        kept.push(ms.map_or_else(|| "for ever".to_owned(), |ms| format!("for {}", time::span(ms))));
    }
    if let Some(bytes) = retention["bytes"].as_u64() {
        kept.push(format!("up to {bytes} bytes per partition"));
    }
    kept.join(", ")
}

fn alter(arguments: &TopicAlter) -> anyhow::Result<()> {
    let mut settings = Map::new();
    for pair in &arguments.settings {
        settings.insert(pair.name.clone(), Value::from(pair.value.clone()));
    }
    for name in &arguments.resets {
        settings.insert(name.clone(), Value::Null);
    }
    let body = json!({
        "partitions": arguments.partitions,
        "settings": settings,
        "dry_run": arguments.dry_run,
    });
    let path = format!("/v1/topics/{}", escape(&arguments.topic));
    let topic = Client::new(&arguments.asking.client)?.json(Method::PATCH, &path, Some(&body))?;
    show(arguments.asking.output, &topic, |topic| {
        if arguments.dry_run {
            format!("topic {} could be changed so\n", arguments.topic)
        } else {
            format!("changed topic {}\n\n{}", arguments.topic, describe_text(topic, false))
        }
    })
}

fn delete(client: &Client, topics: &[String], yes: bool, output: Output) -> anyhow::Result<()> {
    let many = if topics.len() == 1 { "topic" } else { "topics" };
    confirm(&format!("delete {many} {} with all messages?", topics.join(", ")), yes)?;
    for topic in topics {
        client.json(Method::DELETE, &format!("/v1/topics/{}", escape(topic)), None)?;
        if output == Output::Table {
            print(&format!("deleted topic {topic}\n"))?;
        }
    }
    if output == Output::Json {
        show(output, &json!({ "deleted": topics }), |_| String::new())?;
    }
    Ok(())
}

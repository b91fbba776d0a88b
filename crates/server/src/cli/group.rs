//! `tramline group`: list, describe, lag, reset-offsets, delete.

use super::{
    client::{Client, escape},
    confirm::confirm,
    table::{Table, cell, list, print, show},
};
use crate::arguments::{Asking, GroupCommand, GroupReset, Output};
use serde_json::{Value, json};
use ureq::http::Method;

pub(crate) fn run(command: GroupCommand) -> anyhow::Result<()> {
    match command {
        GroupCommand::List { asking: Asking { client, output } } => {
            let groups = Client::new(&client)?.get("/v1/groups")?;
            show(output, &groups, list_table)
        }
        GroupCommand::Describe { group, asking: Asking { client, output } } => {
            let path = format!("/v1/groups/{}", escape(&group));
            let description = Client::new(&client)?.get(&path)?;
            show(output, &description, describe_text)
        }
        GroupCommand::Lag { group, asking: Asking { client, output } } => {
            let path = format!("/v1/groups/{}/lag", escape(&group));
            let lag = Client::new(&client)?.get(&path)?;
            show(output, &lag, lag_text)
        }
        GroupCommand::ResetOffsets(arguments) => reset(&arguments),
        GroupCommand::Delete { groups, yes, asking: Asking { client, output } } => {
            let client = Client::new(&client)?;
            delete(&client, &groups, yes, output)
        }
    }
}

fn list_table(groups: &Value) -> String {
    let mut table = Table::new(["group", "state", "protocol type"]);
    for group in list(groups, "groups") {
        table.row(["group", "state", "protocol_type"].map(|name| cell(&group[name])));
    }
    table.render()
}

fn describe_text(group: &Value) -> String {
    let head = format!(
        "group {}\nstate {}, strategy {}, {}\n",
        cell(&group["group"]),
        cell(&group["state"]),
        cell(&group["protocol"]),
        lag_in_short(group),
    );
    let mut members = Table::new(["member", "client", "host", "assignment"]);
    for member in list(group, "members") {
        let assigned: Vec<String> = list(member, "assignment")
            .iter()
            .map(|of| {
                let partitions: Vec<String> = list(of, "partitions").iter().map(cell).collect();
                format!("{}[{}]", cell(&of["topic"]), partitions.join(","))
            })
            .collect();
        members.row([
            cell(&member["member_id"]),
            cell(&member["client_id"]),
            cell(&member["client_host"]),
            if assigned.is_empty() { "-".to_owned() } else { assigned.join(" ") },
        ]);
    }
    let mut offsets = Table::new([
        "topic",
        "partition",
        "committed",
        "high watermark",
        "lag",
        "seconds",
        "lag state",
    ]);
    for offset in list(group, "offsets") {
        offsets.row(OFFSET_FIELDS.map(|name| cell(&offset[name])));
    }
    let section = |rows: &str, table: &Table, none: &str| match list(group, rows) {
        [] => format!("{none}\n"),
        _ => table.render(),
    };
    format!(
        "{head}\n{}\n{}",
        section("members", &members, "no members"),
        section("offsets", &offsets, "no committed offsets"),
    )
}

const OFFSET_FIELDS: [&str; 7] =
    ["topic", "partition", "committed", "high_watermark", "lag", "lag_seconds", "lag_state"];

/// `lag 5, 12.5 s, WARN`, as far as it is known.
fn lag_in_short(group: &Value) -> String {
    let mut text = format!("lag {}", group["lag"]);
    if let Some(seconds) = group["lag_seconds"].as_f64() {
        text.push_str(&format!(", {seconds} s"));
    }
    if let Some(state) = group["lag_state"].as_str() {
        text.push_str(&format!(", {state}"));
    }
    text
}

fn lag_text(lag: &Value) -> String {
    let head = format!(
        "group {}\nstate {}, members {}, {}\n",
        cell(&lag["group"]),
        cell(&lag["state"]),
        lag["members"],
        lag_in_short(lag),
    );
    let mut table = Table::new([
        "topic",
        "partition",
        "client",
        "committed",
        "high watermark",
        "lag",
        "seconds",
        "lag state",
    ]);
    for partition in list(lag, "partitions") {
        let [topic, number, rest @ ..] = OFFSET_FIELDS;
        let [committed, end, records, seconds, state] = rest;
        let fields = [topic, number, "client_id", committed, end, records, seconds, state];
        table.row(fields.map(|name| cell(&partition[name])));
    }
    format!("{head}\n{}", table.render())
}

fn reset(arguments: &GroupReset) -> anyhow::Result<()> {
    let to = match (arguments.to_earliest, arguments.to_latest) {
        (true, _) => Some("earliest"),
        (_, true) => Some("latest"),
        _ => None,
    };
    let partitions = Some(&arguments.partitions).filter(|list| !list.is_empty());
    let body = json!({
        "to": to,
        "time": arguments.to_time,
        "offset": arguments.to_offset,
        "topic": arguments.topic,
        "partitions": partitions,
        "dry_run": arguments.dry_run,
    });
    let path = format!("/v1/groups/{}/offsets", escape(&arguments.group));
    let moved = Client::new(&arguments.asking.client)?.json(Method::POST, &path, Some(&body))?;
    show(arguments.asking.output, &moved, |moved| {
        let mut table = Table::new(["topic", "partition", "before", "after"]);
        for offset in list(moved, "offsets") {
            table.row(["topic", "partition", "before", "after"].map(|name| cell(&offset[name])));
        }
        let note = if arguments.dry_run { "nothing was changed: this is a dry run\n" } else { "" };
        format!("{}{note}", table.render())
    })
}

fn delete(client: &Client, groups: &[String], yes: bool, output: Output) -> anyhow::Result<()> {
    let many = if groups.len() == 1 { "group" } else { "groups" };
    confirm(&format!("delete {many} {} with all offsets?", groups.join(", ")), yes)?;
    for group in groups {
        client.json(Method::DELETE, &format!("/v1/groups/{}", escape(group)), None)?;
        if output == Output::Table {
            print(&format!("deleted group {group}\n"))?;
        }
    }
    if output == Output::Json {
        show(output, &json!({ "deleted": groups }), |_| String::new())?;
    }
    Ok(())
}

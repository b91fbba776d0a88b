//! `tramline config-push`: put, get, list, history, rollback, rollout, delete, adoption, rule.

mod watch;

use super::{
    client::{Client, escape},
    table::{Table, cell, list, show},
    time,
};
use crate::arguments::{Asking, ConfigPushCommand, ConfigPut};
use anyhow::Context;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Read, Write},
};
use ureq::http::Method;

/// How much of a value a list shows.
const VALUE_CHARS_SHOWN: usize = 60;

pub(crate) fn run(command: ConfigPushCommand) -> anyhow::Result<()> {
    match command {
        ConfigPushCommand::Put(arguments) => put(&arguments),
        ConfigPushCommand::Get { key, revision, client, asking } => {
            let revision = revision.map(|revision| revision.to_string());
            let path = with(&path("config", &key), &[("revision", revision), ("client", client)]);
            let value = Client::new(&asking.client)?.bytes(Method::GET, &path, &[], &[])?;
            let mut out = io::stdout().lock();
            out.write_all(&value)?;
            Ok(out.flush()?)
        }
        ConfigPushCommand::List { scope, asking } => list_all(&scope, &asking),
        ConfigPushCommand::History { key, asking } => {
            show(asking.output, &ask(&asking)?.get(&path("config-history", &key))?, history_table)
        }
        ConfigPushCommand::Watch(arguments) => watch::run(&arguments),
        ConfigPushCommand::Rollback { key, revision, note, asking } => {
            let body = json!({ "revision": revision, "note": note });
            post(&asking, &path("config-rollback", &key), &body, &key)
        }
        ConfigPushCommand::Rollout { key, percent, note, asking } => {
            let body = json!({ "percent": percent, "note": note });
            post(&asking, &path("config-rollout", &key), &body, &key)
        }
        ConfigPushCommand::Delete { key, if_revision, asking } => {
            let condition = condition(if_revision);
            let answer = ask(&asking)?.bytes(
                Method::DELETE,
                &path("config", &key),
                condition.as_slice(),
                &[],
            )?;
            show_revision(&asking, &answer, &key)
        }
        ConfigPushCommand::Adoption { key, asking } => {
            show(asking.output, &ask(&asking)?.get(&path("config-adoption", &key))?, adoption_text)
        }
        ConfigPushCommand::Rule { scope, schema, history, remove, asking } => {
            let Some(scope) = scope else {
                return show(asking.output, &ask(&asking)?.get("/v1/config-rules")?, rule_table);
            };
            let path = format!("/v1/config-rules?scope={}", escape(&scope));
            if remove {
                ask(&asking)?.json(Method::DELETE, &path, None)?;
                return show(asking.output, &json!({}), |_| format!("no rule for {scope}\n"));
            }
            let schema: Value = match schema {
                None => Value::Null,
                Some(file) => {
                    let text = fs::read(&file).with_context(|| format!("`{}`", file.display()))?;
                    serde_json::from_slice(&text)
                        .with_context(|| format!("`{}` is no JSON", file.display()))?
                }
            };
            let mut body = json!({ "history": history });
            if !schema.is_null() {
                body["schema"] = schema;
            }
            ask(&asking)?.json(Method::PUT, &path, Some(&body))?;
            show(asking.output, &json!({}), |_| format!("rule for {scope} is set\n"))
        }
    }
}

fn ask(asking: &Asking) -> anyhow::Result<Client> {
    Client::new(&asking.client)
}

/// A key as part of a path; its slashes stay.
fn path(kind: &str, key: &str) -> String {
    let segments: Vec<String> = key.split('/').map(escape).collect();
    format!("/v1/{kind}/{}", segments.join("/"))
}

fn with(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = |(name, value): &(&str, Option<String>)| {
        value.as_ref().map(|value| format!("{name}={}", escape(value)))
    };
    let query: Vec<String> = parameters.iter().filter_map(given).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

fn condition(if_revision: Option<u64>) -> Option<(&'static str, String)> {
    if_revision.map(|revision| match revision {
        0 => ("if-none-match", "*".to_owned()),
        revision => ("if-match", format!("\"{revision}\"")),
    })
}

fn put(arguments: &ConfigPut) -> anyhow::Result<()> {
    let value = match (&arguments.value, &arguments.file) {
        (Some(value), _) => value.clone().into_bytes(),
        (None, Some(file)) => {
            fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?
        }
        (None, None) => {
            let mut value = Vec::new();
            io::stdin().lock().read_to_end(&mut value)?;
            value
        }
    };
    let mut headers = vec![("content-type", arguments.content_type.clone())];
    headers.extend(condition(arguments.if_revision));
    let path = with(
        &path("config", &arguments.key),
        &[
            ("rollout", arguments.rollout.map(|percent| percent.to_string())),
            ("seed", arguments.seed.clone()),
            ("note", arguments.note.clone()),
        ],
    );
    let answer = ask(&arguments.asking)?.bytes(Method::PUT, &path, &headers, &value)?;
    show_revision(&arguments.asking, &answer, &arguments.key)
}

fn post(asking: &Asking, path: &str, body: &Value, key: &str) -> anyhow::Result<()> {
    let answer = ask(asking)?.json(Method::POST, path, Some(body))?;
    show(asking.output, &answer, |answer| revision_text(answer, key))
}

fn show_revision(asking: &Asking, answer: &[u8], key: &str) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_slice(answer)?;
    show(asking.output, &answer, |answer| revision_text(answer, key))
}

fn revision_text(answer: &Value, key: &str) -> String {
    format!("{key} is at revision {}\n", answer["revision"])
}

fn list_all(scope: &str, asking: &Asking) -> anyhow::Result<()> {
    let client = ask(asking)?;
    let mut all: Vec<Value> = Vec::new();
    let mut from = None;
    let revision = loop {
        let path = with("/v1/config", &[("scope", Some(scope.to_owned())), ("from", from)]);
        let page = client.get(&path)?;
        all.extend_from_slice(list(&page, "values"));
        match page["next"].as_str() {
            Some(next) => from = Some(next.to_owned()),
            None => break page["revision"].clone(),
        }
    };
    show(asking.output, &json!({ "revision": revision, "values": all }), list_table)
}

fn list_table(answer: &Value) -> String {
    let mut table = Table::new(["key", "revision", "changed", "type", "value"]);
    for value in list(answer, "values") {
        let text = match &value["value"] {
            Value::Null => "(bytes)".to_owned(),
            text => cell(text),
        };
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(VALUE_CHARS_SHOWN).collect();
        let more = if short.len() < text.len() { "…" } else { "" };
        table.row([
            cell(&value["key"]),
            cell(&value["revision"]),
            time::format(value["time"].as_i64().unwrap_or(-1)),
            cell(&value["content_type"]),
            format!("{short}{more}"),
        ]);
    }
    table.render()
}

fn history_table(answer: &Value) -> String {
    let mut table = Table::new(["revision", "changed", "bytes", "percent", "note"]);
    for version in list(answer, "versions") {
        let bytes =
            if version["deleted"] == true { "deleted".into() } else { cell(&version["bytes"]) };
        table.row([
            cell(&version["revision"]),
            time::format(version["time"].as_i64().unwrap_or(-1)),
            bytes,
            cell(&version["rollout"]["percent"]),
            cell(&version["note"]),
        ]);
    }
    table.render()
}

fn adoption_text(answer: &Value) -> String {
    let count = |name: &str| cell(&answer[name]);
    let head = format!(
        "revision {}: {} of {} subscribers have what they should have, {} follow now\n",
        count("revision"),
        count("adopted"),
        count("subscribers"),
        count("watching"),
    );
    let mut by_revision = Table::new(["revision", "subscribers"]);
    for (revision, count) in answer["by_revision"].as_object().into_iter().flatten() {
        let revision = if revision == "0" { "none known" } else { revision };
        by_revision.row([revision.to_owned(), cell(count)]);
    }
    let mut behind = Table::new(["behind", "has", "wanted", "since", "follows now"]);
    for subscriber in list(answer, "behind") {
        behind.row([
            cell(&subscriber["client"]),
            cell(&subscriber["revision"]),
            cell(&subscriber["wanted"]),
            time::format(subscriber["since"].as_i64().unwrap_or(-1)),
            cell(&subscriber["watching"]),
        ]);
    }
    format!("{head}\n{}\n{}", by_revision.render(), behind.render())
}

fn rule_table(answer: &Value) -> String {
    let mut table = Table::new(["scope", "history", "schema"]);
    for rule in list(answer, "rules") {
        let scope = match rule["scope"].as_str() {
            None | Some("") => "(all keys)".to_owned(),
            Some(scope) => scope.to_owned(),
        };
        let schema: String = cell(&rule["schema"]).chars().take(VALUE_CHARS_SHOWN).collect();
        table.row([scope, cell(&rule["history"]), schema]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_slashes_and_parameters_are_escaped() {
        assert_eq!(path("config", "app/a b/ä"), "/v1/config/app/a%20b/%C3%A4");
        let query = [("a", Some("x/y".to_owned())), ("b", None), ("c", Some("1".to_owned()))];
        assert_eq!(with("/p", &query), "/p?a=x%2Fy&c=1");
        assert_eq!(with("/p", &[("a", None)]), "/p");
    }
}

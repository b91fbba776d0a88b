//! `tramline exchange`, `binding` and `connection`.

use super::{
    client::escape,
    confirm::confirm,
    queue::{ask, binding_table, typed},
    table::{Table, cell, list, show},
    time,
};
use crate::arguments::{Binding, BindingCommand, ConnectionCommand, ExchangeCommand};
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use ureq::http::Method;

pub(crate) fn run(command: ExchangeCommand) -> anyhow::Result<()> {
    match command {
        ExchangeCommand::Declare {
            exchange,
            kind,
            transient,
            auto_delete,
            internal,
            alternate,
            asking,
        } => {
            let body = json!({
                "name": exchange,
                "kind": kind.to_possible_value().map(|value| value.get_name().to_owned()),
                "durable": !transient,
                "auto_delete": auto_delete,
                "internal": internal,
                "alternate": alternate,
            });
            let answer = ask(&asking)?.json(Method::POST, "/v1/exchanges", Some(&body))?;
            show(asking.output, &answer, |_| format!("exchange {exchange} is there\n"))
        }
        ExchangeCommand::List { asking } => {
            show(asking.output, &ask(&asking)?.get("/v1/exchanges")?, list_table)
        }
        ExchangeCommand::Describe { exchange, asking } => {
            let path = format!("/v1/exchanges/{}", escape(&exchange));
            show(asking.output, &ask(&asking)?.get(&path)?, describe_text)
        }
        ExchangeCommand::Delete { exchanges, if_unused, yes, asking } => {
            confirm(&format!("delete {} with its bindings?", exchanges.join(", ")), yes)?;
            let client = ask(&asking)?;
            for exchange in &exchanges {
                let path = format!("/v1/exchanges/{}?if_unused={if_unused}", escape(exchange));
                let answer = client.json(Method::DELETE, &path, None)?;
                show(asking.output, &answer, |_| format!("deleted exchange {exchange}\n"))?;
            }
            Ok(())
        }
    }
}

fn list_table(exchanges: &Value) -> String {
    let columns = ["name", "kind", "durable", "auto_delete", "internal", "alternate"];
    let heads = ["exchange", "kind", "durable", "auto delete", "internal", "alternate"];
    let mut table = Table::new(heads);
    for exchange in list(exchanges, "exchanges") {
        table.row(columns.map(|name| cell(&exchange[name])));
    }
    table.render()
}

fn describe_text(exchange: &Value) -> String {
    let head = format!(
        "exchange {}\nkind {}, durable: {}, auto delete: {}, internal: {}, alternate: {}\n",
        cell(&exchange["name"]),
        cell(&exchange["kind"]),
        exchange["durable"],
        exchange["auto_delete"],
        exchange["internal"],
        cell(&exchange["alternate"]),
    );
    let all = [list(exchange, "bindings"), list(exchange, "sources")].concat();
    format!("{head}\n{}", binding_table(&all))
}

/// `tramline binding`.
pub(crate) fn run_binding(command: BindingCommand) -> anyhow::Result<()> {
    match command {
        BindingCommand::Add(binding) => {
            let answer = send(Method::POST, &binding)?;
            show(binding.asking.output, &answer, |_| "bound\n".to_owned())
        }
        BindingCommand::Remove(binding) => {
            let answer = send(Method::DELETE, &binding)?;
            show(binding.asking.output, &answer, |_| "removed\n".to_owned())
        }
        BindingCommand::List { source, queue, asking } => {
            let named = [("source", source), ("queue", queue)];
            let given = |(name, value): (&str, Option<String>)| {
                value.map(|value| format!("{name}={}", escape(&value)))
            };
            let query: Vec<String> = named.into_iter().filter_map(given).collect();
            let answer = ask(&asking)?.get(&format!("/v1/bindings?{}", query.join("&")))?;
            show(asking.output, &answer, |answer| binding_table(list(answer, "bindings")))
        }
    }
}

fn send(method: Method, binding: &Binding) -> anyhow::Result<Value> {
    let arguments: Map<String, Value> =
        binding.arguments.iter().map(|pair| (pair.name.clone(), typed(&pair.value))).collect();
    let mut body = json!({
        "source": binding.source,
        "key": binding.key,
        "arguments": arguments,
    });
    match (&binding.queue, &binding.to_exchange) {
        (Some(queue), _) => body["queue"] = Value::from(queue.clone()),
        (None, Some(exchange)) => body["exchange"] = Value::from(exchange.clone()),
        (None, None) => anyhow::bail!("name the queue, or the exchange with --to-exchange"),
    }
    ask(&binding.asking)?.json(method, "/v1/bindings", Some(&body))
}

/// `tramline connection`.
pub(crate) fn run_connection(command: ConnectionCommand) -> anyhow::Result<()> {
    match command {
        ConnectionCommand::List { asking } => {
            show(asking.output, &ask(&asking)?.get("/v1/connections")?, connection_table)
        }
        ConnectionCommand::Close { connections, reason, asking } => {
            let client = ask(&asking)?;
            for id in connections {
                let body = json!({ "reason": reason });
                let path = format!("/v1/connections/{id}");
                let answer = client.json(Method::DELETE, &path, Some(&body))?;
                show(asking.output, &answer, |_| format!("told connection {id} to close\n"))?;
            }
            Ok(())
        }
    }
}

fn connection_table(connections: &Value) -> String {
    let mut table = Table::new(["id", "protocol", "peer", "user", "client", "opened"]);
    for connection in list(connections, "connections") {
        let [id, protocol, peer, user, client] =
            ["id", "protocol", "peer", "user", "client"].map(|name| cell(&connection[name]));
        let opened = time::format(connection["opened"].as_i64().unwrap_or(-1));
        table.row([id, protocol, peer, user, client, opened]);
    }
    table.render()
}

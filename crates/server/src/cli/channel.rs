//! `tramline channel`: publish, follow, list, describe, set.

use super::{
    Stop,
    client::{Client, Refused, escape},
    sse,
    table::{Table, cell, list, show},
};
use crate::arguments::{Asking, ChannelCommand, ChannelOutput, ChannelPub, ChannelSet, ChannelSub};
use serde_json::{Map, Value, json};
use std::{
    io::{self, BufReader, Write},
    time::Duration,
};
use ureq::http::Method;

const RECONNECT: Duration = Duration::from_secs(1);

pub(crate) fn run(command: ChannelCommand) -> anyhow::Result<()> {
    match command {
        ChannelCommand::Pub(arguments) => publish(&arguments),
        ChannelCommand::Sub(arguments) => subscribe(&arguments),
        ChannelCommand::List { receivers: false, asking: Asking { client, output } } => {
            show(output, &Client::new(&client)?.get("/v1/channels")?, channel_table)
        }
        ChannelCommand::List { receivers: true, asking: Asking { client, output } } => {
            show(output, &Client::new(&client)?.get("/v1/receivers")?, receiver_table)
        }
        ChannelCommand::Describe { channel, asking: Asking { client, output } } => {
            let path = format!("/v1/channels/{}", escape(&channel));
            show(output, &Client::new(&client)?.get(&path)?, description)
        }
        ChannelCommand::Set(arguments) => set(&arguments),
    }
}

fn publish(arguments: &ChannelPub) -> anyhow::Result<()> {
    let mut path =
        format!("/v1/broadcast/{}?retain={}", escape(&arguments.channel), arguments.retain);
    if let Some(key) = &arguments.key {
        path.push_str(&format!("&key={}", escape(key)));
    }
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&arguments.data).is_ok();
    let content_type = if is_json { "application/json" } else { "text/plain" };
    let client = Client::new(&arguments.asking.client)?;
    let receipt = client.send(&path, content_type, arguments.data.as_bytes())?;
    show(arguments.asking.output, &receipt, |receipt| {
        let of = |name: &str| cell(&receipt[name]);
        let (delivered, waiting, dropped) = (of("delivered"), of("waiting"), of("dropped"));
        format!(
            "delivered: {delivered}, waiting: {waiting}, dropped: {dropped}, stored: {}\n",
            of("stored")
        )
    })
}

fn subscribe(arguments: &ChannelSub) -> anyhow::Result<()> {
    let client = Client::new(&arguments.client)?;
    let mut path = format!("/v1/channels/{}", escape(&arguments.pattern));
    if let Some(name) = &arguments.name {
        path.push_str(&format!("?client={}", escape(name)));
    }
    let mut follower = Follower { arguments, last_id: None, printed: 0 };
    let mut connected = false;
    while !follower.is_done() {
        match follower.follow(&client, &path) {
            Ok(()) => connected = true,
            Err(error) if !connected || error.is::<Refused>() || error.is::<Stop>() => {
                return Err(error);
            }
            Err(_) => {}
        }
        if !follower.is_done() {
            let _ = writeln!(io::stderr(), "the connection ended; trying again");
            #[expect(clippy::disallowed_methods, reason = "the command line waits in real time")]
            std::thread::sleep(RECONNECT);
        }
    }
    Ok(())
}

struct Follower<'a> {
    arguments: &'a ChannelSub,
    last_id: Option<String>,
    printed: u64,
}

impl Follower<'_> {
    fn is_done(&self) -> bool {
        self.arguments.count == Some(self.printed)
    }

    /// Until the stream ends, or as many were printed as are wanted.
    fn follow(&mut self, client: &Client, path: &str) -> anyhow::Result<()> {
        let body = client.events(path, self.last_id.as_deref())?;
        let mut stream = BufReader::with_capacity(64 * 1024, body.into_reader());
        while !self.is_done() {
            // A broken stream is an interruption like its end.
            let Ok(Some(event)) = sse::next(&mut stream) else { return Ok(()) };
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            match event.name.as_str() {
                "" if !event.data.is_empty() => self.print(&event.data, &data)?,
                "subscribed" if data["recovered"] == false => {
                    writeln!(io::stderr(), "not everything that was missed could be recovered")?;
                }
                "dropped" => {
                    let count = &data["count"];
                    writeln!(io::stderr(), "{count} were dropped: this reader was too slow")?;
                }
                _ => {}
            }
            if event.id.is_some() {
                self.last_id = event.id;
            }
        }
        Ok(())
    }

    fn print(&mut self, json: &str, message: &Value) -> anyhow::Result<()> {
        let line = match self.arguments.output {
            ChannelOutput::Json => json.to_owned(),
            ChannelOutput::Data => data(message),
            ChannelOutput::Text => format!("{}  {}", cell(&message["channel"]), data(message)),
        };
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "{line}").and_then(|()| out.flush());
        self.printed += 1;
        printed.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Stop.into(),
            _ => error.into(),
        })
    }
}

/// What was published: text bare, JSON as it is, other bytes as `base64:`.
fn data(message: &Value) -> String {
    match message["base64"].as_str() {
        Some(base64) => format!("base64:{base64}"),
        None => cell(&message["data"]),
    }
}

fn channel_table(answer: &Value) -> String {
    let mut table = Table::new(["channel", "receivers", "history", "retained"]);
    for channel in list(answer, "channels") {
        table.row(["channel", "receivers", "history", "retained"].map(|name| cell(&channel[name])));
    }
    table.render()
}

fn receiver_table(answer: &Value) -> String {
    let columns = ["id", "client", "connection", "bytes_waiting", "dropped", "conflated"];
    let [id, client, connection, waiting, dropped, conflated] = columns;
    let mut table = Table::new([id, client, connection, waiting, dropped, conflated, "channels"]);
    for receiver in list(answer, "receivers") {
        let channels: Vec<String> = list(receiver, "channels").iter().map(cell).collect();
        let [id, client, connection, waiting, dropped, conflated] =
            columns.map(|name| cell(&receiver[name]));
        let channels = channels.join(" ");
        table.row([id, client, connection, waiting, dropped, conflated, channels]);
    }
    table.render()
}

fn description(answer: &Value) -> String {
    let mut text = format!("channel {}\n", cell(&answer["channel"]));
    for (name, value) in answer["settings"].as_object().into_iter().flatten() {
        text.push_str(&format!("  {name}: {}\n", cell(value)));
    }
    text.push_str(&format!("members: {}\n", cell(&answer["member_count"])));
    for member in list(answer, "members") {
        text.push_str(&format!("  {}  {}\n", cell(&member["id"]), cell(&member["client"])));
    }
    if answer["retained"].is_object() {
        text.push_str(&format!("retained: {}\n", data(&answer["retained"])));
    }
    text.push_str(&format!("history, the last of it: {}\n", list(answer, "history").len()));
    for message in list(answer, "history") {
        text.push_str(&format!("  {}  {}\n", cell(&message["position"]), data(message)));
    }
    text
}

fn set(arguments: &ChannelSet) -> anyhow::Result<()> {
    let client = Client::new(&arguments.client)?;
    if arguments.unset {
        let path = format!("/v1/channel-settings?prefix={}", escape(&arguments.prefix));
        client.json(Method::DELETE, &path, None)?;
        return Ok(());
    }
    let mut settings: Map<String, Value> = Map::new();
    for (name, value) in [
        ("history_size", arguments.history_size.map(Value::from)),
        ("history_ms", arguments.history_ms.map(Value::from)),
        ("retain", arguments.retain.then_some(Value::from(true))),
        ("presence", arguments.presence.then_some(Value::from(true))),
        ("slow_consumer", arguments.slow_consumer.clone().map(Value::from)),
        ("buffer_bytes", arguments.buffer_bytes.map(Value::from)),
    ] {
        if let Some(value) = value {
            settings.insert(name.to_owned(), value);
        }
    }
    let body = json!({ "prefix": arguments.prefix, "settings": settings });
    client.json(Method::PUT, "/v1/channel-settings", Some(&body)).map(drop)
}

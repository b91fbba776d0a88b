//! `tramline config-push watch`: follows a scope, comes back after a lost connection where it
//! left off, runs a command for every value, and confirms what was taken over.

use crate::{
    arguments::{ConfigWatch, Output},
    cli::{
        Stop,
        client::{Client, Refused, escape},
        sse::{self, Event},
    },
};
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};
use ureq::http::Method;

const RECONNECT: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &ConfigWatch) -> anyhow::Result<()> {
    let client = Client::new(&arguments.asking.client)?;
    let mut watch = Watch {
        arguments,
        client: &client,
        last_id: None,
        connected: false,
        synced: false,
        handled: 0,
        failed: BTreeSet::new(),
    };
    while !watch.is_done() {
        match watch.follow() {
            Ok(()) => {}
            Err(error) if !watch.connected || error.is::<Refused>() || error.is::<Stop>() => {
                return Err(error);
            }
            Err(_) => {}
        }
        if !watch.is_done() {
            let _ = writeln!(io::stderr(), "the connection ended; trying again");
            #[expect(clippy::disallowed_methods, reason = "the command line waits in real time")]
            std::thread::sleep(RECONNECT);
        }
    }
    Ok(())
}

struct Watch<'a> {
    arguments: &'a ConfigWatch,
    client: &'a Client,
    last_id: Option<String>,
    /// The broker was there once.
    connected: bool,
    /// The values that were there at the start have come.
    synced: bool,
    handled: u64,
    /// Keys whose command has failed: nothing is confirmed while there are any.
    failed: BTreeSet<String>,
}

impl Watch<'_> {
    fn is_done(&self) -> bool {
        self.arguments.count.is_some_and(|count| self.handled >= count)
    }

    fn follow(&mut self) -> anyhow::Result<()> {
        let mut path = format!("/v1/config-watch?scope={}", escape(&self.arguments.scope));
        if let Some(client) = &self.arguments.client {
            path.push_str(&format!("&client={}", escape(client)));
        }
        let body = self.client.events(&path, self.last_id.as_deref())?;
        self.connected = true;
        let mut stream = BufReader::with_capacity(64 * 1024, body.into_reader());
        while !self.is_done() {
            // A broken stream is an interruption like its end.
            let Ok(Some(event)) = sse::next(&mut stream) else { return Ok(()) };
            self.handle(&event)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: &Event) -> anyhow::Result<()> {
        if event.data.is_empty() {
            return Ok(());
        }
        let data: Value = serde_json::from_str(&event.data)
            .with_context(|| format!("the broker sent `{}`", event.data))?;
        match event.name.as_str() {
            "put" | "delete" if self.synced || !self.arguments.changes_only => {
                self.take_over(&event.name, &data, &event.data)?;
                self.handled += 1;
            }
            "synced" => self.synced = true,
            "resync" => self.failed.clear(),
            _ => {}
        }
        if let Some(id) = &event.id {
            self.confirm(id)?;
            self.last_id = Some(id.clone());
        }
        Ok(())
    }

    fn take_over(&mut self, name: &str, data: &Value, text: &str) -> anyhow::Result<()> {
        let key = data["key"].as_str().unwrap_or_default();
        let value = match data["value"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD.decode(data["value_base64"].as_str().unwrap_or_default())?,
        };
        let Some(command) = &self.arguments.exec else {
            let mut line = match self.arguments.asking.output {
                Output::Json => text.as_bytes().to_vec(),
                Output::Table => format!("{name} {key} {} ", data["revision"]).into_bytes(),
            };
            if self.arguments.asking.output == Output::Table {
                line.extend_from_slice(&value);
            }
            line.push(b'\n');
            let mut out = io::stdout().lock();
            return out.write_all(&line).and_then(|()| out.flush()).map_err(closed);
        };
        let mut child = Command::new("sh")
            .args(["-c", command])
            .env("TRAMLINE_EVENT", name)
            .env("TRAMLINE_KEY", key)
            .env("TRAMLINE_REVISION", data["revision"].to_string())
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot run a shell")?;
        if let Some(mut input) = child.stdin.take() {
            // A command that does not read its input is none the worse for it.
            let _ = input.write_all(&value);
        }
        if child.wait()?.success() {
            self.failed.remove(key);
        } else {
            let revision = &data["revision"];
            let _ = writeln!(io::stderr(), "the command failed for {key} at revision {revision}");
            self.failed.insert(key.to_owned());
        }
        Ok(())
    }

    /// Everything up to this event was taken over.
    fn confirm(&self, id: &str) -> anyhow::Result<()> {
        let revision = id.split('@').next().and_then(|revision| revision.parse::<u64>().ok());
        let (Some(client), Some(revision @ 1..)) = (&self.arguments.client, revision) else {
            return Ok(());
        };
        if !self.failed.is_empty() {
            return Ok(());
        }
        let body = json!({ "scope": self.arguments.scope, "client": client, "revision": revision });
        self.client.json(Method::POST, "/v1/config-adoption", Some(&body)).map(drop)
    }
}

fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Stop.into() } else { error.into() }
}

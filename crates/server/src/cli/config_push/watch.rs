//! `tramline config-push watch`: follows a scope, comes back after a lost connection where it
//! left off, runs a command for every value, and confirms what was taken over. Where it has to
//! begin anew, what it had and is not there any more is told as deleted.

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
    let mut watch = Watch::new(arguments, &client);
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
    /// Keys that have a value.
    known: BTreeSet<String>,
    /// Those that have come while all values come.
    anew: Option<BTreeSet<String>>,
}

impl<'a> Watch<'a> {
    const fn new(arguments: &'a ConfigWatch, client: &'a Client) -> Self {
        Self {
            arguments,
            client,
            last_id: None,
            connected: false,
            synced: false,
            handled: 0,
            failed: BTreeSet::new(),
            known: BTreeSet::new(),
            anew: None,
        }
    }

    /// A connection stands.
    fn begin(&mut self) {
        self.connected = true;
        self.anew = self.last_id.is_none().then(BTreeSet::new);
    }

    fn is_done(&self) -> bool {
        self.arguments.count.is_some_and(|count| self.handled >= count)
    }

    fn follow(&mut self) -> anyhow::Result<()> {
        let mut path = format!("/v1/config-watch?scope={}", escape(&self.arguments.scope));
        if let Some(client) = &self.arguments.client {
            path.push_str(&format!("&client={}", escape(client)));
        }
        let body = self.client.events(&path, self.last_id.as_deref())?;
        self.begin();
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
            "put" | "delete" => self.change(&event.name, &data, &event.data)?,
            "synced" => {
                self.end_anew(&data["revision"])?;
                self.synced = true;
            }
            "resync" => {
                self.failed.clear();
                self.anew = Some(BTreeSet::new());
            }
            _ => {}
        }
        // Who comes back behind an event has taken it over: what failed comes again then.
        if let Some(id) = event.id.as_ref().filter(|_| self.failed.is_empty()) {
            self.confirm(id)?;
            self.last_id = Some(id.clone());
        }
        Ok(())
    }

    fn change(&mut self, name: &str, data: &Value, text: &str) -> anyhow::Result<()> {
        let key = data["key"].as_str().unwrap_or_default();
        if name == "put" {
            self.known.insert(key.to_owned());
            self.anew.iter_mut().for_each(|anew| anew.extend([key.to_owned()]));
        } else {
            self.known.remove(key);
        }
        if self.synced || !self.arguments.changes_only {
            self.take_over(name, data, text)?;
            self.handled += 1;
        }
        Ok(())
    }

    /// All values have come: what else there was is gone.
    fn end_anew(&mut self, revision: &Value) -> anyhow::Result<()> {
        let Some(anew) = self.anew.take() else { return Ok(()) };
        let gone: Vec<String> = self.known.difference(&anew).cloned().collect();
        for key in gone {
            let data = json!({ "event": "delete", "key": key, "revision": revision });
            self.change("delete", &data, &data.to_string())?;
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
        let body = json!({ "scope": self.arguments.scope, "client": client, "revision": revision });
        self.client.json(Method::POST, "/v1/config-adoption", Some(&body)).map(drop)
    }
}

fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Stop.into() } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        watch: ConfigWatch,
    }

    fn event(name: &str, key: &str, id: Option<&str>) -> Event {
        let data = json!({ "event": name, "key": key, "revision": 7, "value": "v" }).to_string();
        Event { name: name.to_owned(), data, id: id.map(str::to_owned) }
    }

    #[test]
    fn what_is_gone_when_all_values_come_again_is_told_as_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("told");
        let script = format!("echo $TRAMLINE_EVENT $TRAMLINE_KEY >> '{}'", told.display());
        let only = Only::parse_from(["watch", "--exec", &script]);
        let client = Client::new(&only.watch.asking.client).unwrap();
        let mut watch = Watch::new(&only.watch, &client);
        let events = |watch: &mut Watch<'_>, events: &[Event]| {
            events.iter().for_each(|event| watch.handle(event).unwrap());
            let lines = std::fs::read_to_string(&told).unwrap();
            std::fs::write(&told, "").unwrap();
            lines
        };
        watch.begin();
        let first = [event("put", "a", None), event("put", "b", None)];
        assert_eq!(events(&mut watch, &first), "put a\nput b\n");
        // The connection breaks before all values have come: they begin anew.
        watch.begin();
        let again = [event("put", "b", None), event("synced", "", Some("7@x"))];
        assert_eq!(events(&mut watch, &again), "put b\ndelete a\n");
        watch.begin();
        assert_eq!(events(&mut watch, &[event("delete", "b", Some("8@x"))]), "delete b\n");
        let later = [event("put", "c", Some("9@x")), event("resync", "", None)];
        assert_eq!(events(&mut watch, &later), "put c\n");
        let synced = [event("put", "d", None), event("synced", "", Some("9@y"))];
        assert_eq!(events(&mut watch, &synced), "put d\ndelete c\n");
    }
}

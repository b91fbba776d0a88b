//! `tramline sub`: follows a topic, comes back after a lost connection where it left off.

use super::{
    Stop,
    client::{Client, Refused, escape},
    sse::{self, Event},
};
use crate::arguments::{Sub, SubOutput};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::{
    io::{self, BufReader, Write},
    time::Duration,
};

const RECONNECT: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Sub) -> anyhow::Result<()> {
    if arguments.count == Some(0) {
        return Ok(());
    }
    let client = Client::new(&arguments.client)?;
    let path = path(arguments);
    let mut tail = Tail { arguments, last_id: None, printed: 0, out: io::stdout().lock() };
    let mut connected = false;
    loop {
        match tail.follow(&client, &path) {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::Interrupted) => connected = true,
            Err(error) if !connected || ends(&error) => return Err(error),
            Err(_) => {}
        }
        let _ = writeln!(io::stderr(), "the connection ended; trying again");
        #[expect(clippy::disallowed_methods, reason = "the command line waits in real time")]
        std::thread::sleep(RECONNECT);
    }
}

/// Whether trying again would be of no use.
fn ends(error: &anyhow::Error) -> bool {
    error.is::<Refused>() || error.is::<Stop>()
}

fn path(arguments: &Sub) -> String {
    let mut query = Vec::new();
    if let Some(partition) = arguments.partition {
        query.push(format!("partition={partition}"));
    }
    if arguments.ordered {
        query.push("ordered=true".to_owned());
    }
    if arguments.from_beginning {
        query.push("from=earliest".to_owned());
    }
    if let Some(offset) = arguments.from_offset {
        query.push(format!("offset={offset}"));
    }
    if let Some(time) = &arguments.from_time {
        query.push(format!("time={}", escape(time)));
    }
    format!("/v1/topics/{}/tail?{}", escape(&arguments.topic), query.join("&"))
}

enum Progress {
    /// As many as were asked for.
    Done,
    /// The stream ended.
    Interrupted,
}

struct Tail<'a> {
    arguments: &'a Sub,
    last_id: Option<String>,
    printed: u64,
    out: io::StdoutLock<'static>,
}

impl Tail<'_> {
    fn follow(&mut self, client: &Client, path: &str) -> anyhow::Result<Progress> {
        let body = client.events(path, self.last_id.as_deref())?;
        let mut stream = BufReader::with_capacity(64 * 1024, body.into_reader());
        loop {
            // A broken stream is an interruption like its end.
            let Ok(Some(event)) = sse::next(&mut stream) else { return Ok(Progress::Interrupted) };
            self.handle(&event)?;
            if stream.buffer().is_empty() || self.is_done() {
                self.out.flush().map_err(closed)?;
            }
            if self.is_done() {
                return Ok(Progress::Done);
            }
            if event.id.is_some() {
                self.last_id = event.id;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.arguments.count == Some(self.printed)
    }

    fn handle(&mut self, event: &Event) -> anyhow::Result<()> {
        if event.data.is_empty() {
            return Ok(());
        }
        let data: Value = serde_json::from_str(&event.data)
            .with_context(|| format!("the broker sent `{}`", event.data))?;
        match event.name.as_str() {
            "" => {
                let line = match self.arguments.output {
                    SubOutput::Json => event.data.clone().into_bytes(),
                    SubOutput::Value => bytes(&data, "value").unwrap_or_default(),
                    SubOutput::Text => text(&data),
                };
                self.out.write_all(&line).map_err(closed)?;
                self.out.write_all(b"\n").map_err(closed)?;
                self.printed += 1;
            }
            "skipped" => {
                let (partition, from, to) = (&data["partition"], &data["from"], &data["to"]);
                writeln!(
                    io::stderr(),
                    "retention removed offsets {from} to {to} of partition {partition} unread"
                )?;
            }
            "error" => {
                let field = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
                let (kind, message, hint) = (field("kind"), field("message"), field("hint"));
                return Err(Refused { kind, message, hint }.into());
            }
            other => bail!("the broker sent an event `{other}`: this command is older than it"),
        }
        Ok(())
    }
}

fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Stop.into() } else { error.into() }
}

/// The bytes of a field, however they are written.
fn bytes(value: &Value, name: &str) -> Option<Vec<u8>> {
    match value[name].as_str() {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => STANDARD.decode(value[format!("{name}_base64")].as_str()?).ok(),
    }
}

/// `partition/offset  key=…  name=value …  value`.
fn text(message: &Value) -> Vec<u8> {
    let mut parts = vec![format!("{}/{}", message["partition"], message["offset"])];
    if let Some(key) = readable(message, "key") {
        parts.push(format!("key={key}"));
    }
    for header in message["headers"].as_array().into_iter().flatten() {
        let name = readable(header, "name").unwrap_or_default();
        let value = readable(header, "value").unwrap_or_else(|| "(null)".to_owned());
        parts.push(format!("{name}={value}"));
    }
    parts.push(readable(message, "value").unwrap_or_else(|| "(null)".to_owned()));
    parts.join("  ").into_bytes()
}

fn readable(value: &Value, name: &str) -> Option<String> {
    match value[name].as_str() {
        Some(text) => Some(text.to_owned()),
        None => Some(format!("base64:{}", value[format!("{name}_base64")].as_str()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_show_place_key_headers_and_value() {
        let message = json!({
            "partition": 0, "offset": 7, "key": "k", "value": "hello",
            "headers": [{"name": "a", "value": "1"}, {"name": "b", "value": null}],
        });
        assert_eq!(text(&message), b"0/7  key=k  a=1  b=(null)  hello");
        let message = json!({
            "partition": 2, "offset": 0, "key": null, "value_base64": "/w==", "headers": [],
        });
        assert_eq!(text(&message), b"2/0  base64:/w==");
        assert_eq!(bytes(&message, "value"), Some(vec![0xff]));
    }
}

//! `tramline pub`: publishes values, or the lines of the standard input as they come.

use super::{
    client::{Client, escape},
    table::print,
};
use crate::arguments::{Output, Pub};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    io::{self, BufRead, IsTerminal},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};
use ureq::http::Method;

/// Messages of one request.
const BATCH_MESSAGES_MAX: usize = 1_000;
/// The values' bytes of one request.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// From here on a bar shows how far it is.
const PROGRESS_FROM: u64 = 10_000;

pub(crate) fn run(arguments: Pub) -> anyhow::Result<()> {
    let mut publisher = Publisher::new(&arguments)?;
    if arguments.values.is_empty() {
        let (tx, rx) = sync_channel(BATCH_MESSAGES_MAX);
        thread::spawn(move || read_lines(&tx));
        publisher.publish_lines(&rx)?;
    } else {
        for _ in 0..arguments.count {
            for value in &arguments.values {
                publisher.push(value.as_bytes())?;
            }
        }
    }
    publisher.finish()
}

fn read_lines(lines: &SyncSender<io::Result<Vec<u8>>>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = match input.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Ok(line)
            }
            Err(error) => Err(error),
        };
        if lines.send(read).is_err() {
            return; // Publishing failed; nobody reads on.
        }
    }
}

struct Publisher<'a> {
    arguments: &'a Pub,
    client: Client,
    path: String,
    batch: Vec<Value>,
    batch_bytes: usize,
    published: u64,
    /// The place of the last message.
    last: Value,
    bar: ProgressBar,
}

impl<'a> Publisher<'a> {
    fn new(arguments: &'a Pub) -> anyhow::Result<Self> {
        let total = arguments.count.saturating_mul(arguments.values.len() as u64);
        let bar = if total >= PROGRESS_FROM && io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = "{bar:40} {human_pos}/{human_len}, {per_sec}, {eta} left";
            bar.with_style(ProgressStyle::with_template(style).context("the bar's template")?)
        } else {
            ProgressBar::hidden()
        };
        Ok(Self {
            arguments,
            client: Client::new(&arguments.asking.client)?,
            path: format!("/v1/topics/{}/messages", escape(&arguments.topic)),
            batch: Vec::new(),
            batch_bytes: 0,
            published: 0,
            last: Value::Null,
            bar,
        })
    }

    /// Sends what there is whenever nothing more is waiting.
    fn publish_lines(&mut self, lines: &Receiver<io::Result<Vec<u8>>>) -> anyhow::Result<()> {
        while let Ok(line) = lines.recv() {
            self.push(&line.context("standard input")?)?;
            while let Ok(line) = lines.try_recv() {
                self.push(&line.context("standard input")?)?;
            }
            self.send()?;
        }
        Ok(())
    }

    fn push(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let (key, value) = match &self.arguments.key_separator {
            None => (self.arguments.key.as_deref().map(str::as_bytes), line),
            Some(separator) => match split(line, separator.as_bytes()) {
                Some((key, value)) => (Some(key), value),
                None => bail!(
                    "`{}` has no `{separator}` between key and value",
                    String::from_utf8_lossy(line)
                ),
            },
        };
        let mut message = Map::new();
        if let Some(key) = key {
            put_bytes(&mut message, "key", key);
        }
        put_bytes(&mut message, "value", value);
        if !self.arguments.headers.is_empty() {
            let header =
                |pair: &crate::arguments::Pair| json!({ "name": pair.name, "value": pair.value });
            message.insert("headers".into(), self.arguments.headers.iter().map(header).collect());
        }
        if let Some(partition) = self.arguments.partition {
            message.insert("partition".into(), partition.into());
        }
        self.batch.push(message.into());
        self.batch_bytes += line.len();
        if self.batch.len() >= BATCH_MESSAGES_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let count = self.batch.len() as u64;
        let body = json!({ "messages": std::mem::take(&mut self.batch) });
        self.batch_bytes = 0;
        let answer = self
            .client
            .json(Method::POST, &self.path, Some(&body))
            .with_context(|| format!("{} messages were published before this", self.published));
        // Before the first, the broker's own words are enough.
        let answer = if self.published == 0 {
            answer.map_err(|error| error.downcast().unwrap_or_else(|error| error))
        } else {
            answer
        }?;
        self.published += count;
        self.bar.inc(count);
        if let Some(last) = answer["messages"].as_array().and_then(|list| list.last()) {
            self.last = last.clone();
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.send()?;
        self.bar.finish_and_clear();
        let (topic, count) = (&self.arguments.topic, self.published);
        let text = match (self.arguments.asking.output, count) {
            (Output::Json, _) => {
                let answer = json!({ "topic": topic, "published": count, "last": self.last });
                format!("{}\n", serde_json::to_string_pretty(&answer)?)
            }
            (Output::Table, 0) => "nothing to publish\n".to_owned(),
            (Output::Table, 1) => format!(
                "published to {topic}, partition {}, offset {}\n",
                self.last["partition"], self.last["offset"]
            ),
            (Output::Table, _) => format!("published {count} messages to {topic}\n"),
        };
        Ok(print(&text)?)
    }
}

fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(separator.len().max(1)).position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// Text where it is text, base64 where not.
fn put_bytes(message: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => message.insert(name.to_owned(), text.into()),
        Err(_) => message.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_the_first_separator() {
        assert_eq!(split(b"k:v:w", b":"), Some((&b"k"[..], &b"v:w"[..])));
        assert_eq!(split(b"k=>v", b"=>"), Some((&b"k"[..], &b"v"[..])));
        assert_eq!(split(b":v", b":"), Some((&b""[..], &b"v"[..])));
        assert_eq!(split(b"kv", b":"), None);
        assert_eq!(split(b"kv", b""), None);
    }

    #[test]
    fn bytes_that_are_no_text_go_as_base64() {
        let mut message = Map::new();
        put_bytes(&mut message, "key", "ä".as_bytes());
        put_bytes(&mut message, "value", b"\xff");
        assert_eq!(Value::from(message), json!({ "key": "ä", "value_base64": "/w==" }));
    }
}

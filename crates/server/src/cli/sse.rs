//! Reads Server-Sent Events from a stream of bytes (WHATWG HTML, section 9.2), as far as the
//! broker writes them: `id`, `event` and `data` fields, comments, a blank line after each event.

use std::io::{self, BufRead};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty for a plain message.
    pub(crate) name: String,
    /// What it says; empty when it only brings an id.
    pub(crate) data: String,
    /// Its id.
    pub(crate) id: Option<String>,
}

/// Reads the next event; `None` at the end of the stream. A cut event is dropped.
pub(crate) fn next(stream: &mut impl BufRead) -> io::Result<Option<Event>> {
    let mut event = Event::default();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            if event != Event::default() {
                return Ok(Some(event));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => event.id = Some(value.to_owned()),
            "data" if event.data.is_empty() => value.clone_into(&mut event.data),
            "data" => event.data = format!("{}\n{value}", event.data),
            _ => {} // Comments have an empty name; other fields are for others.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_comments_passed_over() {
        let stream = ": hello\n\nretry: 5\nid: 0:1\n\nid: 0:2\ndata: {}\n\n: beat\n\n\
                      event: error\r\ndata:a\r\ndata: b\r\n\r\nid: 9\ndata: cut";
        let mut stream = stream.as_bytes();
        let mut events = Vec::new();
        while let Some(event) = next(&mut stream).unwrap() {
            events.push((event.name, event.data, event.id.unwrap_or_default()));
        }
        let expected = [("", "", "0:1"), ("", "{}", "0:2"), ("error", "a\nb", "")];
        assert_eq!(events, expected.map(|(n, d, i)| (n.into(), d.into(), i.into())));
    }
}

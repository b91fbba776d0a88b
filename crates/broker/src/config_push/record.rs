//! A version of a key as a record of the log, and back.
//!
//! Key: the key. Value: the value, or none for a deletion. Time: of the change. Headers, all
//! text: `config-revision`, `config-history` (how many earlier versions are kept while it is the
//! newest), `content-type`, `config-rollout` (share in hundredths of a percent, the revision it
//! is based on or `-`, the seed), `config-note`.

use super::{
    ConfigKey, Rollout,
    state::{Content, Version},
};
use crate::Error;
use bytes::Bytes;
use std::sync::Arc;
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{Header, Message, Timestamp};

const REVISION: &[u8] = b"config-revision";
const HISTORY: &[u8] = b"config-history";
const CONTENT_TYPE: &[u8] = b"content-type";
const ROLLOUT: &[u8] = b"config-rollout";
const NOTE: &[u8] = b"config-note";

/// One batch of these versions, whose values are all in memory, and the bytes of each record.
pub(super) fn encode(items: &[(ConfigKey, Version)]) -> Result<(Batch, Vec<usize>), Error> {
    let mut builder = BatchBuilder::new(Compression::None);
    let mut stored = Vec::with_capacity(items.len());
    let mut before = 0;
    for (key, version) in items {
        builder.push(&to_message(key, version), version.time);
        stored.push(builder.bytes_len() - before);
        before = builder.bytes_len();
    }
    let batch = builder.build().map_err(|error| Error::Storage(error.to_string()))?;
    Ok((batch, stored))
}

fn header(name: &'static [u8], value: String) -> Header {
    Header { name: Bytes::from_static(name), value: Some(value.into()) }
}

fn to_message(key: &ConfigKey, version: &Version) -> Message {
    let mut headers = vec![
        header(REVISION, version.revision.to_string()),
        header(HISTORY, version.kept.to_string()),
    ];
    if !version.content_type.is_empty() {
        headers.push(header(CONTENT_TYPE, version.content_type.to_string()));
    }
    if let Some(Rollout { share, base, seed }) = &version.rollout {
        let base = base.map_or_else(|| "-".to_owned(), |base| base.to_string());
        headers.push(header(ROLLOUT, format!("{share} {base} {seed}")));
    }
    if let Some(note) = &version.note {
        headers.push(header(NOTE, note.to_string()));
    }
    let value = match &version.content {
        Content::Held(value) => Some(value.clone()),
        Content::Deleted | Content::Stored(_) => None,
    };
    let key = Some(Bytes::copy_from_slice(key.as_str().as_bytes()));
    Message { key, value, headers, timestamp: Some(version.time) }
}

/// Reads a record at its place; `None`: it is none of ours.
pub(super) fn decode(message: &Message, offset: u64) -> Option<(ConfigKey, Version)> {
    let key = ConfigKey::parse(std::str::from_utf8(message.key.as_ref()?).ok()?).ok()?;
    let text = |name: &[u8]| {
        let header = message.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_ref()?).ok()
    };
    let shared = |name| text(name).map(Arc::<str>::from);
    let rollout = match text(ROLLOUT) {
        None => None,
        Some(text) => Some(decode_rollout(text)?),
    };
    let version = Version {
        revision: text(REVISION)?.parse().ok()?,
        time: message.timestamp.unwrap_or(Timestamp::from_millis(0)),
        offset,
        stored: 0,
        kept: text(HISTORY)?.parse().ok()?,
        rollout,
        note: shared(NOTE),
        content_type: shared(CONTENT_TYPE).unwrap_or_default(),
        content: message.value.clone().map_or(Content::Deleted, Content::Held),
    };
    let stored = BatchBuilder::new(Compression::None).bytes_len();
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(message, version.time);
    Some((key, Version { stored: builder.bytes_len() - stored, ..version }))
}

fn decode_rollout(text: &str) -> Option<Rollout> {
    let mut parts = text.splitn(3, ' ');
    let share = parts.next()?.parse().ok()?;
    let base = match parts.next()? {
        "-" => None,
        base => Some(base.parse().ok()?),
    };
    Some(Rollout { share, base, seed: parts.next()?.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back_as_it_was_stored() {
        let key = ConfigKey::parse("app/ä").unwrap();
        let seed = "a seed".into();
        for (content, rollout, note) in [
            (Content::Held(Bytes::from_static(b"\xff\0")), None, Some("why")),
            (Content::Held(Bytes::new()), Some(Rollout { share: 250, base: Some(7), seed }), None),
            (Content::Deleted, None, None),
        ] {
            let version = Version {
                revision: 12,
                time: Timestamp::from_millis(5),
                offset: 0,
                stored: 0,
                kept: 3,
                rollout,
                note: note.map(Arc::from),
                content_type: "text/plain".into(),
                content,
            };
            let (read, of) = decode(&to_message(&key, &version), 9).unwrap();
            assert_eq!((read, of.offset), (key.clone(), 9));
            assert!(of.stored > 0);
            assert_eq!(Version { offset: 0, stored: 0, ..of }, version);
        }
    }

    #[test]
    fn a_record_of_somebody_else_is_none() {
        assert_eq!(decode(&Message::default(), 0), None);
        let key = Some(Bytes::from_static(b"a"));
        assert_eq!(decode(&Message { key, ..Message::default() }, 0), None);
    }
}

//! Redrives as stored: what moves where, and how far that is. Each has two pairs, so that how far
//! it is goes into the commits that move, and no such commit takes back a word about its end.
//!
//! Both keys begin with the ids of the queue and of the redrive, each in 20 digits.

use crate::Error;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "redrive/";
/// What follows the ids in the key of how many messages have moved.
const MOVED: &str = "/moved";

/// How far a redrive is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedriveState {
    /// It moves messages.
    Running,
    /// Everything was looked at that was ready when it began.
    Completed,
    /// It ends after the messages that it has in hand.
    Cancelling,
    /// It was ended.
    Cancelled,
    /// It could not go on, for this reason.
    Failed(String),
}

/// Which messages a redrive moves: those that are all of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedriveFilter {
    /// With this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<u8>>,
    /// With this header, and this value where one is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<(String, Option<String>)>,
    /// Enqueued then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Enqueued before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_ms: Option<i64>,
    /// That died last in this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_in: Option<String>,
    /// That died last for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A redrive, but for how many messages have moved. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedriveRecord {
    /// How far it is.
    pub state: RedriveState,
    /// The queue that gets the messages, if not where they died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Messages per second at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// The messages that it is about, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<RedriveFilter>,
    /// The messages that were ready when it began.
    pub total: u64,
    /// Those that stay; told when it is over.
    pub left_behind: u64,
    /// When it began.
    pub started_ms: i64,
}

/// One of the two pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedrivePair {
    /// What it is.
    Record(Box<RedriveRecord>),
    /// How many messages have moved.
    Moved(u64),
}

impl RedriveRecord {
    /// The key of a redrive of a queue, by their ids.
    pub fn key(queue: u64, id: u64) -> Bytes {
        Bytes::from(format!("{PREFIX}{queue:020}/{id:020}"))
    }

    /// The key of how many messages have moved.
    pub fn moved_key(queue: u64, id: u64) -> Bytes {
        Bytes::from(format!("{PREFIX}{queue:020}/{id:020}{MOVED}"))
    }

    /// What all keys start with.
    pub const fn prefix() -> &'static [u8] {
        PREFIX.as_bytes()
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("text and numbers are JSON"))
    }

    /// Reads a stored pair: the ids of the queue and of the redrive, and what is said.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<((u64, u64), RedrivePair), Error> {
        let damaged = |detail: String| Error::Damaged {
            key: String::from_utf8_lossy(key).into_owned(),
            detail,
        };
        let text = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(PREFIX));
        let text = text.ok_or_else(|| damaged("not the key of a redrive".to_owned()))?;
        let (ids, is_moved) = match text.strip_suffix(MOVED) {
            Some(ids) => (ids, true),
            None => (text, false),
        };
        let ids = ids
            .split_once('/')
            .and_then(|(queue, id)| Some((queue.parse::<u64>().ok()?, id.parse::<u64>().ok()?)));
        let ids = ids.ok_or_else(|| damaged("not the key of a redrive".to_owned()))?;
        if is_moved {
            let moved = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let moved = moved.ok_or_else(|| damaged("not a number".to_owned()))?;
            return Ok((ids, RedrivePair::Moved(moved)));
        }
        let record = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        Ok((ids, RedrivePair::Record(record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_read_back_and_others_are_refused() {
        for state in [RedriveState::Running, RedriveState::Failed("no room".to_owned())] {
            let to = Some("a/b".to_owned());
            let (per_second, total, left_behind, started_ms) = (Some(5), 7, 0, 9);
            let header = Some(("h".to_owned(), None));
            let filter =
                Some(RedriveFilter { key: Some(vec![0xff]), header, ..RedriveFilter::default() });
            let record =
                RedriveRecord { state, to, per_second, filter, total, left_behind, started_ms };
            let read = RedriveRecord::decode(&RedriveRecord::key(3, 4), &record.encode());
            assert_eq!(read, Ok(((3, 4), RedrivePair::Record(Box::new(record)))));
        }
        let read = RedriveRecord::decode(&RedriveRecord::moved_key(3, 4), b"17");
        assert_eq!(read, Ok(((3, 4), RedrivePair::Moved(17))));
        for (key, value) in [
            (&b"redrive/1"[..], &b"{}"[..]),
            (b"redrive/1/x", b"{}"),
            (b"redrive/1/2", b"{}"),
            (b"redrive/1/2/moved", b"x"),
            (b"queue/1/2/moved", b"1"),
        ] {
            assert!(RedriveRecord::decode(key, value).is_err());
        }
    }
}

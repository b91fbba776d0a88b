//! What the members of a consumer group say about themselves: the topics that they read.
//!
//! The beginning of Kafka's consumer protocol (`ConsumerProtocolSubscription`), the same in every
//! version; the rest is the strategies' own.
//!
//! ```text
//! version: i16 | topics: i32 | (len: i16 | name) ...
//! ```

use std::collections::HashSet;
use tramline_broker::{GroupDescription, GroupPhase};

/// The protocol type of groups that read topics.
const CONSUMER: &str = "consumer";

/// The topics that a group's members read.
pub(crate) enum Subscribed {
    /// These.
    Topics(HashSet<String>),
    /// It is not known now: they are between two generations, or do not say it as Kafka does.
    Unknown,
    /// They do not read topics: they are no consumers.
    NoConsumers,
}

impl Subscribed {
    /// What the members of a group say.
    pub(crate) fn of(group: &GroupDescription) -> Self {
        let is_stable = match group.phase {
            GroupPhase::Empty | GroupPhase::Dead => return Self::Topics(HashSet::new()),
            GroupPhase::Stable => true,
            GroupPhase::PreparingRebalance | GroupPhase::CompletingRebalance => false,
        };
        if group.protocol_type.as_deref() != Some(CONSUMER) {
            return Self::NoConsumers;
        }
        let mut all = HashSet::new();
        let known = group.members.iter().all(|member| {
            topics(&member.metadata).is_some_and(|topics| {
                all.extend(topics);
                true
            })
        });
        if is_stable && known { Self::Topics(all) } else { Self::Unknown }
    }

    /// Whether a topic is read, as far as is known.
    pub(crate) fn may_have(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Unknown | Self::NoConsumers => true,
        }
    }
}

fn topics(mut metadata: &[u8]) -> Option<Vec<String>> {
    let _version: [u8; 2] = take(&mut metadata)?;
    let n_topics = i32::from_be_bytes(take(&mut metadata)?);
    let mut topics = Vec::new();
    for _ in 0..n_topics {
        let len = usize::try_from(i16::from_be_bytes(take(&mut metadata)?)).ok()?;
        let (name, rest) = metadata.split_at_checked(len)?;
        metadata = rest;
        topics.push(str::from_utf8(name).ok()?.to_owned());
    }
    Some(topics)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::topics;

    #[test]
    fn topics_are_read_and_what_is_cut_short_is_none() {
        let metadata = b"\0\x03\0\0\0\x02\0\x01t\0\x02uv\xff\xff\xff\xff";
        assert_eq!(topics(metadata).unwrap(), ["t", "uv"]);
        for len in 0..13 {
            assert_eq!(topics(&metadata[..len]), None, "{len} bytes");
        }
        assert_eq!(topics(b"\0\0\0\0\0\0"), Some(Vec::new()));
        assert_eq!(topics(b"\0\0\x7f\xff\xff\xff"), None);
        assert_eq!(topics(b"\0\0\0\0\0\x01\xff\xff"), None);
    }
}

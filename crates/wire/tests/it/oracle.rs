//! The same values and bytes as the `kafka-protocol` crate, for the versions that it knows.
//!
//! Values are compared as text: both codecs name structures and fields as Kafka does, so that
//! two fields of the same type cannot be swapped unnoticed.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirApiKey, RequestKind, ResponseKind};
use proptest::prelude::*;
use tramline_wire::kafka::ApiKey;

use crate::sample::{Direction, Sample};

/// Versions that the other codec lists (its table is newer than its messages) or lacks.
const UNKNOWN_TO_THEM: [(ApiKey, i16); 4] = [
    (ApiKey::ListOffsets, 11),
    (ApiKey::OffsetCommit, 10),
    (ApiKey::OffsetFetch, 10),
    (ApiKey::DescribeLogDirs, 5),
];

/// A message of the other codec: its text, and its bytes when encoded again.
struct Theirs {
    debug: String,
    encoded: Result<Bytes, String>,
}

/// Decodes with the other codec. `None` when it does not know the version.
fn decode_theirs(sample: &Sample, mut bytes: Bytes) -> Option<Result<Theirs, String>> {
    let version = sample.version;
    if UNKNOWN_TO_THEM.contains(&(sample.api_key, version)) {
        return None;
    }
    let key = TheirApiKey::try_from(sample.api_key.code()).ok()?;
    let mut encoded = BytesMut::new();
    let decoded = match sample.direction {
        Direction::Request => RequestKind::decode(key, &mut bytes, version)
            .map(|it| (format!("{it:?}"), it.encode(&mut encoded, version))),
        Direction::Response => ResponseKind::decode(key, &mut bytes, version)
            .map(|it| (format!("{it:?}"), it.encode(&mut encoded, version))),
    };
    Some(decoded.map_err(|error| error.to_string()).map(|(debug, result)| Theirs {
        debug,
        encoded: result.map(|()| encoded.freeze()).map_err(|error| error.to_string()),
    }))
}

/// Reduces both codecs' text to the same spelling. Empty and null are not told apart: where a
/// version lacks a nullable field, ours is null and theirs is empty, and in a field that is there
/// the encoded bytes tell.
fn normal(text: &str) -> String {
    const WRAPPERS: [&str; 6] =
        ["BrokerId(", "GroupId(", "ProducerId(", "Records([", "TopicName(", "TransactionalId("];
    /// Tagged fields that nobody knows, if there are none, and fields of an unstable version.
    const DROPPED: [&str; 4] = [
        // Of a version that the other codec lacks, false in those that it has.
        ", is_cordoned: false",
        ", unknown_tagged_fields: {}",
        ", enable_2_pc: false, keep_prepared_txn: false",
        ", ongoing_txn_producer_id: -1, ongoing_txn_producer_epoch: -1",
    ];
    let mut out = String::new();
    // For each open bracket, how many characters of its closing are dropped.
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        let is_word_start = !out.ends_with(char::is_alphanumeric);
        if let Some(after) = DROPPED.iter().find_map(|it| rest.strip_prefix(it)) {
            rest = after;
            continue;
        } else if let Some(wrapper) =
            WRAPPERS.iter().find(|it| is_word_start && rest.starts_with(**it))
        {
            open.push(wrapper.ends_with('[') as usize + 1);
            rest = &rest[wrapper.len()..];
            continue;
        } else if let Some(bytes) = uuid(rest) {
            out += &format!("{bytes:?}");
            taken = 36;
        } else if first == '"' {
            taken = string_end(rest);
            out += &rest[..taken];
        } else if "([".contains(first) {
            open.push(0);
            out.push(first);
        } else if ")]".contains(first) {
            match open.pop() {
                Some(0) | None => out.push(first),
                Some(dropped) => taken = dropped,
            }
        } else {
            out.push(first);
        }
        rest = &rest[taken..];
    }
    // A word of Rust's own.
    let out = out.replace(" _match: ", " match: ");
    out.replace("Some(\"\")", "None").replace("Some([])", "None")
}

/// Where the string literal ends that `text` starts with.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.get(..36)?;
    let hex: String = text.split('-').collect();
    if hex.len() != 32 {
        return None;
    }
    u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes)
}

#[test]
fn golden_messages_mean_the_same_to_the_other_codec() {
    let mut compared = 0;
    for sample in Sample::all() {
        let Some(theirs) = decode_theirs(&sample, sample.bytes.clone()) else { continue };
        let theirs = theirs.unwrap_or_else(|error| panic!("{}: {error}", sample.label()));
        let ours = sample.decode(sample.bytes.clone()).unwrap();
        assert_eq!(normal(&ours.debug()), normal(&theirs.debug), "{}", sample.label());
        assert_eq!(theirs.encoded.as_ref(), Ok(&sample.bytes), "{}", sample.label());
        compared += 1;
    }
    assert!(compared > 600, "only {compared} messages were compared");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_messages_mean_the_same_to_the_other_codec(
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let samples = samples();
        let sample = pick.get(samples);
        let mut bytes = sample.bytes.to_vec();
        for (at, byte) in edits {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let bytes = Bytes::from(bytes);
        // What we refuse is not shown to the other codec: it allocates on the word of a length.
        if let Ok(ours) = sample.decode(bytes.clone())
            && let Some(theirs) = decode_theirs(sample, bytes)
        {
            let theirs = theirs.map_err(TestCaseError::fail)?;
            let theirs_debug = normal(&theirs.debug);
            // Tagged fields that nobody knows are kept there and skipped here.
            if !theirs_debug.contains("unknown_tagged_fields") {
                prop_assert_eq!(normal(&ours.debug()), theirs_debug);
                let encoded = ours.encode(sample.version).map_err(|error| error.to_string());
                prop_assert_eq!(encoded, theirs.encoded);
            }
        }
    }
}

/// Every golden message, read once.
fn samples() -> &'static [Sample] {
    static SAMPLES: std::sync::OnceLock<Vec<Sample>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(Sample::all)
}

//! A queue's messages as records, and records as messages.
//!
//! What the engine goes by travels in headers with text values, so that every protocol can read
//! it: `expires-at` and `deliver-at` (milliseconds since 1970), `message-group`. A record's time
//! is when it was enqueued.

use super::death::EXPIRES_AT;
use crate::EnqueueOptions;
use bytes::Bytes;
use std::sync::Arc;
use tramline_queue::Loaded;
use tramline_types::{Header, Message, Timestamp};

/// The header of the time before which a message is not delivered.
pub(super) const DELIVER_AT: &str = "deliver-at";
const GROUP: &str = "message-group";

/// Writes what the engine goes by into a message that is enqueued now.
pub(super) fn stamp(message: &mut Message, options: &EnqueueOptions, now: Timestamp) {
    message.timestamp = Some(now);
    let mut put = |name: &'static str, value: Bytes| {
        let name = Bytes::from_static(name.as_bytes());
        message.headers.push(Header { name, value: Some(value) });
    };
    if let Some(ttl) = options.ttl_ms {
        let ttl = i64::try_from(ttl).unwrap_or(i64::MAX);
        put(EXPIRES_AT, Bytes::from(now.as_millis().saturating_add(ttl).to_string()));
    }
    if let Some(at) = options.deliver_at {
        put(DELIVER_AT, Bytes::from(at.as_millis().to_string()));
    }
    if let Some(group) = &options.group {
        put(GROUP, group.clone());
    }
}

/// A message with what the engine goes by. `enqueued_at` counts where it has no time.
pub(super) fn loaded(message: Arc<Message>, enqueued_at: Timestamp) -> Loaded {
    let (mut expires_at, mut group) = (None, message.key.as_ref().map(|key| hash(key)));
    for header in &message.headers {
        let Some(value) = &header.value else { continue };
        if header.name == EXPIRES_AT.as_bytes() {
            let text = std::str::from_utf8(value).ok();
            let millis = text.and_then(|text| text.parse().ok());
            expires_at = millis.map(Timestamp::from_millis).or(expires_at);
        } else if header.name == GROUP.as_bytes() {
            group = Some(hash(value));
        }
    }
    let bytes = message.value.as_ref().map_or(0, Bytes::len);
    Loaded {
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        enqueued_at: message.timestamp.unwrap_or(enqueued_at),
        expires_at,
        group,
        message,
    }
}

/// A group as it is stored: the same on every release.
fn hash(group: &[u8]) -> u64 {
    let wide = deduplication_hash(group);
    let [high, low] = [wide >> 64, wide & u128::from(u64::MAX)];
    u64::try_from(high ^ low).unwrap_or_default()
}

/// A deduplication id as it is stored: FNV-1a over 128 bits, the same on every release.
pub(super) fn deduplication_hash(id: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    id.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

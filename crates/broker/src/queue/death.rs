//! What a dead message carries along: where, why and how often it died, as JSON in its header
//! `dead-letter`, the newest death first.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tramline_queue::DeadReason;
use tramline_types::{Header, Message, Timestamp};

/// The header of deaths.
pub(super) const DEAD_LETTER: &str = "dead-letter";
/// The header of a message's own end of life, which is for the queue that it died in.
pub(super) const EXPIRES_AT: &str = "expires-at";
/// Deaths that one message remembers.
const DEATHS_MAX: usize = 64;

/// Deaths of one message in one queue for one reason.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Death {
    pub(super) queue: String,
    pub(super) reason: String,
    /// What the consumer said that rejected it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) explanation: Option<String>,
    pub(super) count: i64,
    #[serde(default)]
    pub(super) exchange: String,
    #[serde(default)]
    pub(super) routing_keys: Vec<String>,
    /// Seconds since 1970, of the first.
    #[serde(default)]
    pub(super) time: u64,
    /// The time to live that it came with, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original_expiration: Option<String>,
    /// Whether it died here first of all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) first: bool,
    /// The exchange that it was sent to after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
}

/// The deaths of a message, the newest first.
pub(super) fn read(message: &Message) -> Vec<Death> {
    let header = find(message, DEAD_LETTER);
    header.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default()
}

/// Where and why a message died, and where it goes.
pub(super) struct Dying<'a> {
    pub(super) queue: &'a str,
    pub(super) reason: DeadReason,
    pub(super) explanation: Option<&'a str>,
    pub(super) to: &'a str,
    pub(super) now: Timestamp,
}

/// The message as it is sent on, with this death before its others.
pub(super) fn add(message: &Message, dying: &Dying<'_>) -> (Message, Vec<Death>) {
    let mut deaths = read(message);
    let exchange = deaths.first().and_then(|death| death.to.clone());
    let exchange = exchange.unwrap_or_else(|| published_to(message));
    let reason = dying.reason.as_str();
    let again = deaths.iter().position(|d| d.queue == dying.queue && d.reason == reason);
    let mut death = match again {
        Some(at) => deaths.remove(at),
        None => Death {
            queue: dying.queue.to_owned(),
            reason: reason.to_owned(),
            explanation: None,
            count: 0,
            exchange,
            routing_keys: vec![key_text(message)],
            time: u64::try_from(dying.now.as_millis() / 1000).unwrap_or(0),
            original_expiration: original_expiration(message),
            first: deaths.is_empty(),
            to: None,
        },
    };
    death.count = death.count.saturating_add(1);
    death.explanation = dying.explanation.map(ToOwned::to_owned);
    death.to = Some(dying.to.to_owned());
    deaths.insert(0, death);
    deaths.truncate(DEATHS_MAX);
    let dropped = [DEAD_LETTER, EXPIRES_AT, super::message::DELIVER_AT];
    let kept = |header: &&Header| !dropped.iter().any(|name| header.name == name.as_bytes());
    let mut headers: Vec<Header> = message.headers.iter().filter(kept).cloned().collect();
    let value = serde_json::to_vec(&deaths).expect("text and numbers are JSON");
    let name = Bytes::from_static(DEAD_LETTER.as_bytes());
    headers.push(Header { name, value: Some(Bytes::from(value)) });
    (Message { headers, ..message.clone() }, deaths)
}

/// Whether a message would go round in a circle that no consumer is part of: it was in this
/// queue before and was rejected nowhere since.
pub(super) fn is_cycle(deaths: &[Death], queue: &str) -> bool {
    let Some(last) = deaths.iter().position(|death| death.queue == queue) else { return false };
    let rejected = DeadReason::Rejected.as_str();
    deaths[..=last].iter().all(|death| death.reason != rejected)
}

/// A header's value.
pub(super) fn find<'a>(message: &'a Message, name: &str) -> Option<&'a Bytes> {
    message.headers.iter().find(|header| header.name == name.as_bytes())?.value.as_ref()
}

/// The priority that a message came with.
pub(super) fn priority(message: &Message) -> u8 {
    let text = find(message, "priority").and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn key_text(message: &Message) -> String {
    let key = message.key.as_deref().unwrap_or_default();
    String::from_utf8_lossy(key).into_owned()
}

/// The exchange that an AMQP 0-9-1 client published to: its name stands first in the header that
/// keeps what came, after its length. Everyone else publishes to the default exchange.
fn published_to(message: &Message) -> String {
    let name = find(message, "amqp091").and_then(|compact| {
        let (length, rest) = compact.split_first()?;
        rest.get(..usize::from(*length))
    });
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

fn original_expiration(message: &Message) -> Option<String> {
    let expires = std::str::from_utf8(find(message, EXPIRES_AT)?).ok()?.parse::<i64>().ok()?;
    Some(expires.saturating_sub(message.timestamp?.as_millis()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dying<'a>(queue: &'a str, reason: DeadReason) -> Dying<'a> {
        Dying { queue, reason, explanation: None, to: "dlx", now: Timestamp::from_millis(5000) }
    }

    #[test]
    fn the_same_death_again_is_counted_and_comes_first() {
        let message = Message::default();
        let (message, _) = add(&message, &dying("a", DeadReason::Expired));
        let (message, _) = add(&message, &dying("b", DeadReason::Rejected));
        let (message, deaths) = add(&message, &dying("a", DeadReason::Expired));
        let seen: Vec<_> = deaths.iter().map(|d| (d.queue.as_str(), d.count, d.first)).collect();
        assert_eq!(seen, [("a", 2, true), ("b", 1, false)]);
        assert_eq!(deaths[1].exchange, "dlx");
        assert_eq!(read(&message), deaths);
    }

    #[test]
    fn a_circle_without_a_rejection_is_one() {
        let message = Message::default();
        let (message, deaths) = add(&message, &dying("a", DeadReason::Expired));
        assert!(is_cycle(&deaths, "a") && !is_cycle(&deaths, "b"));
        let (message, deaths) = add(&message, &dying("b", DeadReason::Rejected));
        assert!(!is_cycle(&deaths, "a"));
        let (_, deaths) = add(&message, &dying("c", DeadReason::MaxLength));
        assert!(is_cycle(&deaths, "c") && !is_cycle(&deaths, "b"));
    }

    #[test]
    fn the_time_to_live_stays_behind_and_is_told() {
        let header = |name: &'static str, value: &'static str| Header {
            name: Bytes::from_static(name.as_bytes()),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        let headers = vec![header("expires-at", "1500"), header("amqp091", "\x02exrest")];
        let timestamp = Some(Timestamp::from_millis(1000));
        let message = Message { headers, timestamp, ..Message::default() };
        let (message, deaths) = add(&message, &dying("a", DeadReason::Expired));
        assert_eq!(deaths[0].original_expiration.as_deref(), Some("500"));
        assert_eq!(deaths[0].exchange, "ex");
        assert!(find(&message, "expires-at").is_none());
    }
}

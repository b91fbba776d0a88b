//! The attributes of queues that clients set: their ranges, and what they become in the broker.

use crate::error::{Code, Error};
use serde_json::Value;
use std::collections::BTreeMap;

/// Policies may be so long.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Attributes as clients give them.
pub(crate) type Given = BTreeMap<String, String>;

/// What values an attribute takes.
#[derive(Clone, Copy)]
enum Rule {
    /// A number from the first to the second.
    Number(u64, u64),
    /// `true` or `false`.
    Bool,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Any text, or none.
    Text,
    /// A JSON object, or none.
    Json,
}

/// An attribute that can be set.
struct Attribute {
    name: &'static str,
    rule: Rule,
    fifo: bool,
    default: Option<&'static str>,
}

const fn any(name: &'static str, rule: Rule, default: Option<&'static str>) -> Attribute {
    Attribute { name, rule, fifo: false, default }
}

const fn fifo(name: &'static str, rule: Rule, default: Option<&'static str>) -> Attribute {
    Attribute { name, rule, fifo: true, default }
}

pub(crate) const CONTENT_DEDUPLICATION: &str = "ContentBasedDeduplication";
pub(crate) const DEDUPLICATION_SCOPE: &str = "DeduplicationScope";
pub(crate) const DELAY: &str = "DelaySeconds";
pub(crate) const FIFO: &str = "FifoQueue";
pub(crate) const KMS_KEY: &str = "KmsMasterKeyId";
pub(crate) const MESSAGE_SIZE_MAX: &str = "MaximumMessageSize";
pub(crate) const POLICY: &str = "Policy";
pub(crate) const RECEIVE_WAIT: &str = "ReceiveMessageWaitTimeSeconds";
pub(crate) const REDRIVE: &str = "RedrivePolicy";
pub(crate) const REDRIVE_ALLOW: &str = "RedriveAllowPolicy";
pub(crate) const RETENTION: &str = "MessageRetentionPeriod";
pub(crate) const SSE: &str = "SqsManagedSseEnabled";
pub(crate) const VISIBILITY: &str = "VisibilityTimeout";

/// All of them, with what queues have that were given none.
const ATTRIBUTES: &[Attribute] = &[
    fifo(CONTENT_DEDUPLICATION, Rule::Bool, Some("false")),
    fifo(DEDUPLICATION_SCOPE, Rule::OneOf(&["queue", "messageGroup"]), Some("queue")),
    any(DELAY, Rule::Number(0, 900), Some("0")),
    fifo("FifoThroughputLimit", Rule::OneOf(&["perQueue", "perMessageGroupId"]), Some("perQueue")),
    any("KmsDataKeyReusePeriodSeconds", Rule::Number(60, 86_400), None),
    any(KMS_KEY, Rule::Text, None),
    any(MESSAGE_SIZE_MAX, Rule::Number(1_024, 1_048_576), Some("1048576")),
    any(RETENTION, Rule::Number(60, 1_209_600), Some("345600")),
    any(POLICY, Rule::Json, None),
    any(RECEIVE_WAIT, Rule::Number(0, 20), Some("0")),
    any(REDRIVE_ALLOW, Rule::Json, None),
    any(REDRIVE, Rule::Json, None),
    any(SSE, Rule::Bool, None),
    any(VISIBILITY, Rule::Number(0, 43_200), Some("30")),
];

/// Attributes that only the service sets.
pub(crate) const READ_ONLY: &[&str] = &[
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Every name that can be asked for.
pub(crate) fn is_known(name: &str) -> bool {
    name == FIFO || READ_ONLY.contains(&name) || find(name).is_some()
}

/// Those that can be set and have a value without, for this kind of queue.
pub(crate) fn defaults(is_fifo: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_kind = move |attribute: &&Attribute| is_fifo || !attribute.fifo;
    let pair = |attribute: &Attribute| Some((attribute.name, attribute.default?));
    ATTRIBUTES.iter().filter(of_kind).filter_map(pair)
}

/// What a queue has that was given nothing.
pub(crate) fn default(name: &str) -> Option<&'static str> {
    find(name)?.default
}

fn find(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.name == name)
}

/// Checks what a client gives to a queue of this kind; `FifoQueue` is not for this.
pub(crate) fn check(given: &Given, is_fifo: bool) -> Result<(), Error> {
    for (name, value) in given {
        let known = find(name).filter(|attribute| is_fifo || !attribute.fifo);
        let Some(attribute) = known else {
            let message = format!("Unknown Attribute {name}.");
            return Err(Error::new(Code::InvalidAttributeName, message));
        };
        if !attribute.rule.admits(value) {
            return Err(wrong(name));
        }
    }
    Ok(())
}

/// Puts values as the service gives them back: in a redrive policy the count is a number.
pub(crate) fn normalise(given: &mut Given) {
    if let Some(text) = given.get_mut(REDRIVE)
        && let Ok(mut policy) = serde_json::from_str::<Value>(text)
        && let Some(count) = policy.get_mut("maxReceiveCount")
        && let Some(number) = count.as_str().and_then(|count| count.parse::<u32>().ok())
    {
        *count = number.into();
        *text = policy.to_string();
    }
}

/// An attribute's value cannot be.
pub(crate) fn wrong(name: &str) -> Error {
    let message = format!("Invalid value for the parameter {name}.");
    Error::new(Code::InvalidAttributeValue, message)
}

impl Rule {
    fn admits(self, value: &str) -> bool {
        match self {
            Self::Number(min, max) => {
                value.parse().is_ok_and(|number: u64| (min..=max).contains(&number))
            }
            Self::Bool => matches!(value, "true" | "false"),
            Self::OneOf(values) => values.contains(&value),
            Self::Text => value.len() <= 2_048,
            Self::Json => {
                let is_object =
                    || serde_json::from_str(value).is_ok_and(|value: Value| value.is_object());
                value.is_empty() || value.len() <= JSON_BYTES_MAX && is_object()
            }
        }
    }
}

/// Whether two values of an attribute mean the same.
pub(crate) fn is_same(name: &str, one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match find(name).map(|attribute| attribute.rule) {
        Some(Rule::Number(..)) => one.parse::<u64>().is_ok_and(|n| other.parse() == Ok(n)),
        Some(Rule::Json) => {
            let read = |text| serde_json::from_str::<Value>(text).ok();
            read(one).is_some_and(|one| read(other) == Some(one))
        }
        _ => false,
    }
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) target: String,
    pub(crate) receives_max: u32,
}

const RECEIVES_MAX: u32 = 1_000;

impl Redrive {
    /// Reads a redrive policy; none where the text is empty.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let refuse = |reason: &str| Error::value(REDRIVE, text, reason);
        let policy: Value = serde_json::from_str(text)
            .map_err(|_| refuse("Redrive policy is not a valid JSON map"))?;
        let member = |name: &str| {
            policy.get(name).filter(|value| !value.is_null()).ok_or_else(|| {
                refuse(&format!("Redrive policy does not contain mandatory attribute: {name}"))
            })
        };
        let target = member("deadLetterTargetArn")?.as_str();
        let target = target.ok_or_else(|| refuse("Invalid value for deadLetterTargetArn"))?;
        let count = match member("maxReceiveCount")? {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        let receives_max = count.filter(|n| (1..=RECEIVES_MAX).contains(n)).ok_or_else(|| {
            refuse(&format!(
                "Invalid value for maxReceiveCount, valid values are from 1 to {RECEIVES_MAX} both \
                 inclusive"
            ))
        })?;
        Ok(Some(Self { target: target.to_owned(), receives_max }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> Given {
        [(name.to_owned(), value.to_owned())].into_iter().collect()
    }

    #[test]
    fn values_at_their_bounds_pass_and_beyond_are_refused() {
        for (name, good, bad) in [
            (DELAY, ["0", "900"], ["-1", "901"]),
            (MESSAGE_SIZE_MAX, ["1024", "1048576"], ["1023", "1048577"]),
            (RETENTION, ["60", "1209600"], ["59", "1209601"]),
            (RECEIVE_WAIT, ["0", "20"], ["21", "x"]),
            (VISIBILITY, ["0", "43200"], ["43201", ""]),
            ("KmsDataKeyReusePeriodSeconds", ["60", "86400"], ["59", "86401"]),
            (SSE, ["true", "false"], ["yes", "1"]),
            (POLICY, ["", "{}"], ["[]", "{"]),
        ] {
            for value in good {
                assert_eq!(check(&given(name, value), false), Ok(()), "{name}={value}");
            }
            for value in bad {
                let error = check(&given(name, value), false).unwrap_err();
                assert_eq!(error.code, Code::InvalidAttributeValue, "{name}={value}");
            }
        }
    }

    #[test]
    fn attributes_of_fifo_queues_are_unknown_elsewhere() {
        let content = given(CONTENT_DEDUPLICATION, "true");
        assert_eq!(check(&content, true), Ok(()));
        assert_eq!(check(&content, false).unwrap_err().code, Code::InvalidAttributeName);
        for name in ["QueueArn", "NoSuch", "All"] {
            let error = check(&given(name, "1"), true).unwrap_err();
            assert_eq!(error.code, Code::InvalidAttributeName, "{name}");
        }
        assert_eq!(defaults(false).count() + 3, defaults(true).count());
    }

    #[test]
    fn redrive_policies_take_numbers_and_texts() {
        let policy = |count: &str| {
            Redrive::parse(&format!(
                "{{\"deadLetterTargetArn\": \"arn\", \"maxReceiveCount\": {count}}}"
            ))
        };
        for count in ["3", "\"3\""] {
            assert_eq!(policy(count).unwrap().unwrap().receives_max, 3);
        }
        for count in ["0", "1001", "null", "\"x\"", "-1", "1.5"] {
            assert!(policy(count).is_err(), "{count}");
        }
        assert_eq!(Redrive::parse(""), Ok(None));
        for wrong in ["{}", "x", "{\"maxReceiveCount\": 1}"] {
            assert!(Redrive::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        assert!(is_same(DELAY, "5", "05") && !is_same(DELAY, "5", "6"));
        assert!(is_same(REDRIVE, "{\"a\":1, \"b\":2}", "{\"b\":2,\"a\":1}"));
        assert!(!is_same(KMS_KEY, "a", "A"));
    }
}

//! Names, parsed once at the edge; inner code never validates again.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest AMQP 0-9-1 short string, in bytes.
const SHORT_STRING_MAX: usize = 255;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a {0} name must not be empty")]
    Empty(&'static str),
    /// Longer than the limit.
    #[error("a {what} name must not be longer than {limit} bytes")]
    TooLong {
        /// What was named.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// `.` and `..`.
    #[error("a topic cannot be named `{0}`")]
    Reserved(String),
    /// A character outside the allowed ones.
    #[error("`{0}` is no topic name: only letters, digits, `.`, `_` and `-` are allowed")]
    Character(String),
    /// More levels than the limit.
    #[error("a {what} name must not have more than {limit} levels")]
    TooDeep {
        /// What was named.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A character that no channel may have.
    #[error("`{0}` is no channel name: control characters, `*`, `+` and `#` are not allowed in it")]
    ChannelCharacter(String),
    /// Wildcards where none can be.
    #[error("`{0}` is no pattern: `*` stands for one whole level, `**` for the last levels")]
    ChannelPattern(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

name! {
    /// A topic's name by Kafka's rule: 1 to 249 of letters, digits, `.`, `_`, `-`; not `.` or `..`.
    TopicName
}

impl TopicName {
    /// Parses by Kafka's rule.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const BYTES_MAX: usize = 249;
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if text.is_empty() {
            Err(NameError::Empty("topic"))
        } else if text.len() > BYTES_MAX {
            Err(NameError::TooLong { what: "topic", limit: BYTES_MAX })
        } else if matches!(text, "." | "..") {
            Err(NameError::Reserved(text.to_owned()))
        } else if !text.bytes().all(allowed) {
            Err(NameError::Character(text.to_owned()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

name! {
    /// A consumer group's id: any text of 1 to 32767 bytes.
    GroupId
}

impl GroupId {
    /// Parses: not empty, and not longer than Kafka's string.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const BYTES_MAX: usize = i16::MAX as usize;
        if text.is_empty() {
            Err(NameError::Empty("group"))
        } else if text.len() > BYTES_MAX {
            Err(NameError::TooLong { what: "group", limit: BYTES_MAX })
        } else {
            Ok(Self(text.into()))
        }
    }
}

name! {
    /// A queue's name: 1 to 255 bytes of UTF-8, as AMQP 0-9-1 spells names. One that is no
    /// [`TopicName`] as well is hidden from Kafka clients.
    QueueName
}

impl QueueName {
    /// Parses: not empty, and not longer than a short string.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => Err(NameError::Empty("queue")),
            len if len > SHORT_STRING_MAX => {
                Err(NameError::TooLong { what: "queue", limit: SHORT_STRING_MAX })
            }
            _ => Ok(Self(text.into())),
        }
    }
}

name! {
    /// An exchange's name: up to 255 bytes of UTF-8. The empty one is the default exchange,
    /// which routes by queue name.
    ExchangeName
}

impl ExchangeName {
    /// Parses: not longer than a short string.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > SHORT_STRING_MAX {
            return Err(NameError::TooLong { what: "exchange", limit: SHORT_STRING_MAX });
        }
        Ok(Self(text.into()))
    }

    /// Whether it is the default exchange.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "A.b_c-9", &"x".repeat(249), "...", "__consumer"] {
            assert!(TopicName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(TopicName::parse(bad).is_err(), "{bad}");
        }
    }
}

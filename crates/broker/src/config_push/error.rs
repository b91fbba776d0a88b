//! Why a change of pushed configuration, or a look at it, is refused.

use super::ConfigKey;

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No name for a key or a scope.
    #[error("`{0}` is no key: 1 to 512 bytes, segments with `/` between them")]
    InvalidKey(String),
    /// The key has no value.
    #[error("key `{0}` has no value")]
    UnknownKey(ConfigKey),
    /// The key has no such revision, or no longer.
    #[error("key `{key}` has no revision {revision}")]
    UnknownRevision {
        /// The key.
        key: ConfigKey,
        /// The revision asked for.
        revision: u64,
    },
    /// The key is at another revision than the change expects.
    #[error("key `{key}` {}", .newest.map_or_else(|| "has no value".to_owned(), |at| format!("is at revision {at}")))]
    Conflict {
        /// The key.
        key: ConfigKey,
        /// Its newest revision; `None`: it has no value.
        newest: Option<u64>,
    },
    /// The value does not fit the schema of a rule.
    #[error("key `{key}`: the value does not fit the schema of `{scope}`: {detail}")]
    SchemaViolated {
        /// The key.
        key: ConfigKey,
        /// The scope of the rule.
        scope: String,
        /// Where and why.
        detail: String,
    },
    /// A rule that cannot be followed.
    #[error("the schema cannot be followed: {0}")]
    InvalidSchema(String),
    /// No rule has this scope.
    #[error("there is no rule for `{0}`")]
    UnknownRule(String),
    /// The change itself makes no sense.
    #[error("{0}")]
    InvalidChange(String),
    /// The value, or all values of the change together, are too large.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There may be no more of these.
    #[error("{0}")]
    LimitExceeded(String),
    /// The broker is at fault, full, or stopping.
    #[error(transparent)]
    Broker(#[from] crate::Error),
}

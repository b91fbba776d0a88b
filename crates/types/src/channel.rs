//! Names of channels, parsed once at the edge.

use crate::{
    NameError,
    limits::{CHANNEL_LEVELS_MAX, CHANNEL_NAME_BYTES_MAX},
};
use std::{borrow::Borrow, fmt, sync::Arc};

/// A channel's name: levels with `/` between them, such as `orders/eu/42`. UTF-8 without control
/// characters, and without `*`, `+` and `#`, which mean something in patterns here and in MQTT.
/// A level may be empty. A name whose first level begins with `$` is the broker's own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Parses: 1 to 1024 bytes, at most 32 levels.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_channel(text)?;
        if text.contains('*') {
            return Err(NameError::ChannelCharacter(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to the broker: its first level begins with `$`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// What names and patterns have in common.
pub fn check_channel(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty("channel"));
    }
    if text.len() > CHANNEL_NAME_BYTES_MAX {
        return Err(NameError::TooLong { what: "channel", limit: CHANNEL_NAME_BYTES_MAX });
    }
    if text.bytes().filter(|byte| *byte == b'/').count() >= CHANNEL_LEVELS_MAX {
        return Err(NameError::TooDeep { what: "channel", limit: CHANNEL_LEVELS_MAX });
    }
    if text.chars().any(|c| c.is_control() || matches!(c, '+' | '#')) {
        return Err(NameError::ChannelCharacter(text.to_owned()));
    }
    Ok(())
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_are_levels_without_wildcards() {
        let deep = vec!["x"; CHANNEL_LEVELS_MAX].join("/");
        for good in ["a", "orders/eu/42", "/", "a//b", "ä/ö", "$jobs/1", &deep, &"x".repeat(1024)]
        {
            assert!(ChannelName::parse(good).is_ok(), "{good}");
        }
        let too_deep = format!("{deep}/x");
        for bad in ["", "*", "a/*", "a*b", "a/+", "a/#", "a\0", "a\n", &too_deep, &"x".repeat(1025)]
        {
            assert!(ChannelName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ChannelName::parse("$jobs/1").unwrap().is_reserved());
        assert!(!ChannelName::parse("a/$").unwrap().is_reserved());
    }
}

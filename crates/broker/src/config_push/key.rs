//! Names of pushed configuration: a key, and a scope, which is one key or all keys below a
//! prefix.

use super::ConfigError;
use std::{fmt, sync::Arc};
use tramline_types::limits::CONFIG_KEY_BYTES_MAX;

/// A key: segments with `/` between them, such as `app/web/timeout`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKey(Arc<str>);

impl ConfigKey {
    /// Takes 1 to 512 bytes of UTF-8 without control characters; no segment is empty, `.` or
    /// `..`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let segment_is_wrong = |segment: &str| matches!(segment, "" | "." | "..");
        if text.len() > CONFIG_KEY_BYTES_MAX
            || text.chars().any(char::is_control)
            || text.split('/').any(segment_is_wrong)
        {
            return Err(ConfigError::InvalidKey(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ConfigKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One key, or all keys below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigScope {
    /// One key.
    Key(ConfigKey),
    /// All keys that begin with this: empty, or ending with `/`.
    Below(Arc<str>),
}

impl ConfigScope {
    /// Takes a key, a prefix that ends with `/`, or nothing for all keys.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match text.strip_suffix('/') {
            Some(prefix) => {
                ConfigKey::parse(prefix)?;
                Ok(Self::Below(text.into()))
            }
            None if text.is_empty() => Ok(Self::Below(text.into())),
            None => ConfigKey::parse(text).map(Self::Key),
        }
    }

    /// The text that it is parsed from.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(key) => key.as_str(),
            Self::Below(prefix) => prefix,
        }
    }

    /// Whether a key belongs to it.
    pub fn has(&self, key: &ConfigKey) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Below(prefix) => key.as_str().starts_with(&**prefix),
        }
    }

    /// Every scope that a key belongs to, the narrowest first.
    pub(crate) fn of(key: &ConfigKey) -> impl Iterator<Item = Self> {
        let text = key.as_str();
        let below = text.rmatch_indices('/').map(|(at, _)| Self::Below(text[..=at].into()));
        std::iter::once(Self::Key(key.clone()))
            .chain(below)
            .chain(std::iter::once(Self::Below("".into())))
    }
}

impl fmt::Display for ConfigScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_segments_that_every_client_spells_alike() {
        for right in ["a", "app/web/time-out", "a.b/c_d", "ä/ü", "a:b c"] {
            assert_eq!(ConfigKey::parse(right).map(|key| key.to_string()), Ok(right.to_owned()));
        }
        for wrong in ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a\nb"] {
            assert!(ConfigKey::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(ConfigKey::parse(&"x".repeat(512)).is_ok());
        assert!(ConfigKey::parse(&"x".repeat(513)).is_err());
    }

    #[test]
    fn a_key_belongs_to_itself_and_to_each_prefix_above_it() {
        let key = ConfigKey::parse("app/web/timeout").unwrap();
        let scopes: Vec<String> = ConfigScope::of(&key).map(|scope| scope.to_string()).collect();
        assert_eq!(scopes, ["app/web/timeout", "app/web/", "app/", ""]);
        assert!(ConfigScope::of(&key).all(|scope| scope.has(&key)));
        for other in ["app/web", "app/web/timeouts", "web/", "app/webs/"] {
            assert!(!ConfigScope::parse(other).unwrap().has(&key), "{other}");
        }
        for wrong in ["/", "a//", "../"] {
            assert!(ConfigScope::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! Every setting: name, kind, default and what it does. Names are Kafka's, so that its tools and
//! clients can be used: a test holds them against the list of Kafka 4.3.
//!
//! What Kafka has and what means nothing here is listed as well, with its default and the
//! reason, and takes no other value.

mod broker;
mod foreign;
mod group;
mod security;
mod topic;

use crate::{Change, Error};
pub use broker::BROKER_SETTINGS;
pub use group::GROUP_SETTINGS;
use std::collections::BTreeMap;
pub use topic::TOPIC_SETTINGS;

/// The type of a setting's value, as Kafka's `DescribeConfigs` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A 16-bit number.
    Short,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A fraction.
    Double,
    /// Comma-separated text.
    List,
    /// A name of code, in Kafka.
    Class,
    /// Text that is never shown.
    Password,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Kafka's name for it.
    pub name: &'static str,
    /// The type of its value.
    pub kind: SettingKind,
    /// The value where nobody sets one; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// What it does here.
    pub doc: &'static str,
    /// What Kafka calls a topic's setting where the broker sets it.
    pub broker_name: Option<&'static str>,
    allowed: Allowed,
}

#[derive(Clone, Debug)]
enum Allowed {
    Boolean,
    Between(i64, i64),
    Fraction,
    Positive,
    OneOf(&'static [&'static str]),
    /// A list of these, each once.
    SomeOf(&'static [&'static str]),
    /// `-1` or a number in between.
    MinusOneOr(i64, i64),
    /// Nothing but the default: why.
    Default(&'static str),
    /// Set in the configuration file, before the broker starts.
    AtStart,
}

/// The setting that says how far a topic's order goes.
pub(crate) const ORDER: &str = "order";

impl Setting {
    /// Whether it is set when the topic is created, and never after.
    pub fn is_fixed(&self) -> bool {
        self.name == ORDER
    }

    /// Checks a value; the answer says what is allowed.
    pub fn check(&self, value: &str) -> Result<(), Error> {
        let fail =
            |detail: String| Err(Error::InvalidSetting { name: self.name.to_owned(), detail });
        let between = |low: i64, high: i64| match value.trim().parse::<i64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            Ok(_) => fail(format!("{value} is not between {low} and {high}")),
            Err(_) => fail(format!("`{value}` is not a whole number")),
        };
        match self.allowed {
            Allowed::Boolean if value == "true" || value == "false" => Ok(()),
            Allowed::Boolean => fail(format!("`{value}` is neither `true` nor `false`")),
            Allowed::Between(low, high) => between(low, high),
            Allowed::MinusOneOr(..) if value.trim() == "-1" => Ok(()),
            Allowed::MinusOneOr(low, high) => between(low, high),
            Allowed::Fraction => match value.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => fail(format!("`{value}` is not a fraction between 0 and 1")),
            },
            Allowed::Positive => match value.trim().parse::<f64>() {
                Ok(number) if number > 0.0 => Ok(()),
                _ => fail(format!("`{value}` is not a number above 0")),
            },
            Allowed::OneOf(allowed) if allowed.contains(&value) => Ok(()),
            Allowed::OneOf(allowed) => {
                fail(format!("`{value}` is not supported; allowed: `{}`", allowed.join("`, `")))
            }
            Allowed::SomeOf(allowed) => check_items(allowed, value).or_else(fail),
            Allowed::Default(_) if self.is_default(value) => Ok(()),
            Allowed::Default(why) => fail(format!(
                "only the default `{}` is accepted: {why}",
                self.default.unwrap_or_default()
            )),
            Allowed::AtStart => fail("is set in the configuration file".to_owned()),
        }
    }

    /// Whether it can be changed while the broker runs.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.allowed, Allowed::Default(_) | Allowed::AtStart)
    }

    /// Applies a change (KIP-339) to the values that are set. `inherited` is what holds where
    /// none is.
    pub fn apply(
        &self,
        values: &mut BTreeMap<String, String>,
        change: &Change,
        inherited: &str,
    ) -> Result<(), Error> {
        let name = self.name.to_owned();
        match change {
            Change::Set(value) => drop(values.insert(name, value.clone())),
            Change::Reset => drop(values.remove(self.name)),
            Change::Append(_) | Change::Subtract(_) if self.kind != SettingKind::List => {
                let detail = "is not a list: set it instead".to_owned();
                return Err(Error::InvalidSetting { name, detail });
            }
            Change::Append(changed) | Change::Subtract(changed) => {
                let current = values.get(self.name).map_or(inherited, String::as_str);
                let changed: Vec<&str> = items(changed).collect();
                let mut kept: Vec<&str> =
                    items(current).filter(|old| !changed.contains(old)).collect();
                if matches!(change, Change::Append(_)) {
                    kept.extend(changed);
                }
                let joined = kept.join(",");
                values.insert(name, joined);
            }
        }
        Ok(())
    }

    /// Whether a value is the default, in whatever way it is written.
    pub fn is_default(&self, value: &str) -> bool {
        let default = self.default.unwrap_or_default();
        let numbers = (value.trim().parse::<f64>(), default.parse::<f64>());
        value.trim() == default || matches!(numbers, (Ok(value), Ok(default)) if value == default)
    }
}

fn check_items(allowed: &[&str], value: &str) -> Result<(), String> {
    let mut seen = Vec::new();
    for item in items(value) {
        if !allowed.contains(&item) {
            return Err(format!("`{item}` is not supported; allowed: `{}`", allowed.join("`, `")));
        }
        if seen.contains(&item) {
            return Err(format!("`{item}` is there more than once"));
        }
        seen.push(item);
    }
    if seen.is_empty() {
        return Err(format!("a list of `{}` must not be empty", allowed.join("`, `")));
    }
    Ok(())
}

/// The items of a list.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// The topic setting of this name.
pub fn find(name: &str) -> Result<&'static Setting, Error> {
    find_in(TOPIC_SETTINGS, name, "topic")
}

/// The broker setting of this name.
pub fn find_broker(name: &str) -> Result<&'static Setting, Error> {
    find_in(&BROKER_SETTINGS, name, "broker")
}

/// The group setting of this name.
pub fn find_group(name: &str) -> Result<&'static Setting, Error> {
    find_in(GROUP_SETTINGS, name, "group")
}

fn find_in(all: &'static [Setting], name: &str, what: &str) -> Result<&'static Setting, Error> {
    let at = all.binary_search_by_key(&name, |setting| setting.name);
    at.ok().and_then(|at| all.get(at)).ok_or_else(|| Error::InvalidSetting {
        name: name.to_owned(),
        detail: format!("no such {what} setting"),
    })
}

const fn setting(
    name: &'static str,
    kind: SettingKind,
    default: &'static str,
    (allowed, doc): (Allowed, &'static str),
) -> Setting {
    Setting { name, kind, default: Some(default), doc, broker_name: None, allowed }
}

impl Setting {
    /// What Kafka calls it where the broker sets it for all topics.
    const fn named(mut self, broker_name: &'static str) -> Self {
        self.broker_name = Some(broker_name);
        self
    }
}

const fn long(
    name: &'static str,
    default: &'static str,
    (low, high): (i64, i64),
    doc: &'static str,
) -> Setting {
    setting(name, SettingKind::Long, default, (Allowed::Between(low, high), doc))
}

const fn int(
    name: &'static str,
    default: &'static str,
    (low, high): (i64, i64),
    doc: &'static str,
) -> Setting {
    setting(name, SettingKind::Int, default, (Allowed::Between(low, high), doc))
}

const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    setting(name, SettingKind::Boolean, default, (Allowed::Boolean, doc))
}

const INT_MAX: i64 = i32::MAX as i64;

#[cfg(test)]
mod tests;

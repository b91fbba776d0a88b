//! Headers exchanges: a binding's arguments are compared with the message's headers.
//!
//! `x-match` says how: `all` (the default) and `any` leave out arguments that begin with `x-`,
//! `all-with-x` and `any-with-x` compare them as well. An argument without a value asks for the
//! header's presence alone. Values of different types are different.

use crate::{Arguments, Value};

/// How many of the arguments must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchMode {
    /// Each of them.
    All,
    /// At least one.
    Any,
}

/// A binding's arguments, taken apart once.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    mode: MatchMode,
    headers: Vec<(String, Value)>,
}

/// The argument that says how to match.
pub(crate) const X_MATCH: &str = "x-match";

impl Wanted {
    /// Reads a binding's arguments; `None` when `x-match` is none of the four.
    pub(crate) fn parse(arguments: &Arguments) -> Option<Self> {
        let (mode, with_x) = match arguments.get(X_MATCH) {
            None => (MatchMode::All, false),
            Some(Value::Text(text)) => match text.as_str() {
                "all" => (MatchMode::All, false),
                "any" => (MatchMode::Any, false),
                "all-with-x" => (MatchMode::All, true),
                "any-with-x" => (MatchMode::Any, true),
                _ => return None,
            },
            Some(_) => return None,
        };
        let counts =
            |(name, _): &&(String, Value)| name != X_MATCH && (with_x || !name.starts_with("x-"));
        let headers = arguments.0.iter().filter(counts).cloned().collect();
        Some(Self { mode, headers })
    }

    /// Whether a message with these headers goes through.
    pub(crate) fn matches(&self, header: &dyn Fn(&str) -> Option<Value>) -> bool {
        let fits = |(name, wanted): &(String, Value)| {
            header(name).is_some_and(|value| *wanted == Value::Void || *wanted == value)
        };
        match self.mode {
            MatchMode::All => self.headers.iter().all(fits),
            MatchMode::Any => self.headers.iter().any(fits),
        }
    }
}

#[cfg(test)]
mod tests;

//! The regular expressions of `pattern` and `patternProperties`: of ECMA-262 what can be matched in
//! a time that grows with the text alone. `\\d`, `\\w` and `\\b` are those of ASCII. Look-around,
//! backreferences and classes by Unicode property are refused.

use regex_lite::{Regex, RegexBuilder};

/// What a pattern may take in memory, and what each byte of a text then weighs.
const SIZES: [(usize, usize); 3] = [(4 * 1024, 1), (16 * 1024, 4), (64 * 1024, 16)];

/// A pattern, somewhere in a text.
pub(super) struct Pattern {
    regex: Regex,
    weight: usize,
}

impl Pattern {
    /// Reads a pattern, or says why it cannot be one.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let mut refused = String::new();
        for (size, weight) in SIZES {
            match RegexBuilder::new(text).size_limit(size).build() {
                Ok(regex) => return Ok(Self { regex, weight }),
                Err(error) => refused = error.to_string(),
            }
        }
        Err(refused)
    }

    /// Steps of a check that a byte takes.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Whether it is found in a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

//! SPDX licence expressions: `MIT OR (Apache-2.0 AND BSD-3-Clause)`.
//!
//! ```text
//! any   = all { "OR" all }        also "/", as older packages write it
//! all   = term { "AND" term }
//! term  = "(" any ")" | id [ "WITH" exception ]
//! ```

use anyhow::{Result, bail};

/// Whether the expression can be met with allowed licences alone.
/// An `id WITH exception` is asked for as a whole.
pub(super) fn holds(expression: &str, is_allowed: impl Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, is_allowed: &is_allowed };
    let holds = reader.any()?;
    match reader.words.first() {
        None => Ok(holds),
        Some(word) => bail!("`{word}` is not expected"),
    }
}

struct Reader<'a> {
    words: &'a [&'a str],
    is_allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, wanted: &str) -> bool {
        let found = self.words.first().is_some_and(|word| *word == wanted);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Result<bool> {
        let mut holds = self.all()?;
        while self.take("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    fn all(&mut self) -> Result<bool> {
        let mut holds = self.term()?;
        while self.take("AND") {
            holds &= self.term()?;
        }
        Ok(holds)
    }

    fn term(&mut self) -> Result<bool> {
        if self.take("(") {
            let holds = self.any()?;
            if !self.take(")") {
                bail!("a bracket is not closed");
            }
            return Ok(holds);
        }
        let id = self.id()?;
        if self.take("WITH") {
            let exception = self.id()?;
            return Ok((self.is_allowed)(&format!("{id} WITH {exception}")));
        }
        Ok((self.is_allowed)(id))
    }

    fn id(&mut self) -> Result<&'a str> {
        match self.words {
            [] | ["OR" | "AND" | "WITH" | ")", ..] => bail!("a licence is missing"),
            [id, rest @ ..] => {
                self.words = rest;
                Ok(id)
            }
        }
    }
}

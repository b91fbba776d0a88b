//! `cargo xtask tidy`: the rules of style that neither the compiler nor clippy checks.
//!
//! Which crate may import which ([`direction`]), what pure code may touch ([`purity`]), and
//! what a file may be called, hold and weigh ([`shape`]). Clippy holds functions to 70 lines.

mod direction;
mod purity;
mod shape;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use source::Source;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    line: usize,
    text: String,
}

impl Fault {
    /// A breach at a line, counted from 1; line 0 stands for the file as a whole.
    fn at(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Reads every file of the project and lists what breaks a rule.
pub(crate) fn run(project: &Project) -> Result<()> {
    let mut faults = direction::check(&project.metadata(&["--no-deps"])?)?;
    let paths = project.files()?;
    for path in &paths {
        let bytes = std::fs::read(project.root().join(path));
        let bytes = bytes.with_context(|| format!("cannot read `{path}`"))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        faults.extend(check(path, &text));
    }
    if !faults.is_empty() {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        bail!("{} breaches of the style rules:\n  {}", faults.len(), lines.join("\n  "));
    }
    println!("{} files follow the style rules", paths.len());
    Ok(())
}

/// The rules that look at one file.
fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = shape::check_any(path, text);
    if path.ends_with(".rs") {
        let source = Source::read(path, text);
        faults.extend(shape::check_rust(&source));
        faults.extend(purity::check(&source));
    }
    faults
}

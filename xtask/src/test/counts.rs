//! `conformance/counts.toml`: how many tests each suite ran when it was last changed, and which
//! it leaves out, each with the reason.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The file: one table per suite.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Counts(BTreeMap<String, Expected>);

/// What is expected of one suite.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// Fewer tests than this is a failure.
    pub(super) run: u32,
    /// The tests left out, as the suite's runner names them, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) excluded: BTreeMap<String, String>,
}

const HEADER: &str = "\
# How many tests each suite runs; fewer fails the run. `cargo xtask test --record` writes it.
# A test that is left out stands under `excluded` with its reason.
";

impl Counts {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot read `{}`", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEADER}\n{}", toml::to_string(&self.0)?);
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }

    pub(super) fn expected(&self, suite: &str) -> Expected {
        self.0.get(suite).cloned().unwrap_or_default()
    }

    pub(super) fn set_run(&mut self, suite: &str, run: u32) {
        self.0.entry(suite.to_owned()).or_default().run = run;
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, HEADER};

    #[test]
    fn what_is_written_is_read_back_with_the_reasons() {
        let text = "[a]\nrun = 3\n\n[a.excluded]\n\"test.py::x\" = \"why\"\n";
        let mut counts: Counts = toml::from_str(text).unwrap();
        counts.set_run("b-2.0", 7);
        let written = format!("{HEADER}\n{}", toml::to_string(&counts).unwrap());
        let again: Counts = toml::from_str(&written).unwrap();
        assert_eq!(again.expected("a").run, 3);
        assert_eq!(again.expected("a").excluded["test.py::x"], "why");
        assert_eq!(again.expected("b-2.0").run, 7);
        assert_eq!(again.expected("unknown").run, 0);
    }
}

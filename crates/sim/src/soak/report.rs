//! What a soak did and saw, for people.

use crate::{Totals, live::usage::Usage};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Samples that the table of growth shows.
const ROWS: usize = 12;

/// What a soak did and saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    seed: u64,
    /// Rounds that were checked.
    pub rounds: u32,
    /// What the checker has seen, over all rounds.
    pub totals: Totals,
    /// Records of kept topics that were compared again.
    pub compared: usize,
    /// Keyed records sent to compacted topics, and what compaction left of them.
    pub compacted: (usize, usize),
    /// Records compared between a total order and its partitions.
    pub ordered: usize,
    /// Generations that members of groups entered.
    pub joins: u64,
    faults: BTreeMap<&'static str, u32>,
    restarts: BTreeMap<&'static str, (u32, Duration)>,
    left_out: Vec<String>,
    memory_max: u64,
    samples: Vec<(Duration, Usage, u64)>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn left_out(&mut self, what: Option<String>) {
        let new = what.filter(|what| !self.left_out.contains(what));
        self.left_out.extend(new);
    }

    pub(super) fn injected(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn restarted(&mut self, after: &'static str, took: Duration) {
        let (count, slowest) = self.restarts.entry(after).or_default();
        *count += 1;
        *slowest = took.max(*slowest);
    }

    pub(super) fn checked(&mut self, totals: Totals) {
        self.rounds += 1;
        let sum = &mut self.totals;
        sum.sends_ok += totals.sends_ok;
        sum.sends_failed += totals.sends_failed;
        sum.sends_unknown += totals.sends_unknown;
        sum.reads += totals.reads;
        sum.commits_ok += totals.commits_ok;
        sum.commits_seen += totals.commits_seen;
        sum.admin_ok += totals.admin_ok;
    }

    pub(super) fn sampled(&mut self, usage: Usage, stored: u64, at: Duration) {
        self.memory_max = self.memory_max.max(usage.memory_max);
        self.samples.push((at, usage, stored));
    }

    /// What went wrong on purpose, so far.
    pub fn faults(&self) -> u32 {
        self.faults.values().sum()
    }

    /// Processes that were started.
    pub fn restarts(&self) -> u32 {
        self.restarts.values().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        writeln!(f, "seed {}, {} rounds checked", self.seed, self.rounds)?;
        writeln!(
            f,
            "  sends: {} acknowledged, {} refused, {} unknown; {} records read",
            totals.sends_ok, totals.sends_failed, totals.sends_unknown, totals.reads
        )?;
        writeln!(
            f,
            "  groups: {} commits acknowledged, {} looked at, {} joins; {} changes of topics",
            totals.commits_ok, totals.commits_seen, self.joins, totals.admin_ok
        )?;
        writeln!(
            f,
            "  compared again: {} records of earlier rounds, {} in total order; of {} keyed \
             records {} are left",
            self.compared, self.ordered, self.compacted.0, self.compacted.1
        )?;
        let faults: Vec<_> = self.faults.iter().map(|(name, n)| format!("{n} {name}")).collect();
        writeln!(f, "  faults: {}", faults.join(", "))?;
        for (after, (count, slowest)) in &self.restarts {
            writeln!(f, "  starts after {after}: {count}, the slowest took {slowest:?}")?;
        }
        for what in &self.left_out {
            writeln!(f, "  left out: {what}")?;
        }
        writeln!(f, "  resident memory at most {} MiB", self.memory_max >> 20)?;
        writeln!(
            f,
            "  {:>9} {:>11} {:>12} {:>11}",
            "time", "memory MiB", "descriptors", "stored MiB"
        )?;
        let step = self.samples.len().div_ceil(ROWS).max(1);
        for (at, usage, stored) in self.samples.iter().rev().step_by(step).rev() {
            let (memory, stored) = (usage.memory >> 20, stored >> 20);
            let seconds = at.as_secs();
            writeln!(f, "  {seconds:>7} s {memory:>11} {:>12} {stored:>11}", usage.descriptors)?;
        }
        Ok(())
    }
}

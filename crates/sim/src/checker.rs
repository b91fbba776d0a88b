//! Checks a whole history against the broker's promises. Pure: events in, a report out.
//!
//! Each file below holds the rules about one kind of thing; [`Index`] holds what all of them
//! look up. Time is the index of an event.

mod admin;
mod commits;
mod ends;
mod index;
mod order;
mod polls;
mod queues;
mod register;
mod values;

use crate::{Event, HistoryError, Report, Rule, Step, Totals, Violation};
use index::{Index, Outcome};

/// How strict a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Every partition with acknowledged sends, in a topic that still exists, must have been
    /// read to its end after the last of them; every queue with acknowledged publishes must have
    /// been emptied.
    pub drain_required: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { drain_required: true }
    }
}

/// Checks a history; an error means that the history itself makes no sense.
pub fn check(events: &[Event], options: Options) -> Result<Report, HistoryError> {
    let index = Index::new(events)?;
    let mut found = Found::default();
    values::check(&index, &mut found);
    order::check(&index, &mut found);
    polls::check(&index, options, &mut found);
    ends::check(&index, &mut found);
    commits::check(&index, &mut found);
    admin::check(&index, &mut found);
    let queues = queues::check(&index, options, &mut found);
    Ok(Report::new(totals(&index, queues), found.violations, events))
}

/// The violations found so far.
#[derive(Default)]
struct Found {
    violations: Vec<Violation>,
}

impl Found {
    fn add(&mut self, rule: Rule, detail: String, events: impl IntoIterator<Item = usize>) {
        let mut events: Vec<usize> = events.into_iter().collect();
        events.sort_unstable();
        events.dedup();
        self.violations.push(Violation { rule, detail, events });
    }
}

fn totals(index: &Index<'_>, queues: Totals) -> Totals {
    let mut totals = queues;
    for operation in &index.operations {
        let ok = operation.outcome == Outcome::Ok;
        match &index.events[operation.invoke].step {
            Step::Send { .. } => match operation.outcome {
                Outcome::Ok => totals.sends_ok += 1,
                Outcome::Failed => totals.sends_failed += 1,
                Outcome::Unknown => totals.sends_unknown += 1,
            },
            Step::Commit { .. } if ok => totals.commits_ok += 1,
            Step::FetchCommitted { .. } if ok => totals.commits_seen += 1,
            Step::CreateTopic { .. } | Step::DeleteTopic { .. } | Step::AlterTopic { .. } if ok => {
                totals.admin_ok += 1;
            }
            _ => {}
        }
    }
    totals.reads = index.reads().count();
    totals
}

#[cfg(test)]
mod tests;

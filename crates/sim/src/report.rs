//! What the checker found, for people.

use crate::Event;
use std::fmt;

/// A promise that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What was acknowledged can be read.
    NothingLost,
    /// What was refused is never visible.
    NothingRefusedVisible,
    /// What is read was sent.
    NothingInvented,
    /// A value is only where it was sent to.
    RightPlace,
    /// One partition and offset never names two values.
    OneValuePerOffset,
    /// What was acknowledged is at the offset that the acknowledgement named.
    AtItsOffset,
    /// A value that was not repeated, or by an idempotent producer only, is there once.
    NoDuplicate,
    /// Sends take effect in their order in time, and in the order of an ordered producer.
    SendOrder,
    /// The offsets that a client reads rise.
    PollOrder,
    /// No client reads past an offset that exists.
    NothingSkipped,
    /// The high watermark never goes back, not below an acknowledged or read offset either.
    HighWatermark,
    /// The log start never goes back, and only moves where retention is allowed to move it.
    LogStart,
    /// Acknowledged commits of group offsets are never undone.
    CommitKept,
    /// Acknowledged changes of topics are never undone, refused ones never visible.
    AdminKept,
    /// What was settled, and confirmed to be, is not delivered again.
    SettledStays,
    /// A message's delivery count never falls.
    CountKept,
    /// While a timed lock holds, nobody else gets the message.
    OneHolder,
    /// A dead message is in its dead-letter queue and not in its source.
    OneQueue,
    /// Messages of one group come one after the other, in their order.
    GroupOrder,
    /// Nothing is delivered before its time.
    NotEarly,
    /// What is published and accepted in one unit takes effect as a whole, or not at all.
    UnitWhole,
    /// Every partition with acknowledged sends was read to its end after the last of them, and
    /// every queue was emptied.
    Drained,
}

impl Rule {
    /// What the rule says.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NothingLost => "an acknowledged send is lost",
            Self::NothingRefusedVisible => "a refused send is visible",
            Self::NothingInvented => "a value was read that was never sent",
            Self::RightPlace => "a value was read from another partition than it was sent to",
            Self::OneValuePerOffset => "one offset names two values",
            Self::AtItsOffset => "a value is at another offset than was acknowledged",
            Self::NoDuplicate => "a value appears twice",
            Self::SendOrder => "sends took effect out of order",
            Self::PollOrder => "offsets read by one client do not rise",
            Self::NothingSkipped => "a client read past an offset that exists",
            Self::HighWatermark => "the high watermark went back",
            Self::LogStart => "the log start moved where it must not",
            Self::CommitKept => "a committed group offset was undone",
            Self::AdminKept => "a change of a topic was undone, or a refused one is visible",
            Self::SettledStays => "a settled message was delivered again",
            Self::CountKept => "a delivery count fell",
            Self::OneHolder => "a message was delivered while another's lock held it",
            Self::OneQueue => "a dead message was delivered by its source again",
            Self::GroupOrder => "a message was delivered before the one before it in its group",
            Self::NotEarly => "a message was delivered before its time",
            Self::UnitWhole => "a part of a unit took effect, and another did not",
            Self::Drained => {
                "a partition was not read to its end, or a queue not emptied, so nothing is proved \
                 of it"
            }
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// Where and what.
    pub detail: String,
    /// The events involved, by index in the history, in order.
    pub events: Vec<usize>,
}

/// What was checked: a check of nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sends that were acknowledged.
    pub sends_ok: usize,
    /// Sends that were refused.
    pub sends_failed: usize,
    /// Sends whose outcome is not known.
    pub sends_unknown: usize,
    /// Records read, by all clients.
    pub reads: usize,
    /// Commits of group offsets that were acknowledged.
    pub commits_ok: usize,
    /// Looks at committed offsets.
    pub commits_seen: usize,
    /// Acknowledged changes of topics.
    pub admin_ok: usize,
    /// Publishes into queues that were acknowledged.
    pub enqueues_ok: usize,
    /// Deliveries of queues' messages.
    pub deliveries: usize,
    /// Settlements that were confirmed.
    pub settles_ok: usize,
    /// Deliveries of messages that came from a dead-letter source.
    pub dead_letters: usize,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was checked.
    pub totals: Totals,
    /// What is wrong; empty is good.
    pub violations: Vec<Violation>,
    lines: std::collections::BTreeMap<usize, String>,
}

/// How many violations of one rule are printed in full.
const SHOWN_PER_RULE: usize = 5;
/// How much of one event is printed.
const EVENT_CHARS_SHOWN: usize = 300;

impl Report {
    pub(crate) fn new(totals: Totals, mut violations: Vec<Violation>, events: &[Event]) -> Self {
        violations.sort_by_key(|violation| (violation.rule, violation.events.clone()));
        let mut lines = std::collections::BTreeMap::new();
        for &i in violations.iter().flat_map(|violation| &violation.events) {
            lines.entry(i).or_insert_with(|| line(&events[i]));
        }
        Self { totals, violations, lines }
    }

    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether this promise was broken.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }
}

fn line(event: &Event) -> String {
    let text = serde_json::to_string(event).unwrap_or_else(|error| error.to_string());
    match text.char_indices().nth(EVENT_CHARS_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        writeln!(
            f,
            "{} sends acknowledged, {} refused, {} unknown; {} records read; {} offset commits \
             acknowledged, {} looked at; {} changes of topics; {} violations",
            totals.sends_ok,
            totals.sends_failed,
            totals.sends_unknown,
            totals.reads,
            totals.commits_ok,
            totals.commits_seen,
            totals.admin_ok,
            self.violations.len()
        )?;
        if totals.enqueues_ok + totals.deliveries > 0 {
            writeln!(
                f,
                "queues: {} publishes acknowledged, {} deliveries, {} of them dead letters, {} \
                 settlements confirmed",
                totals.enqueues_ok, totals.deliveries, totals.dead_letters, totals.settles_ok
            )?;
        }
        let mut shown = std::collections::BTreeMap::<Rule, usize>::new();
        for violation in &self.violations {
            let count = shown.entry(violation.rule).or_default();
            *count += 1;
            if *count > SHOWN_PER_RULE {
                continue;
            }
            writeln!(f, "- {}: {}", violation.rule.text(), violation.detail)?;
            for i in &violation.events {
                writeln!(f, "    event {i}: {}", self.lines.get(i).map_or("", String::as_str))?;
            }
        }
        for (rule, count) in shown.into_iter().filter(|(_, count)| *count > SHOWN_PER_RULE) {
            writeln!(f, "- {}: {} more", rule.text(), count - SHOWN_PER_RULE)?;
        }
        Ok(())
    }
}

//! What clients asked for and what they were told, one event per line of JSON.
//!
//! An operation is an invocation and at most one completion, joined by `client` and `op`. An
//! operation without a completion, or with [`Step::Unknown`], may have happened or not; one with
//! [`Step::Fail`] must never become visible. The order of events is their order in time: across
//! processes of one machine by `at`, nanoseconds of its monotonic clock.
//!
//! A topic that is deleted and made again must be written under another name in the history
//! (such as `name@id`): one name, one incarnation.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Write};

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds of a clock that all writers share; only used to merge files.
    #[serde(default)]
    pub at: u64,
    /// Who: one thread of control, with its own operation numbers.
    pub client: String,
    /// Which operation of this client; 0 for events that are no operation.
    #[serde(default)]
    pub op: u64,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Step {
    /// No operation: what may be expected of a client; before its first send.
    Client {
        /// Its sends to one partition take effect in the order in which they were invoked.
        #[serde(default)]
        ordered: bool,
        /// It repeats sends without idempotence: one value may appear more than once.
        #[serde(default)]
        may_duplicate: bool,
    },
    /// No operation: what the test did to the broker (a kill, a power cut); shown in reports.
    Note {
        /// For the reader of a report.
        text: String,
    },
    /// Invokes a send of one unique value.
    Send {
        /// The topic's one incarnation.
        topic: String,
        /// The partition; none where the client library chooses.
        #[serde(default)]
        partition: Option<u32>,
        /// Unique in the whole history.
        value: String,
    },
    /// The send was acknowledged.
    SendOk {
        /// Where.
        partition: u32,
        /// At which offset; none where the library does not say.
        #[serde(default)]
        offset: Option<u64>,
    },
    /// No operation: the client goes on reading one partition from here.
    Assign {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset; none where it is not known (a committed offset, a reset).
        #[serde(default)]
        offset: Option<u64>,
    },
    /// Invokes a poll; may be left out.
    Poll,
    /// What a poll gave, in the order in which it gave it.
    PollOk {
        /// The records.
        records: Vec<Read>,
    },
    /// No operation: since its last [`Step::Assign`] of this partition, the client has read all
    /// that there was below `next`.
    Drained {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Where it ended: the high watermark.
        next: u64,
    },
    /// Invokes a look at a partition's ends.
    Ends {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The ends.
    EndsOk(End),
    /// Invokes a commit of a group's offsets.
    Commit {
        /// The group.
        group: String,
        /// All of them, or none.
        offsets: Vec<Committed>,
    },
    /// Invokes a look at a group's committed offset.
    FetchCommitted {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The committed offset, if there is one.
    FetchCommittedOk {
        /// The offset.
        #[serde(default)]
        offset: Option<u64>,
    },
    /// Invokes the deletion of a group with its offsets.
    DeleteGroup {
        /// The group.
        group: String,
    },
    /// Invokes the creation of a topic.
    CreateTopic {
        /// The topic's one incarnation.
        topic: String,
        /// How many partitions.
        partitions: u32,
        /// Retention may remove its oldest records.
        #[serde(default)]
        retention: bool,
    },
    /// Invokes the deletion of a topic.
    DeleteTopic {
        /// The topic.
        topic: String,
    },
    /// Invokes a change of one setting.
    AlterTopic {
        /// The topic.
        topic: String,
        /// The setting's name; `partitions` for the number of partitions.
        setting: String,
        /// Its value.
        value: String,
    },
    /// Invokes a listing of all topics.
    ListTopics,
    /// The topics.
    ListTopicsOk {
        /// Every topic there is.
        topics: Vec<TopicSeen>,
    },
    /// Invokes the declaration of a queue.
    DeclareQueue {
        /// The queue.
        queue: String,
        /// The queue that its dead messages go to.
        #[serde(default)]
        dead_letter: Option<String>,
        /// Messages of one group are delivered in their order, the next one when the one before
        /// is done.
        #[serde(default)]
        ordered_groups: bool,
    },
    /// Invokes the publishing of one unique value into queues: into all of them, or none.
    Enqueue {
        /// The queues.
        queues: Vec<String>,
        /// Unique in the whole history.
        value: String,
        /// The group, where the queue orders groups.
        #[serde(default)]
        group: Option<String>,
        /// Not to be delivered before, in milliseconds of the clock of [`Step::ReceiveOk`].
        #[serde(default)]
        not_before_ms: Option<i64>,
        /// The queue and the token of the delivery that is accepted in the same unit: both take
        /// effect, or neither.
        #[serde(default)]
        unit: Option<(String, String)>,
    },
    /// No operation: from here on the client is sent what the queue has. What it gets so is in
    /// [`Step::ReceiveOk`] without an invocation.
    Attach {
        /// The queue.
        queue: String,
    },
    /// Invokes a receive.
    Receive {
        /// The queue.
        queue: String,
    },
    /// What was delivered.
    ReceiveOk {
        /// The queue.
        queue: String,
        /// When, in milliseconds of a clock that all writers share.
        at_ms: i64,
        /// The deliveries, in their order.
        deliveries: Vec<Delivered>,
    },
    /// Invokes the end of a delivery. [`Step::Ok`]: it is durable; [`Step::Fail`]: the delivery
    /// had ended before.
    Settle {
        /// The queue.
        queue: String,
        /// The delivery.
        token: String,
        /// How it ends.
        outcome: Settlement,
    },
    /// No operation: the queue holds no message any more, ready, locked or delayed.
    Emptied {
        /// The queue.
        queue: String,
    },
    /// No operation: the broker's process has ended without a word.
    Crash,
    /// The operation succeeded and has no result.
    Ok,
    /// The operation was refused: it has not happened and never will.
    Fail {
        /// The error, for the reader of a report.
        #[serde(default)]
        reason: String,
    },
    /// Whether the operation happened is not known (a time-out, a closed connection).
    Unknown {
        /// The error, for the reader of a report.
        #[serde(default)]
        reason: String,
    },
}

/// A record that was read: `[topic, partition, offset, value]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, u32, u64, String)", into = "(String, u32, u64, String)")]
pub struct Read {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
    /// The value, as it was read. A reader that finds filler bytes changed says so here, with
    /// a text that was never sent.
    pub value: String,
}

impl From<(String, u32, u64, String)> for Read {
    fn from((topic, partition, offset, value): (String, u32, u64, String)) -> Self {
        Self { topic, partition, offset, value }
    }
}

impl From<Read> for (String, u32, u64, String) {
    fn from(read: Read) -> Self {
        (read.topic, read.partition, read.offset, read.value)
    }
}

/// One delivery of a queue's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The value, as it was read; see [`Read::value`].
    pub value: String,
    /// Names the delivery within its queue.
    pub token: String,
    /// How often it was delivered before, where the protocol says so.
    #[serde(default)]
    pub count: Option<u32>,
    /// When its lock ends by itself, in milliseconds of the clock of [`Step::ReceiveOk`]; none
    /// for a lock that ends with the connection.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Done.
    Accept,
    /// Back to its place.
    Release,
    /// To the dead-letter target.
    Reject,
    /// Not ended: its lock holds to this time.
    Extend {
        /// In milliseconds of the clock of [`Step::ReceiveOk`].
        until_ms: i64,
    },
}

/// A partition's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The log start offset.
    pub start: u64,
    /// The high watermark.
    pub next: u64,
}

/// A group's offset for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// A topic in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSeen {
    /// The topic.
    pub topic: String,
    /// How many partitions.
    pub partitions: u32,
    /// The settings that are of interest.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Why a text is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A line that is no event.
    #[error("line {line} is no event: {source}: `{text}`")]
    Line {
        /// From 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Invocations and completions do not match.
    #[error("event {event}: {detail}: {line}")]
    Pairing {
        /// The index of the event.
        event: usize,
        /// What is wrong.
        detail: &'static str,
        /// The event as JSON.
        line: String,
    },
}

/// Reads a history of one event per line; empty lines are skipped. A last line without its
/// line feed is what a killed writer leaves behind, and is skipped if it is no event.
pub fn parse(text: &str) -> Result<Vec<Event>, HistoryError> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let mut events = Vec::new();
    for (i, line) in text[..whole].lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let event = serde_json::from_str(line);
        events.push(event.map_err(|source| HistoryError::Line {
            line: i + 1,
            text: line.to_owned(),
            source,
        })?);
    }
    events.extend(serde_json::from_str::<Event>(&text[whole..]));
    Ok(events)
}

/// Puts the events of several writers into the order of their time.
pub fn merge(histories: Vec<Vec<Event>>) -> Vec<Event> {
    let mut events: Vec<Event> = histories.into_iter().flatten().collect();
    events.sort_by_key(|event| event.at);
    events
}

/// Collects the events of one process in their order, and writes each to a ledger (if there is
/// one) before it returns.
#[derive(Default)]
pub struct Recorder {
    state: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    events: Vec<Event>,
    op_next: u64,
    ledger: Option<Box<dyn Write + Send>>,
}

impl Recorder {
    /// A recorder that writes every event to this ledger as well.
    pub fn with_ledger(ledger: Box<dyn Write + Send>) -> Self {
        let state = Recorded { ledger: Some(ledger), ..Recorded::default() };
        Self { state: Mutex::new(state) }
    }

    /// Records an invocation; gives the operation's number.
    pub fn invoke(&self, at: u64, client: &str, step: Step) -> u64 {
        let mut state = self.state.lock();
        state.op_next += 1;
        let op = state.op_next;
        state.push(Event { at, client: client.to_owned(), op, step });
        op
    }

    /// Records a completion.
    pub fn complete(&self, at: u64, client: &str, op: u64, step: Step) {
        self.state.lock().push(Event { at, client: client.to_owned(), op, step });
    }

    /// Records what is no operation.
    pub fn note(&self, at: u64, client: &str, step: Step) {
        self.state.lock().push(Event { at, client: client.to_owned(), op: 0, step });
    }

    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().events)
    }
}

impl Recorded {
    fn push(&mut self, event: Event) {
        if let Some(ledger) = &mut self.ledger {
            let mut line = serde_json::to_vec(&event).expect("an event has only string keys");
            line.push(b'\n');
            let written = ledger.write_all(&line).and_then(|()| ledger.flush());
            written.expect("the ledger must be written before the test may go on");
        }
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests;

//! Topics: acknowledged creations, deletions and changes of settings are never undone, refused
//! ones never visible, and nothing is read from a topic that was deleted.

use super::{
    Found,
    index::{Index, Outcome},
    register::{Proof, Register},
};
use crate::{Rule, Step, TopicSeen};
use std::collections::BTreeMap;

#[derive(Default)]
struct Topics<'a> {
    exists: BTreeMap<&'a str, Register<bool>>,
    /// By topic and setting; `partitions` is one of them.
    settings: BTreeMap<(&'a str, &'a str), Register<Option<String>>>,
}

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    let mut topics = collect(index);
    for (i, event) in index.events.iter().enumerate() {
        match &event.step {
            Step::ListTopicsOk { topics: seen } => {
                if let Some(operation) = index.operation(i) {
                    topics.check_listing(index, (operation.invoke, i), seen, found);
                }
            }
            Step::PollOk { .. } => check_deleted(index, i, found),
            _ => {}
        }
    }
}

fn collect<'a>(index: &Index<'a>) -> Topics<'a> {
    let mut topics = Topics::default();
    for operation in &index.operations {
        match &index.events[operation.invoke].step {
            Step::CreateTopic { topic, partitions, .. } => {
                let exists = topics.exists.entry(topic).or_insert_with(|| Register::new(false));
                exists.write(*operation, true);
                topics.setting(topic, "partitions").write(*operation, Some(partitions.to_string()));
            }
            Step::DeleteTopic { topic } => {
                let exists = topics.exists.entry(topic).or_insert_with(|| Register::new(true));
                exists.write(*operation, false);
            }
            Step::AlterTopic { topic, setting, value } => {
                topics.setting(topic, setting).write(*operation, Some(value.clone()));
            }
            _ => {}
        }
    }
    topics
}

impl<'a> Topics<'a> {
    fn setting(&mut self, topic: &'a str, name: &'a str) -> &mut Register<Option<String>> {
        self.settings.entry((topic, name)).or_insert_with(|| Register::new(None))
    }

    fn check_listing(
        &mut self,
        index: &Index<'_>,
        (invoke, complete): (usize, usize),
        seen: &[TopicSeen],
        found: &mut Found,
    ) {
        let mut report = |write: usize, detail: String| {
            let done = index.operation(write).and_then(|operation| operation.complete);
            let events = [write, invoke, complete].into_iter().chain(done);
            found.add(Rule::AdminKept, detail, events);
        };
        for (topic, register) in &mut self.exists {
            let exists = seen.iter().any(|seen| seen.topic == *topic);
            if let Err(write) = register.read((invoke, complete), &exists, Proof::Yes) {
                let what = if exists { "exists" } else { "is gone" };
                report(write, format!("topic `{topic}` {what}"));
            }
        }
        for ((topic, name), register) in &mut self.settings {
            let Some(seen) = seen.iter().find(|seen| seen.topic == *topic) else { continue };
            let value = match *name {
                "partitions" => Some(seen.partitions.to_string()),
                name => seen.settings.get(name).cloned(),
            };
            if let Err(write) = register.read((invoke, complete), &value, Proof::Yes) {
                report(write, format!("topic `{topic}`: `{name}` is {value:?}"));
            }
        }
    }
}

/// A poll that began after a deletion was acknowledged shows nothing of the topic.
fn check_deleted(index: &Index<'_>, event: usize, found: &mut Found) {
    let Some(poll) = index.operation(event) else { return };
    let Step::PollOk { records } = &index.events[event].step else { return };
    let Some(topic) =
        records.iter().map(|read| &read.topic).find(|topic| index.deleted.contains(topic.as_str()))
    else {
        return;
    };
    let deletion = index.operations.iter().find(|operation| {
        operation.outcome == Outcome::Ok
            && operation.complete.is_some_and(|end| end < poll.invoke)
            && index.events[operation.invoke].step == Step::DeleteTopic { topic: topic.clone() }
    });
    if let Some(deletion) = deletion {
        let detail = format!("topic `{topic}` was deleted and is read");
        let events = [deletion.invoke, poll.invoke, event].into_iter().chain(deletion.complete);
        found.add(Rule::AdminKept, detail, events);
    }
}

//! Committed group offsets: what was acknowledged is there until it is overwritten or deleted.

use super::{
    Found,
    index::{Index, Operation, Outcome, Place},
    register::{Proof, Register},
};
use crate::{Committed, Rule, Step};
use std::collections::BTreeMap;

type Registers<'a> = BTreeMap<(&'a str, Place<'a>), Register<Option<u64>>>;

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    let mut registers = collect(index);
    for (i, event) in index.events.iter().enumerate() {
        let Step::FetchCommittedOk { offset } = event.step else { continue };
        let Some(invoke) = index.operation(i).map(|operation| operation.invoke) else { continue };
        let Step::FetchCommitted { group, topic, partition } = &index.events[invoke].step else {
            continue;
        };
        let key = (group.as_str(), Place { topic, partition: *partition });
        let register = registers.entry(key).or_insert_with(|| Register::new(None));
        let proof = if offset.is_some() { Proof::Yes } else { Proof::No };
        if let Err(write) = register.read((invoke, i), &offset, proof) {
            let seen = offset.map_or_else(|| "no offset".to_owned(), |offset| offset.to_string());
            let detail = format!("group `{group}`, {}: {seen}", key.1);
            let complete = index.operation(write).and_then(|operation| operation.complete);
            found.add(Rule::CommitKept, detail, [write, invoke, i].into_iter().chain(complete));
        }
    }
}

fn collect<'a>(index: &Index<'a>) -> Registers<'a> {
    let mut registers = Registers::new();
    for operation in &index.operations {
        if let Step::Commit { group, offsets } = &index.events[operation.invoke].step {
            for Committed { topic, partition, offset } in offsets {
                let key = (group.as_str(), Place { topic, partition: *partition });
                let register = registers.entry(key).or_insert_with(|| Register::new(None));
                register.write(*operation, Some(*offset));
            }
        }
    }
    for operation in &index.operations {
        match &index.events[operation.invoke].step {
            Step::DeleteGroup { group } => {
                for (_, register) in registers.iter_mut().filter(|((g, _), _)| g == group) {
                    register.write(*operation, None);
                }
            }
            // The offsets go some time after the topic.
            Step::DeleteTopic { topic } if operation.outcome != Outcome::Failed => {
                let some_time = Operation { outcome: Outcome::Unknown, ..*operation };
                for (_, register) in registers.iter_mut().filter(|((_, p), _)| p.topic == topic) {
                    register.write(some_time, None);
                }
            }
            _ => {}
        }
    }
    registers
}

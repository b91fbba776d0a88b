//! A value that is overwritten as a whole: a group's offset, a topic's setting, whether a topic
//! exists. A read must give the value of a write that may have been the last one.

use super::index::{Operation, Outcome};

/// A write: when, and of what.
pub(super) struct Write<T> {
    pub(super) operation: Operation,
    pub(super) value: T,
}

/// Whether a read that only one write of unknown outcome explains proves that it happened, so
/// that it must not be undone later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Yes,
    /// A deletion may be seen before it is durable, and be undone by a crash.
    No,
}

/// All writes of one register, and what reads have proved of them so far.
pub(super) struct Register<T> {
    initial: T,
    writes: Vec<Write<T>>,
}

impl<T: PartialEq> Register<T> {
    pub(super) const fn new(initial: T) -> Self {
        Self { initial, writes: Vec::new() }
    }

    pub(super) fn write(&mut self, operation: Operation, value: T) {
        if operation.outcome != Outcome::Failed {
            self.writes.push(Write { operation, value });
        }
    }

    /// Checks a read; reads must come in the order of their completion. The error is the write
    /// that the read ought to have seen, or a later one.
    pub(super) fn read(
        &mut self,
        (invoke, complete): (usize, usize),
        value: &T,
        proof: Proof,
    ) -> Result<(), usize> {
        // The last write that was certainly done before the read began: every write that was
        // complete before this one began is overwritten.
        let done = |write: &&Write<T>| {
            write.operation.outcome == Outcome::Ok
                && write.operation.complete.is_some_and(|end| end < invoke)
        };
        let last = self.writes.iter().filter(done).map(|write| write.operation.invoke).max();
        if last.is_none() && *value == self.initial {
            return Ok(());
        }
        let mut possible = self.writes.iter_mut().filter(|write| {
            let overwritten = write.operation.outcome == Outcome::Ok
                && write.operation.complete.is_some_and(|end| last.is_some_and(|last| end < last));
            write.value == *value && write.operation.invoke < complete && !overwritten
        });
        let Some(first) = possible.next() else {
            return Err(last.unwrap_or(invoke));
        };
        // A read that can only come from this write proves that it happened.
        let proves = proof == Proof::Yes && possible.next().is_none();
        if proves && first.operation.outcome == Outcome::Unknown {
            first.operation.outcome = Outcome::Ok;
            first.operation.complete = Some(complete);
        }
        Ok(())
    }
}

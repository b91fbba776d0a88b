//! The delivery engine: which messages of a queue are ready, locked, delayed or done.
//!
//! Pure state, one owner per queue: time comes in as `now`, messages come in as they are
//! appended or loaded, and what must be logged, loaded or moved goes out. A message lives in a
//! *lane* (one log: a priority level of a queue, a partition of a topic) at an offset.

mod by_offset;
mod consumers;
mod dedup;
mod delays;
mod delta;
mod engine;
mod fair;
mod group;
mod kind;
mod lane;
mod locks;
mod source;

pub use consumers::{ConsumerId, Consumers};
pub use engine::{
    Arrival, Change, Delivery, Engine, Load, Look, MessageState, Removal, Rules, Take, Taking,
    Transfer,
};
pub use kind::{Counts, DeadReason, Lock, LockToken, Outcome, Place};
pub use source::Loaded;

//! Nothing lost: histories of what clients asked and were told, and the checker that says
//! whether a broker kept its promises in them. Seeded simulation and real clients write the
//! same histories.

mod checker;
mod history;
pub mod live;
pub mod payload;
mod report;
pub mod simulation;
pub mod soak;

pub use checker::{Options, check};
pub use history::{
    Committed, Delivered, End, Event, HistoryError, Read, Recorder, Settlement, Step, TopicSeen,
    merge, parse,
};
pub use report::{Report, Rule, Totals, Violation};

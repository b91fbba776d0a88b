//! The commands that speak to a running broker, through its HTTP API alone.

pub(crate) mod channel;
pub(crate) mod config_push;
pub(crate) mod doctor;
pub(crate) mod exchange;
pub(crate) mod group;
pub(crate) mod job;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod subscribe;
pub(crate) mod topic;

mod client;
mod confirm;
mod sse;
mod table;
mod time;

/// What was asked for is done; whoever reads the output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub(crate) struct Stop;

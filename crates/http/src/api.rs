//! One file per resource or action. Handlers parse, ask the broker, and shape the answer.

pub(crate) mod binding;
pub(crate) mod channel;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod group;
pub(crate) mod health;
pub(crate) mod job;
pub(crate) mod landing;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod offsets;
pub(crate) mod queue;
pub(crate) mod tail;
pub(crate) mod topic;

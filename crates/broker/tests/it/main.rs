//! The boundary over the memory back-end: what front-ends rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus;
mod compaction;
mod config_push;
mod durability;
mod fetching;
mod jobs;
mod lag;
mod ordered;
mod queues;
mod settings;
mod support;
mod topics;

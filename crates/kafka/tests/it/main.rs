//! The Kafka front-end over a real loopback socket, with the codec as the client.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod admin;
mod compaction;
mod connections;
mod fetch;
mod groups;
mod hostile;
mod memory;
mod metadata;
mod nodes;
mod ordered;
mod produce;
mod queues;
mod quotas;
mod support;
mod tools;
mod versions;

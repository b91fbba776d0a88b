//! The SQS front-end over a broker in memory, through real sockets, on a clock that stands still.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod head;
mod hostile;
mod messages;
mod reset;
mod server;

//! The AMQP 0-9-1 front-end over a real loopback socket, with the codec as the client.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod bounds;
mod delivery;
mod hostile;
mod support;
mod transaction;

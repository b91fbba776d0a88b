//! The HTTP front-end over a broker in memory, through real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod channels;
mod config;
mod errors;
mod groups;
mod guard;
mod jobs;
mod messages;
mod openapi;
mod ordered;
mod queues;
mod schema;
mod server;
mod tail;
mod topics;
mod websocket;

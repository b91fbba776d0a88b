//! The real binary: started, used, stopped, refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;
mod commands;
mod serving;

//! Real broker processes on real disks, and the clients that load and read them. What the
//! clients were told is in a history, as in the simulation.
//!
//! `TRAMLINE_BIN` names the broker's binary. Clients are plain threads that block: they run in
//! real time and share nothing with the broker but its sockets.

#![allow(clippy::disallowed_methods, reason = "real processes take real time")]
#![allow(clippy::print_stderr, reason = "says what was left out, and where a run stands")]

pub mod amqp;
pub mod audit;
pub mod cgroup;
pub mod clock;
pub mod connection;
pub mod http;
pub mod image;
pub mod load;
pub mod machine;
pub mod member;
pub mod queues;
pub mod site;
pub mod sqs;
pub mod subscriptions;
pub mod usage;
pub mod world;

/// Says that something cannot be tested on this machine. Under CI that is a failure, unless
/// `TRAMLINE_MAY_LEAVE_OUT` names it (`cargo xtask test` takes it from `conformance/counts.toml`).
///
/// # Panics
/// Under CI.
pub fn leave_out(what: &str, reason: &str) {
    let is_set = |value: &std::ffi::OsStr| !value.is_empty() && value != "false";
    let allowed = std::env::var("TRAMLINE_MAY_LEAVE_OUT").unwrap_or_default();
    let allowed = allowed.split(',').any(|one| one == what);
    let is_ci = std::env::var_os("CI").is_some_and(|value| is_set(&value));
    assert!(allowed || !is_ci, "`{what}` must not be left out under CI: {reason}");
    eprintln!("left out: {what}, because {reason}");
}

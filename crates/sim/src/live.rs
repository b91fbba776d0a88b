//! Real broker processes on real disks, and the clients that load and read them. What the
//! clients were told is in a history, as in the simulation.
//!
//! `TRAMLINE_BIN` names the broker's binary. Clients are plain threads that block: they run in
//! real time and share nothing with the broker but its sockets.

#![allow(clippy::disallowed_methods, reason = "real processes take real time")]
#![allow(clippy::print_stderr, reason = "says what was left out, and where a run stands")]

pub mod audit;
pub mod connection;
pub mod http;
pub mod image;
pub mod load;
pub mod machine;
pub mod site;
pub mod usage;
pub mod world;

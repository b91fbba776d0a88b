//! Real processes on real disks, killed, cut off, filled up and damaged, under load by real
//! clients. What the clients were told is in a history, and the checker has the last word.
//!
//! `TRAMLINE_BIN` names the broker's binary, `TRAMLINE_ROUNDS` the number of kills (20),
//! `TRAMLINE_PYTHON` a Python with `confluent-kafka` (without it that client is left out),
//! `TRAMLINE_SEED` decides the random moments. Tests that need the whole machine run
//! alone, the others side by side.

#![allow(clippy::disallowed_methods, reason = "real processes take real time")]
#![allow(clippy::print_stderr, reason = "says what was left out, and where a run stands")]

use tramline_sim::live::{
    amqp, audit, cgroup, clock as wall_clock, connection, http, image, load, machine, member,
    queues as queue_load, site, sqs as sqs_load, subscriptions as subscription_load, world,
};

mod bombs;
mod clock;
mod damage;
mod descriptors;
mod full;
mod hung;
mod kill;
mod lengths;
mod members;
mod memory;
mod pause;
mod power;
mod python;
mod queues;
mod read_only;
mod slow;
mod sqs;
mod stop;
mod storm;
mod subscriptions;
mod sync_error;

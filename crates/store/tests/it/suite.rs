//! What every back-end does.

mod changing;
mod large;
mod reading;
mod state;

use crate::{
    batches::{append_to, batch, stamped, target},
    subject::{Disk, Memory, MemoryThreaded, RealDisk, Subject, commit},
};
use changing::*;
use large::*;
use reading::*;
use state::*;
use tramline_types::LogId;

const A: LogId = LogId(1);
const B: LogId = LogId(2);
const C: LogId = LogId(7);

macro_rules! suite {
    ($($name:ident)*) => {
        mod memory {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut Memory::new()); })*
        }
        mod memory_threaded {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut MemoryThreaded::new()); })*
        }
        mod disk {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut Disk::new()); })*
        }
        mod disk_retiring {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut Disk::retiring()); })*
        }
        mod disk_real {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut RealDisk::new()); })*
        }
    };
}

suite! {
    a_read_from_every_offset_gives_whole_batches
    reads_stop_at_the_byte_limit_but_give_at_least_one_batch
    reads_beyond_the_ends_are_empty_or_refused
    an_unknown_log_is_an_error_everywhere
    one_batch_to_many_logs_carries_each_stamp
    a_log_may_start_at_any_offset
    trimming_drops_what_lies_wholly_below_and_never_goes_back
    discarding_keeps_the_rest_readable
    replacing_leaves_gaps_that_reads_pass_over
    replacing_again_and_trimming_keep_the_order
    a_deleted_log_is_gone_and_the_others_stay
    an_append_after_a_delete_is_void
    state_is_the_last_checkpoint_and_the_later_deltas
    state_without_a_checkpoint_is_all_deltas
    state_is_handed_out_once_and_only_after_a_start
    a_quiet_state_survives_a_busy_neighbour
    pairs_are_seen_as_submitted_and_in_key_order
    one_commit_changes_everything_or_nothing
    chunks_cover_the_log_and_tell_times
    usage_follows_appends_and_trims
    completions_come_in_order_and_find_their_commit_readable
    large_batches_come_back_as_they_were
    large_and_small_batches_mix_in_one_commit
    a_reservation_that_is_not_used_is_given_back
    a_closed_store_takes_nothing_more
    nothing_changes_over_many_starts
}

/// Appends batches of so many records each to a log, each in a commit of its own; gives the
/// batches as readers see them, with their bases.
fn fill(
    subject: &mut dyn Subject,
    log: LogId,
    from: u64,
    sizes: &[(u32, usize)],
) -> Vec<(u64, Vec<u8>)> {
    let mut base = from;
    let mut stored = Vec::new();
    for (offsets, payload) in sizes {
        let one = batch(base * 31 + log.0, *offsets, *payload, 1000 + i64::try_from(base).unwrap());
        commit(subject, vec![append_to(&[target(log, base)], &one, *offsets)]);
        stored.push((base, stamped(&one, target(log, base))));
        base += u64::from(*offsets);
    }
    stored
}

const SIZES: [(u32, usize); 6] = [(1, 10), (3, 100), (1, 0), (5, 4000), (2, 9000), (1, 1)];

fn concatenated<'a>(batches: impl IntoIterator<Item = &'a (u64, Vec<u8>)>) -> Vec<u8> {
    batches.into_iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

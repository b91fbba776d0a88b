//! A store's content as text: equal text, equal content.

use std::fmt::Write;
use tramline_store::{DiskStore, LogStore, Reading};

/// All that the store shows, its states included: they are handed out only once.
pub(crate) fn dump(store: &DiskStore) -> String {
    let mut out = String::new();
    dump_into(&mut out, store).expect("text takes all that is written to it");
    out
}

fn dump_into(out: &mut String, store: &DiskStore) -> std::fmt::Result {
    for log in store.logs() {
        let ends = store.ends(log).expect("it is listed");
        writeln!(out, "log {} {}..{}", log.0, ends.start.get(), ends.next.get())?;
        let state = store.take_state(log).expect("it is listed");
        writeln!(out, "  checkpoint {:?}", state.checkpoint)?;
        for delta in state.deltas {
            writeln!(out, "  delta {delta:?}")?;
        }
        let mut from = ends.start;
        while from < ends.next {
            let batches = match store.read(log, from, 1) {
                Reading::Ready(batches) => batches,
                Reading::Pending(batches) => futures_util::FutureExt::now_or_never(batches)
                    .expect("without threads whoever polls a read does it"),
            };
            let batches = batches.expect("whole files can be read");
            if batches.pieces.is_empty() {
                break;
            }
            let bytes = batches.pieces.concat();
            let (next, crc) = (batches.next.get(), crc32c::crc32c(&bytes));
            writeln!(out, "  {}..{next} {} bytes {crc:08x}", from.get(), bytes.len())?;
            from = batches.next;
        }
    }
    for (key, value) in store.scan(b"") {
        writeln!(out, "pair {key:?} {value:?}")?;
    }
    Ok(())
}

//! Seeds of the simulation: every one a small life of a broker, with its history checked.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};
use tramline_broker::JobState;
use tramline_sim::simulation::{Backing, Finished, Settings, run};
use tramline_store::fs::sim::SyncKind;

const SEEDS_DEFAULT: u64 = 1000;
/// A missing sync has to show within so many seeds.
const CONTROL_SEEDS: u64 = 300;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TRAMLINE_SEEDS") else { return 0..SEEDS_DEFAULT };
    let number = |text: &str| {
        text.parse::<u64>().unwrap_or_else(|_| panic!("`{text}` in TRAMLINE_SEEDS is no number"))
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

/// Fewer seeds, as when one that failed is run again, need not come upon everything.
const SEEDS_TOLD_FROM: u64 = 100;

/// Why a seed failed.
enum Failure {
    Broken(Box<Finished>),
    Panicked(String),
}

fn run_seed(settings: Settings) -> Result<Finished, Failure> {
    let seed = settings.seed;
    match catch_unwind(AssertUnwindSafe(|| run(settings))) {
        Ok(finished) if finished.is_good() => Ok(finished),
        Ok(finished) => Err(Failure::Broken(Box::new(finished))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            Err(Failure::Panicked(format!("seed {seed}: panicked: {text}")))
        }
    }
}

impl Failure {
    fn text(self) -> String {
        match self {
            Self::Broken(finished) => format!("{finished}  history: {}", keep_history(&finished)),
            Self::Panicked(text) => text,
        }
    }
}

/// Writes a failing seed's history where it can be looked at; says where.
fn keep_history(finished: &Finished) -> String {
    let path = format!("{}/seed-{}.jsonl", env!("CARGO_TARGET_TMPDIR"), finished.seed);
    let line = |event| serde_json::to_string(event).expect("an event has only string keys") + "\n";
    let history: String = finished.events.iter().map(line).collect();
    match std::fs::write(&path, history) {
        Ok(()) => path,
        Err(error) => format!("not written: {error}"),
    }
}

/// Runs many seeds on all cores; gives what went well and what did not.
fn run_all(seeds: Range<u64>, settings: fn(u64) -> Settings) -> (Vec<Finished>, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (good, bad);
            }
            match run_seed(settings(seed)) {
                Ok(mut finished) => {
                    finished.events.clear();
                    finished.events.shrink_to_fit();
                    good.push(finished);
                }
                Err(failure) => bad.push(failure.text()),
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for worker in workers {
            let (g, b) = worker.join().expect("a worker catches panics");
            good.extend(g);
            bad.extend(b);
        }
        (good, bad)
    })
}

#[track_caller]
fn expect_good(seeds: Range<u64>, settings: fn(u64) -> Settings) {
    let count = seeds.end - seeds.start;
    let (good, bad) = run_all(seeds, settings);
    assert!(
        bad.is_empty(),
        "{} of {count} seeds failed; TRAMLINE_SEEDS=N..M runs some again\n{}",
        bad.len(),
        bad.iter().take(3).cloned().collect::<Vec<_>>().join("\n")
    );
    if count < SEEDS_TOLD_FROM {
        return;
    }
    // A simulation in which nothing happens proves nothing.
    let sum = |count: fn(&Finished) -> usize| good.iter().map(count).sum::<usize>() as u64;
    assert!(sum(|f| f.report.totals.sends_ok) > 50 * count, "few sends were acknowledged");
    assert!(sum(|f| f.report.totals.sends_unknown) > 0, "no crash interrupted a send");
    assert!(sum(|f| f.report.totals.reads) > 100 * count, "little was read");
    assert!(sum(|f| f.report.totals.commits_ok) > count, "few offsets were committed");
    assert!(sum(|f| f.report.totals.admin_ok) > count, "few topics were changed");
    assert!(sum(|f| f.ordered) > 20 * count, "little was read in total order");
    assert!(sum(|f| f.report.totals.enqueues_ok) > 10 * count, "few publishes into queues");
    assert!(sum(|f| f.report.totals.settles_ok) > 5 * count, "few deliveries were settled");
    assert!(sum(|f| f.report.totals.dead_letters) > count / 2, "few messages died");
    let compacted = sum(|f| f.compacted);
    assert!(compacted > count, "only {compacted} records were compacted");
    assert!(sum(|f| f.early.0) > 0, "nothing was read before it was durable");
    assert!(sum(|f| f.early.1) > 0, "no crash took anything that was acknowledged early");
    assert!(sum(|f| f.revisions) > 5 * count, "little configuration was pushed");
    for state in JobState::ALL.into_iter().filter(|state| state.is_final()) {
        let ended: usize = good.iter().filter_map(|f| f.jobs.get(&state)).sum();
        assert!(ended as u64 > count / 20, "only {ended} jobs ended as {state:?}");
    }
    assert!(sum(|f| f.crashes as usize) > 2 * count, "the machine rarely crashed");
}

#[test]
fn every_promise_is_kept_on_a_disk_that_loses_tears_and_reorders() {
    expect_good(seeds(), Settings::new);
}

#[test]
fn every_promise_is_kept_on_the_memory_store() {
    let settings = |seed| Settings { backing: Backing::Memory, ..Settings::new(seed) };
    expect_good(0..50, settings);
}

#[test]
fn a_disk_that_does_not_sync_is_noticed() {
    for kind in [SyncKind::WalWrite, SyncKind::ManifestFile, SyncKind::DataDirectory] {
        let without = |seed| Settings { disabled_sync: Some(kind), ..Settings::new(seed) };
        let noticed = (0..CONTROL_SEEDS).any(|seed| run_seed(without(seed)).is_err());
        assert!(noticed, "nothing is lost without {kind:?}");
    }
}

#[test]
fn a_seed_gives_the_same_history_again() {
    let history = || run(Settings::new(7)).events;
    let (one, two) = (history(), history());
    // The whole of them would be pages.
    let differs = one.iter().zip(&two).position(|(one, two)| one != two);
    let from = differs.map(|at| (&one[at.saturating_sub(3)..=at], &two[at]));
    assert_eq!((from, one.len()), (None, two.len()));
}

//! The negative control of the power cuts: with any one kind of sync taken away, they fail.

use crate::powercut::{Without, run};
use tramline_store::fs::sim::SyncKind;

/// A missing sync has to show within so many runs.
const SEEDS: u64 = 3000;

fn fails(without: Without) {
    let failed = (0..SEEDS).any(|seed| run(seed, without).is_err());
    assert!(failed, "{without:?}: no run failed");
}

macro_rules! controls {
    ($($name:ident: $without:expr,)*) => {
        $(#[test] fn $name() { fails($without); })*
    };
}

controls! {
    group_writes: Without::Always(SyncKind::WalWrite),
    group_writes_after_the_first: Without::Later(SyncKind::WalWrite),
    write_ahead_files: Without::Later(SyncKind::WalFile),
    write_ahead_directory: Without::Always(SyncKind::WalDirectory),
    write_ahead_directory_later: Without::Later(SyncKind::WalDirectory),
    segments: Without::Later(SyncKind::SegmentFile),
    segment_directory: Without::Always(SyncKind::SegmentDirectory),
    segment_directory_later: Without::Later(SyncKind::SegmentDirectory),
    checkpoints: Without::Later(SyncKind::CheckpointFile),
    checkpoint_directory: Without::Later(SyncKind::CheckpointDirectory),
    manifests: Without::Later(SyncKind::ManifestFile),
    manifest_directory: Without::Later(SyncKind::DataDirectory),
    format: Without::Always(SyncKind::FormatFile),
    data_directory: Without::Always(SyncKind::DataDirectory),
    root_directory: Without::Always(SyncKind::FileSystemRoot),
}

//! What is measured of Tramline alone, each against a target of its own.

use super::Settings;
use crate::{
    figures::median,
    load::{self, Produce},
    peer::Peer,
    report::{self, Fact},
    turns,
};
use std::{fs, path::Path, time::Duration};

const MIB: u64 = 1 << 20;
/// Enough files to be looked at between two runs.
const ROUNDS_MAX: usize = 3;

/// Everything alone whose name is asked for.
pub(super) async fn run(settings: &Settings, disk_mb_per_s: f64) -> anyhow::Result<Vec<Fact>> {
    let mut facts = Vec::new();
    let wanted = |name: &str| turns::wanted(settings.only.as_deref(), name);
    if wanted("sustained 100 B") {
        facts.extend(sustained(settings).await?);
    }
    if wanted("large batches") {
        facts.extend(large_batches(settings, disk_mb_per_s).await?);
    }
    if wanted("many partitions") {
        facts.extend(many_partitions(settings).await?);
    }
    if wanted("recovery") {
        facts.extend(recovery(settings).await?);
    }
    Ok(facts)
}

fn produce(settings: &Settings) -> Produce {
    Produce {
        partitions: 1,
        partitions_per_request: 1,
        record_bytes: 100,
        batch_records: 1024,
        connections: 2,
        in_flight: 5,
        time: settings.time,
        bytes_max: u64::MAX,
    }
}

/// A broker of its own on an empty directory.
async fn fresh(settings: &Settings, dir: &Path, config: &str) -> anyhow::Result<Peer> {
    let path = dir.join("tramline.toml");
    fs::write(&path, config)?;
    Peer::tramline_with(&settings.tramline, dir, Some(path)).await
}

/// In, and at the same time out of another topic, for as long as the run takes; what is old goes
/// meanwhile.
async fn sustained(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    report::progress("sustained 100 B", 0, "Tramline");
    let dir = tempfile::tempdir_in(&settings.dir)?;
    let topics = "[topics]\nretention_check_interval = \"5s\"\n";
    let peer = fresh(settings, dir.path(), topics).await?;
    let (topic, tail) = (format!("bench-{}", load::unique()), format!("bench-{}", load::unique()));
    let configs = [("retention.bytes", "1073741824")];
    load::create_topic(&peer.address, &topic, 1, &configs).await?;
    load::create_topic(&peer.address, &tail, 1, &[]).await?;
    let backlog = Produce { bytes_max: 32 * MIB, connections: 1, ..produce(settings) };
    load::produce(&peer.address, &tail, backlog).await?;
    let (written, read) = tokio::try_join!(
        load::produce(&peer.address, &topic, produce(settings)),
        load::consume_over_and_over(&peer.address, &tail, settings.time),
    )?;
    let resident = peer.resident_mib()?;
    let seconds = settings.time.as_secs();
    let fact = |name: &str, value, unit, target: &'static str, is_met| Fact {
        name: format!("sustained 100 B for {seconds} s, in and out at once: {name}"),
        value,
        unit,
        target: target.into(),
        is_met,
    };
    let (input, output) = (written.records_per_second(), read.records_per_second());
    Ok(vec![
        fact("in, synced", input, "records/s", "≥ 2,000,000", input >= 2e6),
        fact("out", output, "records/s", "≥ 4,000,000", output >= 4e6),
        fact("memory after", resident, "MiB", "–", true),
    ])
}

async fn large_batches(settings: &Settings, disk_mb_per_s: f64) -> anyhow::Result<Vec<Fact>> {
    let dir = tempfile::tempdir_in(&settings.dir)?;
    let peer = fresh(settings, dir.path(), "").await?;
    let load = Produce {
        record_bytes: 1024,
        batch_records: 900,
        bytes_max: 4096 * MIB,
        ..produce(settings)
    };
    let mut volumes = Vec::new();
    for round in 0..settings.rounds.min(ROUNDS_MAX) {
        report::progress("large batches", round, "Tramline");
        let topic = format!("bench-{}", load::unique());
        load::create_topic(&peer.address, &topic, 1, &[]).await?;
        let figures = load::produce(&peer.address, &topic, load).await?;
        volumes.push(figures.megabytes_per_second());
        load::delete_topic(&peer.address, &topic).await?;
        load::pause(Duration::from_millis(700)).await;
    }
    let part = 100.0 * median(volumes) / disk_mb_per_s;
    Ok(vec![Fact {
        name: "large batches (900 KiB), of the disk's sequential write".to_owned(),
        value: part,
        unit: "%",
        target: "≥ 80".into(),
        is_met: part >= 80.0,
    }])
}

async fn many_partitions(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    const FEW: i32 = 10;
    const MANY: i32 = 10_000;
    let load = |partitions| Produce {
        partitions,
        partitions_per_request: FEW,
        record_bytes: 1024,
        batch_records: 16,
        bytes_max: 4096 * MIB,
        ..produce(settings)
    };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    let dir = tempfile::tempdir_in(&settings.dir)?;
    let peer = fresh(settings, dir.path(), "").await?;
    let large = format!("bench-{}", load::unique());
    load::create_topic(&peer.address, &large, MANY, &[]).await?;
    load::pause(Duration::from_secs(1)).await;
    let resident = peer.resident_mib()?;
    for round in 0..settings.rounds.min(ROUNDS_MAX) {
        report::progress("many partitions", round, "Tramline");
        let small = format!("bench-{}", load::unique());
        load::create_topic(&peer.address, &small, FEW, &[]).await?;
        let figures = load::produce(&peer.address, &small, load(FEW)).await?;
        few.push(figures.records_per_second());
        load::delete_topic(&peer.address, &small).await?;
        load::pause(Duration::from_secs(1)).await;
        let figures = load::produce(&peer.address, &large, load(MANY)).await?;
        many.push(figures.records_per_second());
        load::pause(Duration::from_secs(1)).await;
    }
    let ratio = median(many) / median(few);
    let after = peer.resident_mib()?;
    let fact = |name: &str, value, unit, target: &'static str, is_met| Fact {
        name: format!("many partitions: {name}"),
        value,
        unit,
        target: target.into(),
        is_met,
    };
    Ok(vec![
        fact("memory with 10,000, idle", resident, "MiB", "< 150", resident < 150.0),
        fact("memory with 10,000, after the load", after, "MiB", "–", true),
        fact("rate with 10,000 against 10", ratio, "×", "≥ 0.8", ratio >= 0.8),
    ])
}

/// A start after a kill with much that is not retired.
async fn recovery(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    report::progress("recovery", 0, "Tramline");
    let dir = tempfile::tempdir_in(&settings.dir)?;
    let store = "[store]\nwal_retire = \"3 GiB\"\nwal_max = \"6 GiB\"\n";
    let peer = fresh(settings, dir.path(), store).await?;
    let topic = format!("bench-{}", load::unique());
    load::create_topic(&peer.address, &topic, 64, &[]).await?;
    // Small batches to many partitions stay in the write-ahead log.
    let load = Produce {
        partitions: 64,
        partitions_per_request: 64,
        record_bytes: 1024,
        batch_records: 2,
        time: Duration::from_secs(120),
        bytes_max: 1024 * MIB,
        ..produce(settings)
    };
    load::produce(&peer.address, &topic, load).await?;
    let wal = dir.path().join("tramline").join("data").join("wal");
    let mut bytes = 0.0;
    for entry in fs::read_dir(wal)? {
        let length = u32::try_from(entry?.metadata()?.len())?;
        bytes += f64::from(length);
    }
    report::drop_page_cache()?;
    let again = peer.kill_and_restart().await?;
    let gib = bytes / f64::from(1 << 30);
    let per_gib = again.ready.as_secs_f64() / gib;
    Ok(vec![Fact {
        name: format!("recovery of {gib:.2} GiB of write-ahead log, per GiB"),
        value: per_gib,
        unit: "s",
        target: "≤ 10".into(),
        is_met: per_gib <= 10.0,
    }])
}

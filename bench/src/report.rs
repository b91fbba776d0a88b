//! The report: probes, rows, ratios; as a page of the documentation.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark tells its figures")]

use crate::load;
use anyhow::Context;
use std::{fmt::Write as _, path::Path, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tramline_store::fs::{ProbeReport, RealFiles};

/// One line of a table.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// Tramline, then the others, in the order of the table's columns.
    pub(crate) values: [f64; 3],
    pub(crate) higher_is_better: bool,
    /// What the generator itself can do.
    pub(crate) ceiling: Option<f64>,
}

impl Row {
    /// A row where less is better.
    pub(crate) fn new(name: &str, unit: &'static str, values: [f64; 3]) -> Self {
        Self { name: name.to_owned(), unit, values, higher_is_better: false, ceiling: None }
    }
}

/// One figure of Tramline alone.
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: std::borrow::Cow<'static, str>,
    pub(crate) is_met: bool,
}

/// What the machine did just now.
pub(crate) struct Probe {
    disk: ProbeReport,
    round_trip_micros: f64,
    cores: usize,
}

impl Probe {
    /// How fast the disk writes one behind the other.
    pub(crate) const fn disk_mb_per_s(&self) -> f64 {
        self.disk.sequential_mb_per_s
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(
            f,
            "{} cores; synced 4 KiB write p50 {:.2} ms, p99 {:.2} ms; sequential write {:.0} \
             MB/s; loopback round trip {:.0} µs",
            self.cores,
            millis(self.disk.sync_p50),
            millis(self.disk.sync_p99),
            self.disk.sequential_mb_per_s,
            self.round_trip_micros
        )
    }
}

/// Measures the disk and the loopback.
pub(crate) fn probe(dir: &Path) -> anyhow::Result<Probe> {
    let clock = tramline_broker::SystemClock::new();
    let disk = tramline_store::fs::probe(&RealFiles, dir, &clock)?;
    let round_trip_micros = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ping_pong())
    });
    let round_trip_micros =
        round_trip_micros.join().map_err(|_| anyhow::anyhow!("the loopback probe failed"))??;
    let cores = std::thread::available_parallelism()?.get();
    Ok(Probe { disk, round_trip_micros, cores })
}

/// The median round trip of 100 bytes between two threads.
async fn ping_pong() -> anyhow::Result<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 100];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut micros = Vec::new();
    let mut buffer = [0; 100];
    for _ in 0..5000 {
        let started = load::instant();
        stream.write_all(&buffer).await?;
        stream.read_exact(&mut buffer).await?;
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    drop(stream);
    echo.join().map_err(|_| anyhow::anyhow!("the echo failed"))??;
    Ok(crate::figures::median(micros))
}

/// Says where we are.
pub(crate) fn progress(name: &str, round: usize, peer: &str) {
    eprintln!("{name}: round {}, {peer}", round + 1);
}

/// Forgets what files the kernel has in memory; needs root.
pub(crate) fn drop_page_cache() -> anyhow::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "1")
        .context("dropping the page cache needs root: leave the cold row out with --only")
}

/// Prints one run.
pub(crate) fn one(topic: &str, figures: &crate::figures::Figures) {
    println!(
        "{topic}: {} records/s, {} MB/s; p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        number(figures.records_per_second()),
        number(figures.megabytes_per_second()),
        figures.millis(500),
        figures.millis(990),
        figures.millis(999)
    );
}

/// Prints the report and writes the page.
pub(crate) fn write(
    probe: &Probe,
    idle: &[Row],
    (rows, facts): (&[Row], &[Fact]),
    (rounds, only): (usize, Option<&str>),
) -> anyhow::Result<()> {
    let page = page(probe, idle, rows, rounds)? + &alone(facts)?;
    write_page("streams", &page, only)
}

/// Prints a page of the documentation, and writes it where all of it was measured.
pub(crate) fn write_page(name: &str, page: &str, only: Option<&str>) -> anyhow::Result<()> {
    println!("{page}");
    if only.is_some() {
        return Ok(());
    }
    std::fs::create_dir_all("docs/benchmarks")?;
    let path = Path::new("docs/benchmarks").join(name).with_extension("md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    // What people wrote about the figures stands below the marker and stays.
    let notes = text.split_once(NOTES).map_or("", |(_, notes)| notes);
    Ok(std::fs::write(path, format!("{page}\n{NOTES}{notes}"))?)
}

const NOTES: &str = "<!-- notes -->\n";

fn page(probe: &Probe, idle: &[Row], rows: &[Row], rounds: usize) -> anyhow::Result<String> {
    let mut page = String::new();
    writeln!(page, "# Streams: Tramline beside Apache Kafka 4.3\n")?;
    writeln!(
        page,
        "`cargo xtask bench streams`: both brokers on one machine in one run, alternating, \
         medians of {rounds}. Tramline on its defaults: every acknowledged record is synced. \
         Kafka in KRaft mode on its defaults (acknowledges before it syncs) and with \
         `flush.messages=1`. The load generator is native, with batches made beforehand; it \
         shares the machine's cores with the broker. A row within 20 % of what the generator \
         reaches against a sink that does nothing is marked *client-bound*.\n"
    )?;
    writeln!(page, "Machine: {probe}.\n")?;
    page.push_str(&table(["Kafka", "Kafka, synced"], rows.iter().chain(idle)));
    Ok(page)
}

/// The figures, and Tramline's beside those of the peers.
pub(crate) fn table<'a>(peers: [&str; 2], rows: impl IntoIterator<Item = &'a Row>) -> String {
    let [first, second] = peers;
    let mut table = format!(
        "| work | unit | Tramline | {first} | ratio | {second} | ratio | generator |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for row in rows {
        let [ours, first, second] = row.values;
        let ratio = |peer: f64| if row.higher_is_better { ours / peer } else { peer / ours };
        let ceiling = row.ceiling.map_or_else(String::new, |ceiling| {
            let share = if row.higher_is_better { ours / ceiling } else { ceiling / ours };
            let bound = if share > 0.8 { " *client-bound*" } else { "" };
            format!("{}{bound}", number(ceiling))
        });
        let cells = [
            row.name.clone(),
            row.unit.to_owned(),
            number(ours),
            number(first),
            times(ratio(first)),
            number(second),
            times(ratio(second)),
            ceiling,
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table.push_str("\nA ratio above 1 means that Tramline is ahead.\n");
    table
}

/// Figures of Tramline alone beside their targets.
pub(crate) fn alone(figures: &[Fact]) -> anyhow::Result<String> {
    facts("Tramline alone", figures)
}

/// A table of figures beside their targets, under a heading.
pub(crate) fn facts(heading: &str, facts: &[Fact]) -> anyhow::Result<String> {
    let mut page = String::new();
    if facts.is_empty() {
        return Ok(page);
    }
    writeln!(page, "\n## {heading}\n")?;
    writeln!(page, "| work | unit | measured | target | |")?;
    writeln!(page, "| --- | --- | ---: | ---: | --- |")?;
    for Fact { name, value, unit, target, is_met } in facts {
        let verdict = if *is_met { "" } else { "missed" };
        writeln!(page, "| {name} | {unit} | {} | {target} | {verdict} |", number(*value))?;
    }
    Ok(page)
}

pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else if value >= 100.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else {
        format!("{value:.2}")
    }
}

fn times(ratio: f64) -> String {
    if ratio.is_nan() { "–".to_owned() } else { format!("{ratio:.2}×") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_for_people() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(f64::NAN), "–");
    }
}

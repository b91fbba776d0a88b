//! `cargo xtask soak`: one broker for hours under mixed load and mixed faults, every promise
//! checked. The work is done by `crates/sim`; this builds, and says for how long.

use crate::{process, project::Project};
use anyhow::{Result, ensure};
use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// The last round is finished, whatever the clock says.
pub(crate) const LAST_ROUND_MAX: Duration = Duration::from_secs(5 * 60);

/// How long, and what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long: `3m`, `8h`, `90s`
    #[arg(long, default_value = "8h", value_parser = span)]
    duration: Duration,
    /// Decides what is done when; the time of day, where it is not given
    #[arg(long)]
    seed: Option<u64>,
}

/// A number and its unit.
fn span(text: &str) -> Result<Duration, String> {
    let units = [("h", 3600), ("m", 60), ("s", 1)];
    let parse = |(unit, seconds): (&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    };
    units.into_iter().find_map(parse).ok_or_else(|| "a span such as `3m` or `8h`".to_owned())
}

/// Builds and soaks.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let broker = ["build", "--release", "--locked", "--package", "tramline-server"];
    process::run(&mut project.cargo(&broker), Duration::from_secs(20 * 60))?;
    build(project)?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
    };
    let broker = project.target().join("release/tramline");
    let mut soak = command(project, &broker, options.duration, seed);
    let status = process::status(&mut soak, options.duration + LAST_ROUND_MAX)?;
    ensure!(status.success(), "the soak failed: again with `cargo xtask soak --seed {seed}`");
    Ok(())
}

/// Builds what loads and checks. All of the workspace, so that its dependencies are built alike.
pub(crate) fn build(project: &Project) -> Result<()> {
    let soak = ["build", "--locked", "--workspace", "--bin", "soak"];
    process::run(&mut project.cargo(&soak), Duration::from_secs(20 * 60))
}

/// Soaks this broker.
pub(crate) fn command(project: &Project, broker: &Path, duration: Duration, seed: u64) -> Command {
    let mut soak = Command::new(project.target().join("debug/soak"));
    soak.arg(duration.as_secs().to_string()).arg(seed.to_string()).env("TRAMLINE_BIN", broker);
    soak
}

#[cfg(test)]
mod tests {
    use super::span;
    use std::time::Duration;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(span("8h"), Ok(Duration::from_secs(8 * 3600)));
        assert_eq!(span("3m"), Ok(Duration::from_secs(180)));
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "8", "h", "0s", "-3m", "3 m", "18446744073709551615h"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}

//! RabbitMQ's own load generator, PerfTest, in a process of its own: the same look at every
//! broker as its users take.

use crate::{load::instant, server::sleep};
use anyhow::{Context, bail, ensure};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Until the virtual machine has compiled what it runs often.
const TIME_MIN: Duration = Duration::from_secs(10);
/// What it takes beside the load: its start, its connections, its end.
const REST_MAX: Duration = Duration::from_secs(60);

/// One publisher with confirms and one consumer with an ack each, on one durable queue; messages
/// received per second.
pub(super) fn run(jars: &Path, address: &str, dir: &Path, time: Duration) -> anyhow::Result<f64> {
    let time = time.max(TIME_MIN);
    let output = dir.join("perf-test");
    let log = fs::File::create(&output)?;
    let mut command = Command::new("java");
    command.arg("-cp").arg(jars.join("*")).arg("com.rabbitmq.perf.PerfTest");
    command.args(["--uri", &format!("amqp://guest:guest@{address}")]);
    command.args(["--producers", "1", "--consumers", "1", "--queue", "perf-test"]);
    command.args(["--flag", "persistent", "--size", "1024", "--auto-delete", "false"]);
    command.args(["--confirm", "1000", "--qos", "1000"]);
    command.arg("--time").arg(time.as_secs().to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().context("starting PerfTest")?;
    let begun = instant();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > time + REST_MAX {
            child.kill()?;
            child.wait()?;
            bail!("PerfTest does not end");
        }
        sleep(Duration::from_millis(50));
    };
    let text = fs::read_to_string(&output)?;
    ensure!(status.success(), "PerfTest failed: {text}");
    received(&text).with_context(|| format!("PerfTest tells no rate: {text}"))
}

/// The figure of the line `id: test-1, receiving rate avg: 12345 msg/s`.
fn received(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once("receiving rate avg: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_found_in_what_is_printed() {
        let text = "id: test-1, time 1.0 s, received: 900 msg/s\n\
                    id: test-1, sending rate avg: 1000 msg/s\n\
                    id: test-1, receiving rate avg: 998 msg/s\n";
        assert_eq!(received(text), Some(998.0));
        assert_eq!(received("test stopped"), None);
    }
}

//! `tramline doctor`: checks this machine without changing anything: the configuration, the data
//! directory and its disk, the ports, the limits.

use super::table::{Table, show};
use crate::{
    arguments::Doctor,
    config::{Config, Listen},
};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use std::{
    io,
    net::{TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tramline_broker::SystemClock;
use tramline_store::fs::{Files, RealFiles, probe};

/// Fewer open files than this are soon used up by connections.
const OPEN_FILES_MIN: u64 = 4_096;
/// Above this, each acknowledged message waits noticeably.
const SYNC_SLOW: Duration = Duration::from_millis(10);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

pub(crate) fn run(arguments: &Doctor) -> anyhow::Result<ExitCode> {
    let config = arguments.local.config()?;
    let mut checks = vec![data_dir(&config)];
    let dir = existing_parent(&config.data_dir);
    checks.push(free_space(&dir, &config));
    checks.push(disk(&dir));
    checks.push(port("http port", "http.listen", &config.http.listen));
    checks.push(port("kafka port", "kafka.listen", &config.kafka.listen));
    checks.push(port("amqp port", "amqp.listen", &config.amqp.listen));
    checks.push(port("sqs port", "sqs.listen", &config.sqs.listen));
    checks.push(open_files());
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    let value = serde_json::json!({ "ok": !failed, "checks": checks });
    show(arguments.output, &value, |_| {
        let mut table = Table::new(["check", "verdict", "detail"]);
        for check in checks {
            let verdict = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            table.row([check.check.to_owned(), verdict.to_owned(), check.detail]);
        }
        table.render()
    })?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The directory itself, or what it would be made in.
fn existing_parent(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|dir| dir.is_dir());
    found.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn data_dir(config: &Config) -> Check {
    let dir = &config.data_dir;
    let at = |verdict, detail: &str| Check {
        check: "data directory",
        verdict,
        detail: format!("{}: {detail}", dir.display()),
    };
    if !dir.exists() {
        return at(Verdict::Ok, "made at the first start");
    }
    if !dir.is_dir() {
        return at(Verdict::Fail, "is no directory; choose another with --data-dir");
    }
    let lock = dir.join("LOCK");
    if !lock.exists() {
        return at(Verdict::Ok, "holds no data yet");
    }
    match RealFiles.lock(&lock) {
        Ok(_guard) => at(Verdict::Ok, "holds data; no broker uses it"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            at(Verdict::Ok, "a running broker uses it")
        }
        Err(error) => at(Verdict::Fail, &format!("cannot be locked: {error}")),
    }
}

fn free_space(dir: &Path, config: &Config) -> Check {
    let (verdict, detail) = match RealFiles.free_bytes(dir) {
        Ok(free) => {
            let wanted = config.store.wal_max.0 + config.store.headroom.0;
            let mib = free >> 20;
            if free < config.store.headroom.0 {
                (Verdict::Fail, format!("{mib} MiB: publishers would be refused; free some"))
            } else if free < wanted {
                let wanted = wanted >> 20;
                (Verdict::Warn, format!("{mib} MiB: the write-ahead log may take {wanted} MiB"))
            } else {
                (Verdict::Ok, format!("{mib} MiB"))
            }
        }
        Err(error) => (Verdict::Fail, format!("{}: {error}", dir.display())),
    };
    Check { check: "free space", verdict, detail }
}

fn disk(dir: &Path) -> Check {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    spinner.set_message("measuring the disk");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let report = probe(&RealFiles, dir, &SystemClock::new());
    spinner.finish_and_clear();
    let (verdict, detail) = match report {
        Ok(report) => {
            let millis = |span: Duration| span.as_secs_f64() * 1e3;
            let verdict = if report.sync_p50 > SYNC_SLOW { Verdict::Warn } else { Verdict::Ok };
            let detail = format!(
                "a sync takes {:.2} ms (p50), {:.2} ms (p99); sequential writes {:.0} MB/s",
                millis(report.sync_p50),
                millis(report.sync_p99),
                report.sequential_mb_per_s
            );
            (verdict, detail)
        }
        Err(error) => (Verdict::Fail, format!("{}: {error}", dir.display())),
    };
    Check { check: "disk", verdict, detail }
}

/// Free, or taken by a broker, or taken by something else.
fn port(check: &'static str, setting: &str, listen: &Listen) -> Check {
    let Listen::At(address) = listen else {
        return Check { check, verdict: Verdict::Ok, detail: "off".to_owned() };
    };
    let bound = address
        .to_socket_addrs()
        .and_then(|addresses| TcpListener::bind(addresses.collect::<Vec<_>>().as_slice()));
    let (verdict, detail) = match bound {
        Ok(_) => (Verdict::Ok, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let detail = if is_broker(address) { "a broker has it" } else { "it is taken" };
            let advice = format!("{address}: {detail}; `{setting}` sets another");
            (Verdict::Warn, advice)
        }
        Err(error) => (Verdict::Fail, format!("{address}: {error}; `{setting}` sets another")),
    };
    Check { check, verdict, detail }
}

/// Whether something at this address answers `/healthz` as a broker does.
fn is_broker(address: &str) -> bool {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(1)))
        .proxy(None)
        .build();
    let agent: ureq::Agent = config.into();
    let answer = agent.get(format!("http://{address}/healthz")).call();
    answer.is_ok_and(|mut answer| {
        answer.body_mut().read_to_string().is_ok_and(|text| text.contains("\"status\""))
    })
}

fn open_files() -> Check {
    use rustix::process::{Resource, getrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    let (verdict, detail) = match hard {
        Some(hard) if hard < OPEN_FILES_MIN => {
            (Verdict::Warn, format!("{hard}: raise it with `ulimit -Hn` or LimitNOFILE="))
        }
        Some(hard) => (Verdict::Ok, hard.to_string()),
        None => (Verdict::Ok, "unlimited".to_owned()),
    };
    Check { check: "open files", verdict, detail }
}

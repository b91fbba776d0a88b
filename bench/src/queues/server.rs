//! The brokers under comparison, started on free ports and an empty directory and stopped by
//! their process id: Tramline, RabbitMQ and NATS as Debian packages them.

use super::{amqp::Client, load::sleep, nats};
use crate::{load::instant, peer::free_port};
use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A broker under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Tramline,
    RabbitMq,
    /// JetStream with its file store, which syncs every two minutes.
    Nats,
}

/// In the order of the report's columns.
pub(crate) const SYSTEMS: [System; 3] = [System::Tramline, System::RabbitMq, System::Nats];

impl System {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tramline => "Tramline",
            Self::RabbitMq => "RabbitMQ",
            Self::Nats => "NATS JetStream",
        }
    }
}

/// A start on a large backlog takes its time, and so does an orderly end.
const READY_MAX: Duration = Duration::from_secs(300);
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running broker.
pub(crate) struct Server {
    pub(crate) address: String,
    /// From the start of the process to the first answer.
    pub(crate) ready: Duration,
    pid: u32,
    child: Child,
    /// RabbitMQ's port mapper outlives it.
    epmd_port: Option<u16>,
}

/// What one is started with.
struct Started {
    command: Command,
    address: Address,
    /// Where the process id of the broker proper will be.
    pid_file: Option<PathBuf>,
    epmd_port: Option<u16>,
}

enum Address {
    Known(String),
    ReadyFile(PathBuf),
}

impl Server {
    /// Starts one on a directory, which may hold an earlier one's data.
    pub(crate) fn start(system: System, tramline: &Path, dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut started = match system {
            System::Tramline => tramline_command(tramline, dir),
            System::RabbitMq => rabbitmq_command(dir)?,
            System::Nats => nats_command(dir)?,
        };
        let begun = instant();
        let log = fs::File::create(dir.join("output"))?;
        let command = &mut started.command;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", system.name()))?;
        let pid = child.id();
        let epmd_port = started.epmd_port;
        let mut server =
            Self { address: String::new(), ready: Duration::ZERO, pid, child, epmd_port };
        while begun.elapsed() < READY_MAX {
            if let Some(address) = started.address.read()
                && answers(system, &address)
            {
                server.ready = begun.elapsed();
                server.address = address;
                if let Some(file) = &started.pid_file {
                    server.pid = fs::read_to_string(file)?.trim().parse()?;
                }
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                let output = fs::read_to_string(dir.join("output")).unwrap_or_default();
                bail!("{} ended with {status}: {output}", system.name());
            }
            sleep(Duration::from_millis(1));
        }
        bail!("{} is not ready after {READY_MAX:?}", system.name())
    }

    /// Processor seconds so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields = stat.rsplit_once(')').context("no `)` in stat")?.1;
        let tick = |place| fields.split_whitespace().nth(place).and_then(|f| f.parse::<f64>().ok());
        Ok((tick(11).context("no utime")? + tick(12).context("no stime")?) / 100.0)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib = line.split_whitespace().nth(1).context("no value")?.parse::<f64>()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let ended =
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        let begun = instant();
        while ended.is_some()
            && begun.elapsed() < STOP_MAX
            && matches!(self.child.try_wait(), Ok(None))
        {
            sleep(Duration::from_millis(50));
        }
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
        if let Some(port) = self.epmd_port {
            let mut epmd = Command::new("epmd");
            epmd.arg("-kill").env("ERL_EPMD_PORT", port.to_string());
            let _best_effort = epmd.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

impl Address {
    fn read(&self) -> Option<String> {
        match self {
            Self::Known(address) => Some(address.clone()),
            Self::ReadyFile(file) => {
                let text = fs::read_to_string(file).ok()?;
                let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
                let address =
                    ready["amqp"].as_str().or_else(|| ready["listeners"]["amqp"].as_str());
                address.map(str::to_owned)
            }
        }
    }
}

fn answers(system: System, address: &str) -> bool {
    match system {
        System::Tramline | System::RabbitMq => Client::connect(address).is_ok(),
        System::Nats => nats::Client::connect(address).is_ok(),
    }
}

fn tramline_command(binary: &Path, dir: &Path) -> Started {
    let ready = dir.join("ready.json");
    let _none_at_first = fs::remove_file(&ready);
    let mut command = Command::new(binary);
    // Every listener is on, as by default: what they take when idle counts.
    let any = "127.0.0.1:0";
    command
        .args(["serve", "--listen-http", any, "--listen-kafka", any, "--listen-amqp", any])
        .args(["--listen-sqs", any])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--ready-file")
        .arg(&ready);
    Started { command, address: Address::ReadyFile(ready), pid_file: None, epmd_port: None }
}

fn rabbitmq_command(dir: &Path) -> anyhow::Result<Started> {
    let (port, dist, epmd) = (free_port()?, free_port()?, free_port()?);
    let config = dir.join("rabbitmq.conf");
    // The free-disk alarm's default stays; logging to a file as Debian does.
    fs::write(&config, format!("listeners.tcp.default = 127.0.0.1:{port}\n"))?;
    fs::write(dir.join("enabled_plugins"), "[].\n")?;
    let pid_file = dir.join("pid");
    let _none_at_first = fs::remove_file(&pid_file);
    let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    command
        .env("HOME", dir)
        // Its data lie under the node's name: the next start on the directory must find them.
        .env("RABBITMQ_NODENAME", "bench@localhost")
        .env("RABBITMQ_DIST_PORT", dist.to_string())
        .env("ERL_EPMD_PORT", epmd.to_string())
        .env("RABBITMQ_CONFIG_FILE", &config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_PID_FILE", &pid_file);
    let address = Address::Known(format!("127.0.0.1:{port}"));
    Ok(Started { command, address, pid_file: Some(pid_file), epmd_port: Some(epmd) })
}

fn nats_command(dir: &Path) -> anyhow::Result<Started> {
    let port = free_port()?;
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p"]).arg(port.to_string());
    command.arg("-sd").arg(dir.join("data"));
    let address = Address::Known(format!("127.0.0.1:{port}"));
    Ok(Started { command, address, pid_file: None, epmd_port: None })
}

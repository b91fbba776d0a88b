//! A broker under comparison, whichever it is: started on a free port and stopped by its process
//! id, with the processor time and memory that it took.

use crate::load::instant;
use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

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
    is_killed: bool,
    /// RabbitMQ's port mapper outlives it.
    epmd_port: Option<u16>,
}

/// What one is started with.
pub(crate) struct Started {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    pub(crate) address: Address,
    /// Where the process id of the broker proper will be.
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) epmd_port: Option<u16>,
}

impl Started {
    /// A broker that is one process.
    pub(crate) const fn new(name: &'static str, command: Command, address: Address) -> Self {
        Self { name, command, address, pid_file: None, epmd_port: None }
    }
}

/// Where a broker listens.
pub(crate) enum Address {
    Known(String),
    /// Tramline's ready file, and the listener.
    ReadyFile(PathBuf, &'static str),
}

impl Server {
    /// Starts one; it is ready when `answers` says so of its address. Its output goes into `dir`.
    pub(crate) fn start(
        mut started: Started,
        dir: &Path,
        answers: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Self> {
        let name = started.name;
        let begun = instant();
        let log = fs::File::create(dir.join("output"))?;
        let command = &mut started.command;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let pid = child.id();
        let epmd_port = started.epmd_port;
        let mut server = Self {
            address: String::new(),
            ready: Duration::ZERO,
            pid,
            child,
            is_killed: false,
            epmd_port,
        };
        while begun.elapsed() < READY_MAX {
            if let Some(address) = started.address.read()
                && answers(&address)
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
                bail!("{name} ended with {status}: {output}");
            }
            sleep(Duration::from_millis(1));
        }
        bail!("{name} is not ready after {READY_MAX:?}")
    }

    /// Ends it at once, as a power cut does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.is_killed = true;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
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
        let pid = i32::try_from(self.pid).ok().filter(|_| !self.is_killed);
        let pid = pid.and_then(rustix::process::Pid::from_raw);
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
    /// The address, once it is known.
    pub(crate) fn read(&self) -> Option<String> {
        match self {
            Self::Known(address) => Some(address.clone()),
            Self::ReadyFile(file, listener) => {
                let text = fs::read_to_string(file).ok()?;
                let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
                let address =
                    ready[*listener].as_str().or_else(|| ready["listeners"][*listener].as_str());
                address.map(str::to_owned)
            }
        }
    }
}

/// Tramline with every listener on, as by default: what they take when idle counts.
pub(crate) fn tramline(binary: &Path, dir: &Path, listener: &'static str) -> Started {
    let ready = dir.join("ready.json");
    let _none_at_first = fs::remove_file(&ready);
    let mut command = Command::new(binary);
    let any = "127.0.0.1:0";
    command
        .args(["serve", "--listen-http", any, "--listen-kafka", any, "--listen-amqp", any])
        .args(["--listen-sqs", any])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--ready-file")
        .arg(&ready);
    Started::new("Tramline", command, Address::ReadyFile(ready, listener))
}

#[expect(clippy::disallowed_methods, reason = "load threads are no tasks")]
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

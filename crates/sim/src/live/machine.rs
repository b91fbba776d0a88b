//! One broker process on one data directory.

use crate::live::usage::Usage;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Sizes so small that files roll over and retire within seconds.
pub const SMALL: &str = r#"
[topics]
retention_check_interval = "1s"
[groups]
initial_rebalance_delay = "0s"
[store]
wal_file = "1 MiB"
wal_retire = "2 MiB"
wal_max = "16 MiB"
headroom = "4 MiB"
segment_max = "4 MiB"
"#;

/// From the start of the process to its readiness, at most. The stored data is small.
pub const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(20);
const LOG_SHOWN: usize = 4000;

/// A broker's process, or the place of one. Ends with its handle.
pub struct Machine {
    /// Configuration, log and ready file.
    directory: PathBuf,
    data: PathBuf,
    kafka: String,
    http: String,
    amqp: String,
    sqs: String,
    process: Option<Child>,
    /// Where in the log the process's own lines begin.
    log_from: usize,
    /// What runs the broker: a program and its arguments, which the broker's own follow.
    wrapper: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Machine {
    /// A machine that is off, with its files in `directory` and its data in `data`.
    pub fn new(directory: &Path, data: &Path, config: &str) -> Self {
        fs::write(directory.join("tramline.toml"), config).expect("a test's directory is writable");
        let any = || "127.0.0.1:0".to_owned();
        Self {
            directory: directory.to_owned(),
            data: data.to_owned(),
            kafka: any(),
            http: any(),
            amqp: any(),
            sqs: any(),
            process: None,
            log_from: 0,
            wrapper: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Runs the broker by a script of the shell, which must end with `exec "$@"`.
    #[must_use]
    pub fn through_shell(mut self, script: &str) -> Self {
        self.wrapper = ["sh", "-c", script, "sh"].map(OsString::from).into();
        self
    }

    /// Sets a variable of the broker's environment.
    #[must_use]
    pub fn with_environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The same ports on other data: the next machine in this one's place.
    pub fn on_data(&self, data: &Path) -> Self {
        Self {
            directory: self.directory.clone(),
            data: data.to_owned(),
            kafka: self.kafka.clone(),
            http: self.http.clone(),
            amqp: self.amqp.clone(),
            sqs: self.sqs.clone(),
            process: None,
            log_from: 0,
            wrapper: self.wrapper.clone(),
            environment: self.environment.clone(),
        }
    }

    /// Where Kafka clients connect to.
    pub fn kafka(&self) -> &str {
        &self.kafka
    }

    /// Where HTTP clients connect to.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Where AMQP clients connect to.
    pub fn amqp(&self) -> &str {
        &self.amqp
    }

    /// Where SQS clients connect to.
    pub fn sqs(&self) -> &str {
        &self.sqs
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the process runs").id()
    }

    /// What the process takes of the machine.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// Where its configuration and its log lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process, without waiting for it.
    pub fn launch(&mut self) {
        let binary = std::env::var_os("TRAMLINE_BIN").expect("TRAMLINE_BIN names the binary");
        let ready = self.ready_file();
        if let Err(error) = fs::remove_file(&ready) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "the ready file stays");
        }
        self.log_from = self.read_log().len();
        let log = fs::File::options().append(true).create(true).open(self.directory.join("log"));
        let log = log.expect("a test's directory is writable");
        let mut words = self.wrapper.iter().cloned().chain([binary]);
        let mut command = Command::new(words.next().expect("the binary is there"));
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        let process = command
            .args(words)
            .envs(environment)
            .arg("serve")
            .arg("--config")
            .arg(self.directory.join("tramline.toml"))
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--ready-file")
            .arg(&ready)
            .args(["--listen-kafka", &self.kafka, "--listen-http", &self.http])
            .args(["--listen-amqp", &self.amqp, "--listen-sqs", &self.sqs])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("TRAMLINE_BIN can be run"));
    }

    /// Starts the process and waits until it is ready; how long that took.
    pub fn start(&mut self) -> Duration {
        self.try_start().unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The same; the error says what the process did instead.
    pub fn try_start(&mut self) -> Result<Duration, String> {
        let started = Instant::now();
        self.launch();
        loop {
            if let Ok(text) = fs::read_to_string(self.ready_file()) {
                let ready: serde_json::Value =
                    serde_json::from_str(&text).expect("the ready file is JSON");
                let address = |name: &str| {
                    ready[name].as_str().map(str::to_owned).expect("a listener's address")
                };
                (self.kafka, self.http) = (address("kafka"), address("http"));
                (self.amqp, self.sqs) = (address("amqp"), address("sqs"));
                return Ok(started.elapsed());
            }
            if let Some(status) = self.exited() {
                return Err(format!("the broker did not start: {status}"));
            }
            if started.elapsed() > START_MAX {
                self.kill();
                return Err(format!("the broker was not ready within {START_MAX:?}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ready_file(&self) -> PathBuf {
        self.directory.join("ready")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already.
            drop(process.kill());
            process.wait().expect("the process is ours");
        }
    }

    /// Asks the process to end, and waits for it.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(STOP_MAX).unwrap_or_else(|| panic!("the broker does not stop\n{}", self.log()))
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the process runs");
        let pid = Pid::from_child(process);
        kill_process(pid, signal).expect("the process is ours");
    }

    /// How the process ended by itself, if it did so within this time.
    pub fn wait(&mut self, max: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if started.elapsed() > max {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How the process ended by itself, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().expect("the process is ours")?;
        self.process = None;
        Some(status)
    }

    /// Whether the process that was started last has logged this.
    pub fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.read_log()[self.log_from..]).contains(text)
    }

    fn read_log(&self) -> Vec<u8> {
        fs::read(self.directory.join("log")).unwrap_or_default()
    }

    /// The end of the log.
    pub fn log(&self) -> String {
        let log = self.read_log();
        let tail = &log[log.len().saturating_sub(LOG_SHOWN)..];
        format!("the broker's log:\n{}", String::from_utf8_lossy(tail))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

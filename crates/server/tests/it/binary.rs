//! Runs the binary in a directory of its own, with addresses of its own.

use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use tempfile::TempDir;

const READY_MAX: Duration = Duration::from_secs(20);
const EXIT_MAX: Duration = Duration::from_secs(20);

/// The binary with these arguments, free of this process's settings.
pub(crate) fn tramline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tramline"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["TRAMLINE_SERVER", "TRAMLINE_CONFIG", "TRAMLINE_LOG"] {
        command.env_remove(name);
    }
    command
}

/// A directory and the broker that runs in it.
pub(crate) struct Broker {
    pub(crate) dir: TempDir,
    child: Option<Child>,
    pub(crate) http: String,
    pub(crate) kafka: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts on free ports and waits until it is ready.
    pub(crate) fn start_in(dir: TempDir, more: &[&str]) -> Self {
        let any = "127.0.0.1:0";
        let free = ["--listen-http", any, "--listen-kafka", any, "--listen-amqp", any];
        let free = [&free[..], &["--listen-sqs", any]].concat();
        Self::start_at(dir, &[&free, more].concat())
    }

    /// Starts with these arguments and waits until it is ready.
    pub(crate) fn start_at(dir: TempDir, arguments: &[&str]) -> Self {
        let mut command = tramline(&["serve", "--ready-file", "ready"]);
        let ready = dir.path().join("ready");
        let _ = fs::remove_file(&ready);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command.args(arguments).current_dir(dir.path()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        let waiting = wait_until(READY_MAX, || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", read(&dir.path().join("log")));
            ready.exists()
        });
        assert!(waiting, "not ready: {}", read(&dir.path().join("log")));
        let addresses: Value = serde_json::from_str(&read(&ready)).unwrap();
        assert_eq!(addresses["pid"], child.id());
        let text = |name: &str| addresses[name].as_str().unwrap_or("off").to_owned();
        let (http, kafka) = (format!("http://{}", text("http")), text("kafka"));
        Self { dir, child: Some(child), http, kafka }
    }

    pub(crate) fn data_dir(&self) -> String {
        self.dir.path().join("tramline-data").display().to_string()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.dir.path().join("log"))
    }

    /// A client command for this broker.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tramline(arguments);
        command.env("TRAMLINE_SERVER", &self.http);
        command
    }

    /// Runs a client command that must succeed; gives what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a client command that must fail; gives its complaint.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        complaint(&self.command(arguments).output().unwrap())
    }

    /// Runs a client command over this input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for its end; gives the directory, for another start.
    pub(crate) fn wait(mut self) -> (TempDir, ExitStatus) {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        let ended = wait_until(EXIT_MAX, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            child.kill().unwrap();
            panic!("still running: {}", self.log());
        }
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        (dir, status.unwrap())
    }

    pub(crate) fn stop(self) -> TempDir {
        self.signal("-TERM");
        let (dir, status) = self.wait();
        assert!(status.success(), "{status}");
        dir
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The complaint of a command that must have failed.
pub(crate) fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// Runs something that would block for ever if it failed.
pub(crate) fn within<T: Send + 'static>(
    span: Duration,
    run: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || tx.send(run()));
    rx.recv_timeout(span).ok()
}

/// Reads until something shows up in a child's output.
pub(crate) fn read_until(output: &mut impl Read, wanted: &str) -> String {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !text(&seen).contains(wanted) {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "ended after: {}", text(&seen));
        seen.push(byte[0]);
    }
    text(&seen)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Asks again and again, for another process has no way to tell.
fn wait_until(span: Duration, mut done: impl FnMut() -> bool) -> bool {
    const STEP: Duration = Duration::from_millis(5);
    let steps = span.as_millis() / STEP.as_millis();
    for _ in 0..steps {
        if done() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "another process runs in real time")]
        thread::sleep(STEP);
    }
    false
}

//! The real binary on a data directory of its own and free ports, which it keeps when it is
//! started again, so that clients find it. It is stopped by its process id.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// Where clients find a broker.
#[derive(Clone)]
pub struct Addresses {
    /// Kafka's port.
    pub kafka: String,
    /// AMQP's port.
    pub amqp: String,
    /// SQS's port.
    pub sqs: String,
}

impl Addresses {
    /// Any free ports.
    fn any() -> Self {
        let any = || "127.0.0.1:0".to_owned();
        Self { kafka: any(), amqp: any(), sqs: any() }
    }
}

/// One process at a time.
pub struct Broker {
    addresses: Addresses,
    directory: TempDir,
    child: Child,
    config: String,
}

impl Broker {
    /// The addresses that a process shares among its tests: its broker ends with it.
    pub fn shared() -> &'static Addresses {
        static SHARED: OnceLock<Addresses> = OnceLock::new();
        SHARED.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a directory").keep();
            let mut addresses = Addresses::any();
            let child = spawn(directory.clone(), &mut addresses, "");
            end_with(std::process::id(), child.id(), directory);
            addresses
        })
    }

    /// A broker of one test's own, which ends with this value.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Broker::start`], with more sections of configuration.
    pub fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut addresses = Addresses::any();
        let child = spawn(directory.path().to_owned(), &mut addresses, config);
        Self { addresses, directory, child, config: config.to_owned() }
    }

    /// Where clients find it.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Ends it, cleanly or by kill -9, and starts it again.
    pub fn restart(&mut self, how: &str) {
        if how == "kill" {
            self.child.kill().expect("it runs");
            self.child.wait().expect("it ends");
        } else {
            let pid = self.child.id().to_string();
            let kill = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(kill.is_ok_and(|status| status.success()), "kill failed");
            let deadline = Instant::now() + STOP;
            let status = loop {
                if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                    break status;
                }
                assert!(Instant::now() < deadline, "the broker does not stop");
                sleep(Duration::from_millis(10));
            };
            assert!(status.success(), "the broker ended with {status}");
        }
        let directory = self.directory.path().to_owned();
        self.child = spawn(directory, &mut self.addresses, &self.config);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn spawn(directory: PathBuf, addresses: &mut Addresses, further: &str) -> Child {
    let Addresses { kafka, amqp, sqs } = &*addresses;
    let (ready, config) = (directory.join("ready"), directory.join("tramline.toml"));
    let _none = fs::remove_file(&ready);
    // No wait for further members: each test knows its own.
    let text = format!("[groups]\ninitial_rebalance_delay = \"0s\"\n{further}");
    fs::write(&config, text).expect("a configuration");
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("a log");
    let mut child = Command::new(std::env::var_os("TRAMLINE_BINARY").expect("TRAMLINE_BINARY"))
        .arg("serve")
        .arg(format!("--config={}", config.display()))
        .arg(format!("--data-dir={}", directory.join("data").display()))
        .arg(format!("--listen-kafka={kafka}"))
        .arg(format!("--listen-amqp={amqp}"))
        .arg(format!("--listen-sqs={sqs}"))
        .arg("--listen-http=127.0.0.1:0")
        .arg(format!("--ready-file={}", ready.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("the broker can be run");
    let deadline = Instant::now() + READY;
    while !ready.exists() {
        let ended = child.try_wait().expect("it can be waited for");
        if ended.is_some() || Instant::now() > deadline {
            let _gone = child.kill();
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            panic!("the broker did not start:\n{log}");
        }
        sleep(Duration::from_millis(10));
    }
    let taken = fs::read(&ready).expect("the ready file");
    let taken: serde_json::Value = serde_json::from_slice(&taken).expect("JSON");
    let address = |of: &str| taken[of].as_str().expect("an address").to_owned();
    *addresses = Addresses { kafka: address("kafka"), amqp: address("amqp"), sqs: address("sqs") };
    child
}

/// A process of Rust runs nothing at its end: a shell waits for it, ends the broker and removes
/// its files.
fn end_with(waited: u32, broker: u32, directory: PathBuf) {
    let script =
        "while kill -0 \"$0\" 2>/dev/null; do sleep 0.2; done; kill -9 \"$1\"; rm -rf \"$2\"";
    Command::new("sh")
        .args(["-c", script, &waited.to_string(), &broker.to_string()])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
}

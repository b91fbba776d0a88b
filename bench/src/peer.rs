//! The brokers under comparison: started on free ports and an empty directory, stopped by their
//! process id, with the processor time and memory that they took.

use crate::load;
use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A running broker.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    /// From the start of the process to the first answer.
    pub(crate) ready: Duration,
    child: Child,
    start: Start,
}

/// How to start it again.
#[derive(Clone)]
enum Start {
    Tramline { binary: PathBuf, dir: PathBuf, config: Option<PathBuf> },
    Kafka { jars: PathBuf, dir: PathBuf },
}

impl Peer {
    /// Starts Tramline on its defaults.
    pub(crate) async fn tramline(binary: &Path, dir: &Path) -> anyhow::Result<Self> {
        Self::tramline_with(binary, dir, None).await
    }

    /// Starts Tramline with a configuration file.
    pub(crate) async fn tramline_with(
        binary: &Path,
        dir: &Path,
        config: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let dir = dir.join("tramline");
        fs::create_dir_all(&dir)?;
        let binary = binary.to_owned();
        Self::start("Tramline", Start::Tramline { binary, dir, config }).await
    }

    /// Starts Apache Kafka in KRaft mode on its defaults, from its Maven artifacts.
    pub(crate) async fn kafka(jars: &Path, dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.join("kafka");
        fs::create_dir_all(&dir)?;
        let (broker, controller) = (free_port()?, free_port()?);
        fs::write(dir.join("server.properties"), kafka_properties(&dir, broker, controller))?;
        let status = java(jars)
            .args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
            .arg(dir.join("server.properties"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("Kafka's storage tool failed");
        }
        Self::start("Apache Kafka", Start::Kafka { jars: jars.to_owned(), dir }).await
    }

    async fn start(name: &'static str, start: Start) -> anyhow::Result<Self> {
        let started = load::instant();
        let (mut child, address_file) = match &start {
            Start::Tramline { binary, dir, config } => {
                let ready = dir.join("ready.json");
                let _none_at_first = fs::remove_file(&ready);
                let config = config.iter().flat_map(|path| ["--config".as_ref(), path.as_os_str()]);
                let child = Command::new(binary)
                    .args(["serve", "--listen-amqp", "off", "--listen-sqs", "off"])
                    .args(["--listen-http", "127.0.0.1:0", "--listen-kafka"])
                    .arg("127.0.0.1:0")
                    .arg("--data-dir")
                    .arg(dir.join("data"))
                    .arg("--ready-file")
                    .arg(&ready)
                    .args(config)
                    .stdout(Stdio::null())
                    .stderr(fs::File::create(dir.join("log"))?)
                    .spawn()?;
                (child, Some(ready))
            }
            Start::Kafka { jars, dir } => {
                let child = java(jars)
                    .args(["-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "kafka.Kafka"])
                    .arg(dir.join("server.properties"))
                    .stdout(Stdio::null())
                    .stderr(fs::File::create(dir.join("log"))?)
                    .spawn()?;
                (child, None)
            }
        };
        let mut tries = 0;
        loop {
            let address = match (&address_file, &start) {
                (Some(file), _) => read_address(file),
                (None, Start::Kafka { dir, .. }) => fs::read_to_string(dir.join("address")).ok(),
                (None, Start::Tramline { .. }) => None,
            };
            if let Some(address) = address
                && answers(&address).await
            {
                let ready = started.elapsed();
                return Ok(Self { name, address, ready, child, start });
            }
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended with {status}");
            }
            tries += 1;
            if tries > 6000 {
                let _gone = child.kill();
                bail!("{name} is not ready after a minute");
            }
            load::pause(Duration::from_millis(if address_file.is_some() { 1 } else { 10 })).await;
        }
    }

    /// Stops it and starts it again on the same data.
    pub(crate) async fn restart(mut self) -> anyhow::Result<Self> {
        self.stop()?;
        Self::start(self.name, self.start.clone()).await
    }

    /// Kills it and starts it again on the same data.
    pub(crate) async fn kill_and_restart(mut self) -> anyhow::Result<Self> {
        self.child.kill()?;
        self.child.wait()?;
        Self::start(self.name, self.start.clone()).await
    }

    /// Processor seconds so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').context("no `)` in stat")?.1;
        let tick = |place| fields.split_whitespace().nth(place).and_then(|f| f.parse::<f64>().ok());
        // utime and stime, in hundredths of a second on Linux.
        Ok((tick(11).context("no utime")? + tick(12).context("no stime")?) / 100.0)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib = line.split_whitespace().nth(1).context("no value")?.parse::<f64>()?;
        Ok(kib / 1024.0)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.arg("-cp").arg(jars.join("*"));
    command
}

fn kafka_properties(dir: &Path, broker: u16, controller: u16) -> String {
    // The address is known beforehand here; Tramline writes its own into its ready file.
    let _written = fs::write(dir.join("address"), format!("127.0.0.1:{broker}"));
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\noffsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         log.segment.delete.delay.ms=1000\n",
        dir.join("data").display()
    )
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn read_address(ready_file: &Path) -> Option<String> {
    let text = fs::read_to_string(ready_file).ok()?;
    let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
    ready["kafka"].as_str().or_else(|| ready["listeners"]["kafka"].as_str()).map(str::to_owned)
}

async fn answers(address: &str) -> bool {
    use tramline_wire::kafka::MetadataRequest;
    let Ok(mut connection) = crate::connection::Connection::connect(address).await else {
        return false;
    };
    let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    connection.call(&request, 4).await.is_ok_and(|answer| !answer.brokers.is_empty())
}

//! The brokers under comparison: Tramline, ElasticMQ from Maven and moto's server from PyPI.

use super::http;
use crate::{
    peer::free_port,
    server::{Address, Server, Started, tramline},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A broker under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Tramline,
    /// Messages in memory.
    ElasticMq,
    /// Messages in memory; for tests, and not made for speed.
    Moto,
}

/// In the order of the report's columns.
pub(super) const SYSTEMS: [System; 3] = [System::Tramline, System::ElasticMq, System::Moto];

/// Where the brokers are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) tramline: PathBuf,
    /// The directory of ElasticMQ's jars.
    pub(crate) elasticmq: PathBuf,
    /// The `moto_server` program.
    pub(crate) moto: PathBuf,
}

impl System {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tramline => "Tramline",
            Self::ElasticMq => "ElasticMQ",
            Self::Moto => "moto",
        }
    }
}

/// Starts one on a directory, which may hold an earlier one's data.
pub(super) fn start(system: System, programs: &Programs, dir: &Path) -> anyhow::Result<Server> {
    fs::create_dir_all(dir)?;
    let started = match system {
        System::Tramline => tramline(&programs.tramline, dir, "sqs"),
        System::ElasticMq => elasticmq(&programs.elasticmq, dir)?,
        System::Moto => moto(&programs.moto)?,
    };
    Server::start(started, dir, http::answers)
}

fn elasticmq(jars: &Path, dir: &Path) -> anyhow::Result<Started> {
    let port = free_port()?;
    let config = dir.join("elasticmq.conf");
    // As it comes, but for the bounds that the loads would meet: open connections and message
    // sizes (its own are those of SQS before 2025).
    let text = format!(
        "include classpath(\"application.conf\")\n\
         generate-node-address = true\n\
         rest-stats.enabled = false\n\
         rest-sqs {{ bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = relaxed }}\n\
         pekko.http.server.max-connections = 20000\n\
         pekko.http.server.backlog = 4096\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new("java");
    command.arg(format!("-Dconfig.file={}", config.display()));
    command.arg("-cp").arg(jars.join("*")).arg("org.elasticmq.server.Main");
    let address = Address::Known(format!("127.0.0.1:{port}"));
    Ok(Started::new(System::ElasticMq.name(), command, address))
}

fn moto(program: &Path) -> anyhow::Result<Started> {
    let port = free_port()?;
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
    let address = Address::Known(format!("127.0.0.1:{port}"));
    Ok(Started::new(System::Moto.name(), command, address))
}

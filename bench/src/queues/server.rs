//! The brokers under comparison: Tramline, RabbitMQ and NATS as Debian packages them.

use super::{amqp::Client, nats};
pub(crate) use crate::server::Server;
use crate::{
    peer::free_port,
    server::{Address, Started, tramline},
};
use std::{fs, path::Path, process::Command};

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

/// Starts one on a directory, which may hold an earlier one's data.
pub(crate) fn start(system: System, binary: &Path, dir: &Path) -> anyhow::Result<Server> {
    fs::create_dir_all(dir)?;
    let started = match system {
        System::Tramline => tramline(binary, dir, "amqp"),
        System::RabbitMq => rabbitmq_command(dir)?,
        System::Nats => nats_command(dir)?,
    };
    Server::start(started, dir, |address| answers(system, address))
}

fn answers(system: System, address: &str) -> bool {
    match system {
        System::Tramline | System::RabbitMq => Client::connect(address).is_ok(),
        System::Nats => nats::Client::connect(address).is_ok(),
    }
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
    let name = System::RabbitMq.name();
    Ok(Started { name, command, address, pid_file: Some(pid_file), epmd_port: Some(epmd) })
}

fn nats_command(dir: &Path) -> anyhow::Result<Started> {
    let port = free_port()?;
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p"]).arg(port.to_string());
    command.arg("-sd").arg(dir.join("data"));
    let address = Address::Known(format!("127.0.0.1:{port}"));
    Ok(Started::new(System::Nats.name(), command, address))
}

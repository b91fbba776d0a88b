//! The servers under comparison: Tramline, Redis and NATS, the latter two as Debian has them.

use super::client::{self, Speaks};
use crate::{
    peer::free_port,
    server::{Address, Server, Started, tramline},
};
use std::{fs, path::Path, process::Command};

/// A server under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Tramline,
    Redis,
    Nats,
}

/// In the order of the report's columns.
pub(super) const SYSTEMS: [System; 3] = [System::Tramline, System::Redis, System::Nats];

impl System {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tramline => "Tramline",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
        }
    }
}

/// Starts one with nothing to be stored.
pub(super) fn start(system: System, binary: &Path, dir: &Path) -> anyhow::Result<Server> {
    fs::create_dir_all(dir)?;
    let (started, speaks) = match system {
        System::Tramline => {
            let mut started = tramline(binary, dir, "http");
            // Of the files that a process may have open, channels get what there is.
            let config = dir.join("tramline.toml");
            let few = ["kafka", "amqp", "sqs"].map(|of| format!("[{of}]\nconnections_max = 100\n"));
            fs::write(&config, few.concat())?;
            started.command.arg("--config").arg(config);
            (started, Speaks::WebSocket)
        }
        System::Redis => {
            let port = free_port()?.to_string();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--maxclients", "20000", "--port", &port]).arg("--dir").arg(dir);
            let address = Address::Known(format!("127.0.0.1:{port}"));
            (Started::new(system.name(), command, address), Speaks::Redis)
        }
        System::Nats => {
            let port = free_port()?.to_string();
            let mut command = Command::new("nats-server");
            command.args(["-a", "127.0.0.1", "-p", &port]);
            let address = Address::Known(format!("127.0.0.1:{port}"));
            (Started::new(system.name(), command, address), Speaks::Nats)
        }
    };
    Server::start(started, dir, |address| client::subscriber(address, speaks).is_ok())
}

//! Says that the broker is ready, and where: one log line, and a file for programs.

use crate::config::Config;
use anyhow::Context;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tracing::{info, warn};

/// Where the broker answers, and how long its start took.
pub(super) struct Ready {
    pub(super) http: Option<SocketAddr>,
    pub(super) kafka: Option<SocketAddr>,
    pub(super) amqp: Option<SocketAddr>,
    pub(super) sqs: Option<SocketAddr>,
    pub(super) took: Duration,
}

/// The file that names the addresses; removed when the broker stops.
pub(super) struct ReadyFile(PathBuf);

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            warn!(%error, "the ready file stays");
        }
    }
}

impl Ready {
    /// Logs one line `ready http=… kafka=… amqp=… sqs=… took_ms=…`, and writes the file where one is wanted.
    pub(super) fn announce(
        &self,
        config: &Config,
        file: Option<&Path>,
    ) -> anyhow::Result<Option<ReadyFile>> {
        let text = |address: Option<SocketAddr>| {
            address.map_or_else(|| "off".to_owned(), |address| address.to_string())
        };
        let took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        info!(
            http = text(self.http),
            kafka = text(self.kafka),
            amqp = text(self.amqp),
            sqs = text(self.sqs),
            data_dir = %config.data_dir.display(),
            took_ms,
            "ready"
        );
        let Some(path) = file else { return Ok(None) };
        let content = serde_json::json!({
            "pid": std::process::id(),
            "http": self.http,
            "kafka": self.kafka,
            "amqp": self.amqp,
            "sqs": self.sqs,
            "took_ms": took_ms,
        });
        // Whole or not there at all, for whoever waits for it.
        let partial = path.with_added_extension("partial");
        fs::write(&partial, format!("{content}\n"))
            .and_then(|()| fs::rename(&partial, path))
            .with_context(|| format!("cannot write the ready file `{}`", path.display()))?;
        Ok(Some(ReadyFile(path.to_owned())))
    }
}

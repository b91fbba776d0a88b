//! `tramline serve`: takes the ports, opens the store, starts the broker and its front-ends, and
//! stops them in the reverse order. A broker is ready when all of that is done.

mod descriptors;
mod listener;
mod ready;

use crate::{
    arguments::{self, Local},
    config::{Config, LogFormat},
};
use anyhow::{Context, bail};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use tramline_broker::{Broker, SystemClock};
use tramline_store::LogStore;
use tramline_types::Clock;

impl Local {
    /// The configuration file with the flags over it.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(listen) = &self.listen_http {
            config.http.listen.clone_from(listen);
        }
        if let Some(listen) = &self.listen_kafka {
            config.kafka.listen.clone_from(listen);
        }
        if let Some(listen) = &self.listen_amqp {
            config.amqp.listen.clone_from(listen);
        }
        if let Some(listen) = &self.listen_sqs {
            config.sqs.listen.clone_from(listen);
        }
        Ok(config)
    }
}

/// Runs until a signal.
pub(crate) fn run(arguments: &arguments::Serve) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let mut config = arguments.local.config()?;
    config.insecure |= arguments.insecure;
    if let Some(level) = &arguments.log_level {
        config.log.level.clone_from(level);
    }
    config.log.format = arguments.log_format.unwrap_or(config.log.format);
    start_log(&config)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .enable_all()
        .build()
        .context("cannot start the runtime's threads")?;
    runtime.block_on(serve(config, arguments, clock))
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let level = &config.log.level;
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("`log.level` = `{level}` is no filter"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colours).with_target(false).init();
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn serve(
    mut config: Config,
    arguments: &arguments::Serve,
    clock: Arc<SystemClock>,
) -> anyhow::Result<()> {
    // Before anything that takes time, so that no signal is missed.
    let mut stop = Stop::install()?;
    let http = listener::bind("http.listen", &config.http.listen, &config).await?;
    let kafka = listener::bind_kafka(&config).await?;
    let amqp = listener::bind("amqp.listen", &config.amqp.listen, &config).await?;
    let sqs = listener::bind("sqs.listen", &config.sqs.listen, &config).await?;
    if http.is_none() && kafka.is_empty() && amqp.is_none() && sqs.is_none() {
        bail!("every listener is off: set one of the `listen` settings, such as `http.listen`");
    }
    // What it says comes after the ports are had, so that a taken one stays one line.
    let shares = descriptors::Shares::take(&mut config);
    let store = open_store(&config, shares, &clock)?;
    let broker =
        Broker::start(store, Arc::clone(&clock) as Arc<dyn Clock>, config.broker_options()?)
            .await
            .context("cannot take up what the data directory holds")?;
    let ready = ready::Ready {
        http: http.as_ref().map(listener::local_addr).transpose()?,
        kafka: kafka.first().map(listener::local_addr).transpose()?,
        amqp: amqp.as_ref().map(listener::local_addr).transpose()?,
        sqs: sqs.as_ref().map(listener::local_addr).transpose()?,
        took: clock.monotonic().since_origin(),
    };
    let (shutdown, stopping) = watch::channel(false);
    let mut fronts = JoinSet::new();
    if let Some(listener) = http {
        let options = config.http_options();
        fronts.spawn(tramline_http::serve(listener, broker.clone(), options, stopping.clone()));
    }
    if !kafka.is_empty() {
        let (broker, options) = (broker.clone(), config.kafka_options());
        fronts.spawn(tramline_kafka::serve_nodes(kafka, broker, options, stopping.clone()));
    }
    if let Some(listener) = amqp {
        let options = config.amqp_options();
        fronts.spawn(tramline_amqp091::serve(listener, broker.clone(), options, stopping.clone()));
    }
    if let Some(listener) = sqs {
        let options = config.sqs_options();
        fronts.spawn(tramline_sqs::serve(listener, broker.clone(), options, stopping.clone()));
    }
    let ready_file = ready.announce(&config, arguments.ready_file.as_deref())?;
    let ended = tokio::select! {
        signal = stop.wait() => {
            info!(signal, "stopping");
            Ok(())
        }
        Some(front) = fronts.join_next() => match front {
            Ok(Ok(())) => Err(anyhow::anyhow!("a front-end ended by itself")),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        },
    };
    drop(ready_file);
    shutdown.send_replace(true);
    drop(stopping);
    tokio::select! {
        () = end(fronts, &broker, config.shutdown_timeout.0) => {}
        signal = stop.wait() => bail!("{signal} again: ended at once; nothing acknowledged is lost"),
    }
    ended
}

/// Lets running requests end for a while, then makes everything durable.
async fn end(mut fronts: JoinSet<io::Result<()>>, broker: &Broker, timeout: Duration) {
    let clock = Arc::clone(broker.clock());
    let deadline = Some(clock.monotonic().plus(timeout));
    tokio::select! {
        () = async { while fronts.join_next().await.is_some() {} } => {}
        () = clock.sleep_until(deadline) => warn!("requests that still ran were cut off"),
    }
    fronts.shutdown().await;
    broker.close().await;
    info!("stopped");
}

fn open_store(
    config: &Config,
    shares: descriptors::Shares,
    clock: &Arc<SystemClock>,
) -> anyhow::Result<Arc<dyn LogStore>> {
    let mut options = config.disk_options();
    options.segments_open_max = shares.segments;
    options.clock = Some(Arc::clone(clock) as Arc<dyn Clock>);
    let files = Arc::new(tramline_store::fs::RealFiles);
    let store = tramline_store::DiskStore::open(files, &config.data_dir, options)?;
    for damage in store.damage() {
        error!(detail = damage.detail, "stored data is damaged");
    }
    Ok(store)
}

/// The signals that end the broker.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn install() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

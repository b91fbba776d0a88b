//! The listening sockets: one, or one per virtual node; accept up to the limit, one task per
//! connection.

use crate::{
    Options,
    connection::{Connection, Error},
    context::{Context, Shared},
    metrics::Metrics,
    nodes::Nodes,
};
use futures_util::future::try_join_all;
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tracing::{debug, error, warn};
use tramline_broker::Broker;

/// After a failed accept (no file descriptors left, as a rule).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves Kafka clients until `shutdown` turns true; then ends every connection after what it
/// has under way.
///
/// # Errors
/// When the listening socket has no address.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_nodes(vec![listener], broker, options, shutdown).await
}

/// As [`serve`], for one process that looks like a node per listener: for tests of clients.
///
/// # Errors
/// When a listening socket has no address.
pub async fn serve_nodes(
    listeners: Vec<TcpListener>,
    broker: Broker,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut ports = Vec::with_capacity(listeners.len());
    for (place, listener) in (0..).zip(&listeners) {
        let own = listener.local_addr()?.port();
        ports.push(match &options.advertised {
            Some((_, first)) => first.saturating_add(place),
            None => own,
        });
    }
    if ports.len() > 1 {
        warn!(nodes = ports.len(), "one process plays several brokers: replicas are simulated");
    }
    let metrics = Metrics::new(&broker);
    let nodes = Nodes::new(options.node_id, ports);
    let shared = Arc::new(Shared { broker, options, metrics, nodes });
    let serve = |(place, listener)| {
        let node_id = shared.nodes.id(place);
        accept_all(listener, node_id, Arc::clone(&shared), shutdown.clone())
    };
    try_join_all(listeners.into_iter().enumerate().map(serve)).await?;
    Ok(())
}

async fn accept_all(
    listener: TcpListener,
    node_id: i32,
    shared: Arc<Shared>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut stop = shutdown.clone();
    let limit = i64::try_from(shared.options.connections_max).unwrap_or(i64::MAX);
    let mut connections = JoinSet::new();
    // Said once, or a crowd that comes again and again would fill the log.
    let mut is_full = false;
    loop {
        tokio::select! {
            () = stopping(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                shared.metrics.connections.dec();
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if shared.metrics.connections.get() >= limit {
                        shared.metrics.connections_refused.inc();
                        if !is_full {
                            warn!(%peer, "kafka connections refused at `connections_max`");
                        }
                        is_full = true;
                        continue;
                    }
                    is_full = false;
                    let (shared_too, shutdown) = (shared.clone(), shutdown.clone());
                    connections.spawn(async move {
                        if let Err(error) = open(stream, (shared_too, node_id), shutdown).await {
                            log(&error, peer);
                        }
                    });
                    shared.metrics.connections_accepted.inc();
                    shared.metrics.connections.inc();
                }
                Err(error) => {
                    warn!(%error, "kafka connection not accepted");
                    let clock = shared.broker.clock();
                    clock.sleep_until(Some(clock.monotonic().plus(ACCEPT_RETRY))).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {
        shared.metrics.connections.dec();
    }
    Ok(())
}

/// Resolves when the server stops, or its sender is gone. What the channel lends is given back
/// here, so that the caller's future can move between threads.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn open(
    stream: tokio::net::TcpStream,
    (shared, node_id): (Arc<Shared>, i32),
    shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let cx = Context::new(shared, node_id, stream.local_addr()?, stream.peer_addr()?);
    Connection::new(stream, cx, shutdown).run().await
}

fn log(error: &Error, peer: std::net::SocketAddr) {
    match error {
        Error::Encode(_) => error!(%peer, %error, "kafka connection closed"),
        Error::Io(_) | Error::Violation(_) | Error::Decode(_) | Error::SilentFailure => {
            debug!(%peer, %error, "kafka connection closed");
        }
    }
}

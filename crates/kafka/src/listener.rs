//! The listening socket: accepts up to the limit, one task per connection.

use crate::{
    Options,
    connection::{Connection, Error},
    context::{Context, Shared},
    metrics::Metrics,
};
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
    listener.local_addr()?;
    let mut stop = shutdown.clone();
    let metrics = Metrics::new(&broker);
    let shared = Arc::new(Shared { broker, options, metrics });
    let mut connections = JoinSet::new();
    // Said once, or a crowd that comes again and again would fill the log.
    let mut is_full = false;
    loop {
        tokio::select! {
            () = stopping(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                set_open(&shared, &connections);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if connections.len() >= shared.options.connections_max {
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
                        if let Err(error) = open(stream, shared_too, shutdown).await {
                            log(&error, peer);
                        }
                    });
                    shared.metrics.connections_accepted.inc();
                    set_open(&shared, &connections);
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
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Resolves when the server stops, or its sender is gone. What the channel lends is given back
/// here, so that the caller's future can move between threads.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn open(
    stream: tokio::net::TcpStream,
    shared: Arc<Shared>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let cx = Context::new(shared, stream.local_addr()?, stream.peer_addr()?);
    Connection::new(stream, cx, shutdown).run().await
}

fn set_open(shared: &Shared, connections: &JoinSet<()>) {
    let open = i64::try_from(connections.len()).expect("a count fits 64 bits");
    shared.metrics.connections.set(open);
}

fn log(error: &Error, peer: std::net::SocketAddr) {
    match error {
        Error::Encode(_) => error!(%peer, %error, "kafka connection closed"),
        Error::Io(_) | Error::Violation(_) | Error::Decode(_) | Error::SilentFailure => {
            debug!(%peer, %error, "kafka connection closed");
        }
    }
}

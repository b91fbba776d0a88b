//! The listening socket: accepts up to the limit, one task per connection.

use crate::{Options, connection::Connection, context::Shared};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tracing::{debug, warn};
use tramline_broker::Broker;

/// After a failed accept (no file descriptors left, as a rule).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves AMQP 0-9-1 clients until `shutdown` turns true; then closes every connection with 320.
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
    let shared = Arc::new(Shared::new(broker, options));
    let mut connections = JoinSet::new();
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
                        warn!(%peer, "amqp connection refused at `connections_max`");
                        continue;
                    }
                    let (shared_too, shutdown) = (Arc::clone(&shared), shutdown.clone());
                    connections.spawn(async move {
                        if let Err(error) = open(stream, shared_too, shutdown).await {
                            debug!(%peer, %error, "amqp connection closed");
                        }
                    });
                    shared.metrics.connections_accepted.inc();
                    set_open(&shared, &connections);
                }
                Err(error) => {
                    warn!(%error, "amqp connection not accepted");
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

/// Resolves when the server stops, or its sender is gone.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn open(
    stream: TcpStream,
    shared: Arc<Shared>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), crate::connection::Error> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    Connection::new(stream, shared, peer, shutdown).run().await
}

fn set_open(shared: &Shared, connections: &JoinSet<()>) {
    let open = i64::try_from(connections.len()).expect("a count fits 64 bits");
    shared.metrics.connections.set(open);
}

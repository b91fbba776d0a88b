//! The listening sockets: one, or one per virtual node, behind one [`Door`].

use crate::{
    Options,
    connection::{Connection, Error},
    context::{Context, Shared},
    metrics::Metrics,
    nodes::Nodes,
};
use futures_util::future::join_all;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tracing::{debug, error, warn};
use tramline_broker::{Broker, Door, Excess};

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
    let door = Door::new(&broker, "kafka", options.connections_max, Excess::Refused);
    let metrics = Metrics::new(&broker, &door);
    let nodes = Nodes::new(options.node_id, ports);
    let shared = Arc::new(Shared { broker, options, metrics, nodes });
    let serve = |(place, listener)| {
        let node_id = shared.nodes.id(place);
        let (door, shared, shutdown) = (door.clone(), Arc::clone(&shared), shutdown.clone());
        async move {
            let connection = |stream, peer| {
                let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                async move {
                    if let Err(error) = open(stream, (shared, node_id), peer, shutdown).await {
                        log(&error, peer);
                    }
                }
            };
            door.serve(listener, shutdown.clone(), connection).await;
        }
    };
    join_all(listeners.into_iter().enumerate().map(serve)).await;
    Ok(())
}

async fn open(
    stream: TcpStream,
    (shared, node_id): (Arc<Shared>, i32),
    peer: SocketAddr,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    let cx = Context::new(shared, node_id, stream.local_addr()?, peer);
    Connection::new(stream, cx, shutdown).run().await
}

fn log(error: &Error, peer: SocketAddr) {
    match error {
        Error::Encode(_) => error!(%peer, %error, "kafka connection closed"),
        Error::Io(_) | Error::Violation(_) | Error::Decode(_) | Error::SilentFailure => {
            debug!(%peer, %error, "kafka connection closed");
        }
    }
}

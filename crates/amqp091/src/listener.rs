//! The listening socket, and a task for each connection that it lets in.

use crate::{Options, connection::Connection, context::Shared};
use std::{io, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tracing::debug;
use tramline_broker::{Broker, Door, Excess};

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
    let door = Door::new(&broker, "amqp-0-9-1", options.connections_max, Excess::Refused);
    let shared = Arc::new(Shared::new(broker, options, &door));
    let connection = |stream, peer| {
        let connection = Connection::new(stream, Arc::clone(&shared), peer, shutdown.clone());
        async move {
            if let Err(error) = connection.run().await {
                debug!(%peer, %error, "amqp connection closed");
            }
        }
    };
    door.serve(listener, shutdown.clone(), connection).await;
    Ok(())
}

//! The accept loop of every front-end: lets clients in up to a limit, one task for each, until the
//! broker stops.
//!
//! Invariant: as many places are taken as connections have their task; a task that ends, however
//! it ends, gives its place back.

use crate::Broker;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tracing::warn;
use tramline_types::Clock;

/// After a failed accept (no file descriptors left, as a rule).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What becomes of a client that comes when there are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is hung up on, and tries again by itself.
    Refused,
    /// It waits until another one goes.
    Waits,
}

/// The way into one front-end, through one listener or several. A clone is a handle.
#[derive(Clone)]
pub struct Door {
    protocol: &'static str,
    excess: Excess,
    places: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<DoorMetrics>,
}

#[derive(Default)]
struct DoorMetrics {
    open: Gauge,
    accepted: Counter,
    refused: Counter,
    /// A refusal is said once, or a crowd that comes again and again would fill the log.
    is_full: AtomicBool,
}

/// One connection's place.
struct Place {
    metrics: Arc<DoorMetrics>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

impl Door {
    /// A door for so many clients at a time.
    pub fn new(
        broker: &Broker,
        protocol: &'static str,
        connections_max: usize,
        excess: Excess,
    ) -> Self {
        let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        let clock = Arc::clone(broker.clock());
        Self { protocol, excess, places, clock, metrics: Arc::default() }
    }

    /// Registers what is counted here among a front-end's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let DoorMetrics { open, accepted, refused, .. } = &*self.metrics;
        registry.register("connections", "Open connections", open.clone());
        registry.register("connections_accepted", "Connections accepted", accepted.clone());
        let help = "Connections refused at the limit";
        registry.register("connections_refused", help, refused.clone());
    }

    /// Lets clients in until `shutdown` turns true, or its sender is gone; then waits for those
    /// that are there. Dropped before that, it ends them where they are.
    pub async fn serve<C: Future<Output = ()> + Send + 'static>(
        &self,
        listener: TcpListener,
        mut shutdown: watch::Receiver<bool>,
        connection: impl Fn(TcpStream, SocketAddr) -> C,
    ) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stopping(&mut shutdown) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (stream, peer, place) = self.accept(&listener) => {
                    let connection = connection(stream, peer);
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// The next client that gets a place. Nothing is lost when it is dropped.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Place) {
        let protocol = self.protocol;
        loop {
            let waited = match self.excess {
                Excess::Waits => Arc::clone(&self.places).acquire_owned().await.ok(),
                Excess::Refused => None,
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(protocol, %error, "connection not accepted");
                    let again = self.clock.monotonic().plus(ACCEPT_RETRY);
                    self.clock.sleep_until(Some(again)).await;
                    continue;
                }
            };
            let Some(permit) = waited.or_else(|| Arc::clone(&self.places).try_acquire_owned().ok())
            else {
                self.metrics.refused.inc();
                if !self.metrics.is_full.swap(true, Ordering::Relaxed) {
                    warn!(protocol, %peer, "connections refused at `connections_max`");
                }
                continue;
            };
            self.metrics.is_full.store(false, Ordering::Relaxed);
            self.metrics.accepted.inc();
            self.metrics.open.inc();
            // A failure here means that the peer is gone already; reading will say so.
            let _ = stream.set_nodelay(true);
            return (stream, peer, Place { metrics: Arc::clone(&self.metrics), _permit: permit });
        }
    }
}

/// Resolves when the server stops. What the channel lends is given back here, so that the
/// caller's future can move between threads.
async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}

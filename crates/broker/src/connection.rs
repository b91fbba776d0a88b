//! Which client connections are open: listed and closed by the operator, and what exclusive
//! queues and connection-bound locks belong to.
//!
//! A front-end registers a connection when it is accepted, and the entry goes with the
//! [`Registration`].

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;
use tramline_types::{ConnectionId, Timestamp};

/// One open connection, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// What it speaks, such as `amqp-0-9-1`.
    pub protocol: &'static str,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub opened: Timestamp,
    /// What the client says it is.
    pub client: Option<String>,
    /// Whom it was authenticated as.
    pub user: Option<String>,
}

/// All open connections.
#[derive(Default)]
pub struct Connections {
    last: AtomicU64,
    open: Mutex<BTreeMap<ConnectionId, Open>>,
}

struct Open {
    info: ConnectionInfo,
    close: watch::Sender<Option<String>>,
}

/// A connection's entry; dropping it takes it out.
pub struct Registration {
    connections: Arc<Connections>,
    id: ConnectionId,
    closing: watch::Receiver<Option<String>>,
}

impl Connections {
    /// Enters a connection that was accepted.
    pub fn register(
        self: &Arc<Self>,
        protocol: &'static str,
        peer: SocketAddr,
        now: Timestamp,
    ) -> Registration {
        let id = ConnectionId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (close, closing) = watch::channel(None);
        let info = ConnectionInfo { id, protocol, peer, opened: now, client: None, user: None };
        self.open.lock().insert(id, Open { info, close });
        Registration { connections: Arc::clone(self), id, closing }
    }

    /// Every open connection, oldest first.
    pub fn list(&self) -> Vec<ConnectionInfo> {
        self.open.lock().values().map(|open| open.info.clone()).collect()
    }

    /// Asks a connection to close, and why; false when there is none of this id.
    pub fn close(&self, id: ConnectionId, reason: &str) -> bool {
        let open = self.open.lock();
        let Some(open) = open.get(&id) else { return false };
        open.close.send_replace(Some(reason.to_owned()));
        true
    }
}

impl Registration {
    /// The connection's id.
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Says who the client is.
    pub fn identify(&self, client: Option<String>, user: Option<String>) {
        if let Some(open) = self.connections.open.lock().get_mut(&self.id) {
            open.info.client = client;
            open.info.user = user;
        }
    }

    /// Resolves to the reason when the connection is to be closed.
    pub async fn closing(&self) -> String {
        let mut closing = self.closing.clone();
        // What the channel lends is given back before anything else is waited for, so that the
        // caller's future can move between threads.
        let reason = closing.wait_for(Option::is_some).await.map(|reason| reason.clone());
        match reason {
            Ok(reason) => reason.unwrap_or_default(),
            // The sender lives as long as this entry.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 5))
    }

    #[tokio::test]
    async fn a_connection_is_listed_until_it_goes_and_closed_when_asked() {
        let connections = Arc::new(Connections::default());
        let now = Timestamp::from_millis(7);
        let one = connections.register("kafka", peer(), now);
        let other = connections.register("amqp-0-9-1", peer(), now);
        assert!(one.id() < other.id());
        other.identify(Some("pika".to_owned()), Some("guest".to_owned()));
        let listed = connections.list();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1].client.as_deref(), Some("pika"));

        assert!(connections.close(other.id(), "by the operator"));
        assert_eq!(other.closing().await, "by the operator");
        drop(other);
        assert!(!connections.close(listed[1].id, "again"));
        assert_eq!(connections.list().len(), 1);
    }
}

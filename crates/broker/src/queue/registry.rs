//! Which queues there are: declaring, finding, deleting.

use crate::{Broker, Error, Queue, QueueError};
use std::sync::Arc;
use tramline_catalog::QueueSettings;
use tramline_types::{ConnectionId, QueueName};

/// Whether a declaration made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It did.
    Yes,
    /// It was there already, the same.
    No,
}

/// When to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOnly {
    /// Only without consumers.
    pub if_unused: bool,
    /// Only without messages.
    pub if_empty: bool,
}

impl Broker {
    /// Makes a queue, or finds it as it is wanted. Durable on return.
    ///
    /// # Errors
    /// [`QueueError::Inequivalent`], [`QueueError::Locked`], [`QueueError::NameTaken`].
    pub async fn declare_queue(
        &self,
        name: &QueueName,
        settings: QueueSettings,
    ) -> Result<(Arc<Queue>, Created), Error> {
        let _ = settings;
        Err(QueueError::UnknownQueue(name.to_string()).into())
    }

    /// The queue of this name.
    pub fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, Error> {
        Err(QueueError::UnknownQueue(name.to_string()).into())
    }

    /// Every queue, by name.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        Vec::new()
    }

    /// Deletes a queue with everything in it; durable on return. Gives how many messages were
    /// ready. Its consumers are woken, their next receive says that it is gone.
    pub async fn delete_queue(&self, queue: &Arc<Queue>, only: DeleteOnly) -> Result<u64, Error> {
        let _ = only;
        Err(QueueError::UnknownQueue(queue.name().to_string()).into())
    }

    /// A connection is gone: its exclusive queues go, and what its deliveries locked returns.
    pub async fn connection_closed(&self, connection: ConnectionId) {
        let _ = connection;
    }
}

impl Queue {
    /// Whether a connection may use it.
    ///
    /// # Errors
    /// [`QueueError::Locked`] when it is exclusive to another one.
    pub fn check_owner(&self, connection: Option<ConnectionId>) -> Result<(), Error> {
        match self.settings().owner {
            Some(owner) if Some(owner) != connection => {
                Err(QueueError::Locked(self.name().to_string()).into())
            }
            _ => Ok(()),
        }
    }
}

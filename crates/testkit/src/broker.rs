//! A whole broker in memory, on a clock that stands still.

use crate::FakeClock;
use std::sync::Arc;
use tramline_broker::{Broker, Error, Options};
use tramline_store::MemoryStore;

/// A broker in memory and the clock that it goes by.
pub struct MemoryBroker {
    /// The broker; a clone is a handle.
    pub broker: Broker,
    /// Its clock; a clone is a handle.
    pub clock: FakeClock,
    /// Its store.
    pub store: Arc<MemoryStore>,
}

impl MemoryBroker {
    /// Starts one on the default options. Needs a tokio runtime.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(Options::default()).await
    }

    /// Starts one on these options. Needs a tokio runtime.
    pub async fn start_with(options: Options) -> Result<Self, Error> {
        let (store, clock) = (Arc::new(MemoryStore::new()), FakeClock::new());
        let broker = Broker::start(store.clone(), Arc::new(clock.clone()), options).await?;
        Ok(Self { broker, clock, store })
    }
}

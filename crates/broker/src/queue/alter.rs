//! Changing a queue while it is used.

use super::{
    Queue,
    registry::checked,
    state::{State, rules},
};
use crate::{Broker, Error, QueueError, broker::submit};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use tokio::sync::oneshot;
use tramline_catalog::{QueueRecord, QueueSettings};
use tramline_store::{Op, Purpose, Reservation};

/// What a record takes beside its settings, at most: its numbers, and a lane per level.
const RECORD_BYTES: usize = 16 * 1024;

impl Broker {
    /// Changes a queue's settings; durable on return. What is in the queue goes by the changed
    /// ones from then on.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`], also for those that are given for good when the queue is
    /// declared: durability, owner, kind, priorities, bounds, order and deduplication.
    pub async fn alter_queue(
        &self,
        queue: &Arc<Queue>,
        change: impl FnOnce(&mut QueueSettings) + Send,
    ) -> Result<(), Error> {
        let durable = {
            let _one_at_a_time = self.admin().await;
            if queue.is_gone() {
                return Err(QueueError::UnknownQueue(queue.name.to_string()).into());
            }
            let have = queue.settings();
            let mut wanted = (*have).clone();
            change(&mut wanted);
            let wanted = checked(wanted)?;
            check_fixed(&have, &wanted)?;
            if queue.is_transient() {
                let mut state = queue.state.lock();
                queue.set_settings(&mut state, wanted);
                return Ok(());
            }
            if *have == wanted {
                // Somebody else's change of this very moment may not be durable yet.
                let reservation = self.store().reserve(Purpose::Upkeep, 0, 0).wait().await?;
                submit(&**self.store(), SmallVec::new(), reservation)
            } else {
                let bytes = size(queue, &wanted);
                let reservation = self.store().reserve(Purpose::Upkeep, bytes, 1).wait().await?;
                self.store_settings(queue, wanted, reservation)
            }
        };
        durable.await.map_err(|_| Error::Closed)
    }

    /// Sets and stores them under the queue's lock, as its other changes are.
    fn store_settings(
        &self,
        queue: &Arc<Queue>,
        wanted: QueueSettings,
        reservation: Reservation,
    ) -> oneshot::Receiver<()> {
        let mut state = queue.state.lock();
        queue.set_settings(&mut state, wanted);
        let record = state.record(queue).encode();
        let ops: SmallVec<[Op; 1]> = smallvec![Op::Put(QueueRecord::key(&queue.name), record)];
        submit(&**self.store(), ops, reservation)
    }
}

impl Queue {
    fn set_settings(self: &Arc<Self>, state: &mut State, wanted: QueueSettings) {
        if let Some(engine) = &mut state.engine {
            engine.set_rules(rules(&wanted));
        }
        self.hot.set(&wanted);
        *self.settings.write() = Arc::new(wanted);
        state.settings_changed(self);
        // Messages may be due that were not before.
        self.context.timers.set(self.context.now(), self);
    }
}

/// How large the record may be.
fn size(queue: &Queue, wanted: &QueueSettings) -> usize {
    let settings = serde_json::to_vec(wanted).map_or(0, |text| text.len());
    settings + 2 * queue.name.as_str().len() + RECORD_BYTES
}

/// Refuses what cannot be changed.
fn check_fixed(have: &QueueSettings, wanted: &QueueSettings) -> Result<(), Error> {
    let fixed = [
        ("topic", have.topic == wanted.topic),
        ("start", have.start == wanted.start),
        ("durability", have.durability == wanted.durability),
        ("exclusive", have.owner == wanted.owner),
        ("auto_delete", have.auto_delete == wanted.auto_delete),
        ("kind", have.kind == wanted.kind),
        ("expires_ms", have.expires_ms == wanted.expires_ms),
        ("length_max", have.length_max == wanted.length_max),
        ("bytes_max", have.bytes_max == wanted.bytes_max),
        ("overflow", have.overflow == wanted.overflow),
        ("priority_max", have.priority_max == wanted.priority_max),
        ("single_active_consumer", have.single_active_consumer == wanted.single_active_consumer),
        ("ordered_groups", have.ordered_groups == wanted.ordered_groups),
        ("deduplication_ms", have.deduplication_ms == wanted.deduplication_ms),
    ];
    match fixed.iter().find(|(_, same)| !same) {
        Some((setting, _)) => Err(QueueError::InvalidSetting {
            setting,
            detail: "cannot be changed once the queue is declared".to_owned(),
        }
        .into()),
        None => Ok(()),
    }
}

//! One message by its place: asking for one that was set aside, taking one out, ending a wait.

use super::{Delivery, Queue};
use crate::{Error, QueueError};
use std::sync::Arc;
use tramline_queue::{Lock, Place, Removal, Take};

impl Queue {
    /// Delivers messages that were deferred, by their places; those that are not deferred are
    /// left out.
    ///
    /// # Errors
    /// What reading comes to: what was delivered before it stays locked.
    pub async fn recall(
        self: &Arc<Self>,
        places: &[Place],
        lock: Lock,
    ) -> Result<Vec<Delivery>, Error> {
        self.touch();
        let (mut near, mut out) = (Vec::new(), Vec::new());
        let take = Take { n_max: 1, bytes_max: usize::MAX, lock, run: None };
        for place in places {
            let deferred = {
                let state = self.state.lock();
                state.engine.as_deref().is_some_and(|engine| engine.is_deferred(*place))
            };
            if !deferred {
                continue;
            }
            let Some(loaded) = self.find(*place, &mut near).await? else { continue };
            self.step(None, |engine, now| {
                engine.handle_recall((*place, loaded), &take, now, &mut out)
            });
        }
        Ok(out)
    }

    /// Takes a message out that nobody has, whatever it waits for; durable on return.
    ///
    /// # Errors
    /// [`QueueError::Deleted`], and what reading comes to.
    pub async fn remove(self: &Arc<Self>, place: Place) -> Result<Removal, Error> {
        self.check_there()?;
        let found = self.on_engine(|engine, _| engine.look_at_each(&[place]));
        if found.iter().flatten().next().is_none() {
            return Ok(Removal::Gone);
        }
        self.durable(place).await;
        let known = match self.find(place, &mut Vec::new()).await {
            Ok(loaded) => loaded.map_or((0, None), |loaded| (loaded.bytes, loaded.group)),
            // It is set aside: nothing goes by what it was.
            Err(Error::DataDamaged(_)) => (0, None),
            Err(error) => return Err(error),
        };
        Ok(self.on_engine_durably(|engine, now| engine.handle_remove(place, known, now)).await)
    }

    /// Ends the wait of a delayed message: it can be delivered from here on. Durable on return;
    /// `false` when it does not wait for a time.
    ///
    /// # Errors
    /// [`QueueError::Deleted`].
    pub async fn end_delay(self: &Arc<Self>, place: Place) -> Result<bool, Error> {
        self.check_there()?;
        Ok(self.on_engine_durably(|engine, now| engine.handle_due(place, None, now)).await)
    }

    fn check_there(&self) -> Result<(), Error> {
        match self.is_gone() {
            true => Err(QueueError::Deleted(self.name.to_string()).into()),
            false => Ok(()),
        }
    }
}

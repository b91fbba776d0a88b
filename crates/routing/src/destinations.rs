//! The destinations behind one key, each with the number of bindings that lead there.

use crate::Destination;
use smallvec::SmallVec;

/// Destinations, counted: several bindings may differ in their arguments alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations(SmallVec<[(Destination, u32); 1]>);

impl Destinations {
    pub(crate) fn add(&mut self, destination: &Destination) {
        match self.0.iter_mut().find(|(of, _)| of == destination) {
            Some((_, count)) => *count += 1,
            None => self.0.push((destination.clone(), 1)),
        }
    }

    pub(crate) fn remove(&mut self, destination: &Destination) {
        let Some(at) = self.0.iter().position(|(of, _)| of == destination) else { return };
        self.0[at].1 -= 1;
        if self.0[at].1 == 0 {
            self.0.swap_remove(at);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().map(|(destination, _)| destination)
    }
}

//! What every back-end does, and what the disk back-end survives.

#[cfg(test)]
mod batches;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod suite;

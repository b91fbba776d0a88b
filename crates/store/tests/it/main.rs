//! What every back-end does, and what the disk back-end survives.

#[cfg(test)]
mod batches;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod format;
#[cfg(test)]
mod model;
#[cfg(test)]
mod powercut;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod workload;

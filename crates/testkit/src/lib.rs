//! What tests share: a clock that stands still until it is moved, and (feature `broker`) a
//! broker in memory.

#[cfg(feature = "broker")]
mod broker;
mod fake_clock;

#[cfg(feature = "broker")]
pub use broker::MemoryBroker;
pub use fake_clock::FakeClock;

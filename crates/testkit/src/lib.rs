//! What tests share: a clock that stands still until it is moved, and (feature `broker`) a
//! broker in memory.

mod fake_clock;

pub use fake_clock::FakeClock;

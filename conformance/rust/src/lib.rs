//! A broker process, and clients of it with bounded waits, for the tests in `tests/`.

mod broker;
mod clients;

pub use broker::Broker;
pub use clients::{Clients, LIMIT, numbers, read, read_nothing, send, texts, unique, until};

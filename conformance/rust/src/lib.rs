//! A broker process, and clients of it with bounded waits, for the tests in `tests/`.

mod clients;

pub use clients::{Clients, LIMIT, numbers, read, read_nothing, send, texts, unique, until};
pub use tramline_conformance_broker::Broker;

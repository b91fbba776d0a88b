//! Batches as the outside world writes and reads them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod golden;
mod oracle;

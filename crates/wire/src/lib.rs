//! Sans-io codecs, written here. In: bytes of one frame. Out: messages, or a [`DecodeError`].
//!
//! Nothing in this crate touches a socket, a clock or a task. Untrusted bytes never panic, and
//! nothing is allocated on the word of a declared length: see [`Reader`].

extern crate self as tramline_wire;

mod error;
mod fuzz;
pub mod kafka;
mod reader;
mod string;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use fuzz::fuzz_request;
pub use reader::{ITEMS_MAX, Reader, STRING_BYTES_MAX};
pub use string::KafkaStr;
pub use writer::{SHARED_BYTES_MIN, Writer};

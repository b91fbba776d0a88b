//! The AMQP 0-9-1 codec, sans-io. In: bytes. Out: frames, methods, tables, or a [`DecodeError`].
//!
//! Frames are split off and written by hand and borrow from the read buffer ([`frame`],
//! [`content`]); what comes once a message ([`hot`]) is read and written without allocating;
//! every other method is a plain struct ([`method`]). Untrusted bytes never panic, and nothing is
//! allocated on the word of a declared length: see [`Reader`].

pub mod content;
mod error;
pub mod frame;
mod fuzz;
pub mod hot;
pub mod method;
mod reader;
mod reply;
mod table;
mod writer;

pub use content::{ContentHeader, Properties};
pub use error::DecodeError;
pub use frame::{FRAME_END, FRAME_OVERHEAD, Frame, FrameKind, PROTOCOL_HEADER};
pub use fuzz::{fuzz_frames, fuzz_properties, fuzz_table};
pub use method::Method;
pub use reader::{Field, Reader};
pub use reply::ReplyCode;
pub use table::{DEPTH_MAX, Table, Value};
pub use writer::Writer;

#[cfg(test)]
mod tests;

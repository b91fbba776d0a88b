//! Kafka's record batch, format 2: the stored form of every message.
//!
//! A [`Batch`] is validated once (magic, length, CRC32C, counts, attributes) and then passed on
//! as the bytes that the producer sent, still compressed. Only [`Batch::records`] opens it.
//!
//! ```text
//!  0 base offset i64   8 batch length i32   12 leader epoch i32   16 magic i8   17 crc u32
//! 21 attributes i16   23 last offset delta i32   27 base timestamp i64   35 max timestamp i64
//! 43 producer id i64   51 producer epoch i16   53 base sequence i32   57 record count i32
//! 61 records, compressed as a whole by the codec in the attributes
//! ```
//! The batch length counts from byte 12, the CRC covers bytes 21 to the end. Untrusted bytes
//! never panic, and nothing is allocated by a declared length.

mod batch;
mod builder;
mod compression;
mod error;
mod fuzz;
mod header;
mod records;
mod rewrite;
mod varint;

pub use batch::{Batch, stamp};
pub use builder::BatchBuilder;
pub use compression::Compression;
pub use error::Error;
pub use fuzz::fuzz_batch;
pub use header::{Attributes, BatchHeader, HEADER_BYTES};
pub use records::{Record, Records};
pub use rewrite::Codec;
pub use tramline_types::Header;

/// The CRC32C (Castagnoli) of these bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues a CRC32C: `crc32c_append(crc32c(a), b)` is the CRC of `a` followed by `b`.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

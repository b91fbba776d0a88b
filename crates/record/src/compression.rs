//! The four codecs. Output is limited by the caller's cap, and memory by what really comes out:
//! a length that compressed data declares is never allocated.

use crate::Error;
use bytes::Bytes;
use std::{fmt, io, io::Read};

/// How the records of a batch are compressed, by Kafka's ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they are.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the framing of snappy-java ("xerial"); a bare block is read as well.
    Snappy = 2,
    /// The LZ4 frame format.
    Lz4 = 3,
    /// Zstandard, RFC 8878.
    Zstd = 4,
}

impl Compression {
    /// The name in Kafka's `compression.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Kafka's id, as in the attributes.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Decompresses at most `bytes_max` bytes.
    pub(crate) fn decompress(self, bytes: Bytes, bytes_max: usize) -> Result<Bytes, Error> {
        let input: &[u8] = &bytes;
        let opened = match self {
            Self::None if bytes.len() > bytes_max => return Err(Error::OpenedTooLarge(bytes_max)),
            Self::None => return Ok(bytes),
            Self::Gzip => read_capped(flate2::bufread::MultiGzDecoder::new(input), bytes_max),
            // A frame that is cut between blocks is not noticed here; its records then are too few.
            Self::Lz4 => read_capped(lz4_flex::frame::FrameDecoder::new(input), bytes_max),
            // The decoder takes at most 128 MiB (2^27) of address space for a frame's window,
            // zstd's own limit, and touches only what it fills.
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(input)
                .map_err(Failure::from)
                .and_then(|decoder| read_capped(decoder, bytes_max)),
            Self::Snappy => snappy_decompress(input, bytes_max),
        };
        match opened {
            Ok(opened) => Ok(opened.into()),
            Err(Failure::TooLarge) => Err(Error::OpenedTooLarge(bytes_max)),
            Err(Failure::Damaged(detail)) => Err(Error::Decompress { codec: self, detail }),
        }
    }

    /// Compresses, where the codec has levels by this one; `None` copies.
    pub(crate) fn compress(self, bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, Error> {
        let compressed = match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => gzip_compress(bytes, level),
            Self::Snappy => snappy_compress(bytes),
            Self::Lz4 => lz4_compress(bytes),
            Self::Zstd => {
                zstd::bulk::compress(bytes, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
            }
        };
        compressed.map_err(|error| Error::Compress { codec: self, detail: error.to_string() })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<u8> for Compression {
    type Error = Error;

    fn try_from(id: u8) -> Result<Self, Error> {
        Ok(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(Error::UnknownCompression(id)),
        })
    }
}

enum Failure {
    TooLarge,
    Damaged(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<snap::Error> for Failure {
    fn from(error: snap::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What is opened grows twofold up to here; beyond, it gets space for all that it may become, of
/// which only what is written takes memory: half-grown copies of a bomb would take as much again.
const GROWS_TO: usize = 4 << 20;

fn read_capped(reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = reader.take(limit.min(GROWS_TO as u64));
    let mut opened = Vec::new();
    reader.read_to_end(&mut opened)?;
    if opened.len() == GROWS_TO && bytes_max >= GROWS_TO {
        let mut whole = Vec::with_capacity(bytes_max.saturating_add(1));
        whole.extend_from_slice(&opened);
        opened = whole;
        reader.set_limit(limit - GROWS_TO as u64);
        reader.read_to_end(&mut opened)?;
    }
    if opened.len() > bytes_max { Err(Failure::TooLarge) } else { Ok(opened) }
}

/// Starts snappy-java's framing; a version and a compatible version of four bytes each follow,
/// then blocks with a big-endian length in front.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// What snappy-java puts into one block.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's densest element: 3 bytes that repeat 64.
const SNAPPY_RATIO_MAX: usize = 22;

fn snappy_decompress(input: &[u8], bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut opened = Vec::new();
    let Some(framed) = input.strip_prefix(XERIAL_MAGIC) else {
        snappy_block(input, bytes_max, &mut opened)?;
        return Ok(opened);
    };
    // The versions are not compared: readers in use ignore them, and some writers err there.
    let damaged = |detail: &str| Failure::Damaged(detail.to_owned());
    let mut rest = framed
        .get(XERIAL_VERSIONS.len()..)
        .ok_or_else(|| damaged("the framing's header is cut short"))?;
    while !rest.is_empty() {
        let (length, after) =
            rest.split_first_chunk().ok_or_else(|| damaged("a block's length is cut short"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (block, after) = after
            .split_at_checked(length)
            .ok_or_else(|| damaged("a block's length exceeds the bytes that are there"))?;
        snappy_block(block, bytes_max, &mut opened)?;
        rest = after;
    }
    Ok(opened)
}

fn snappy_block(block: &[u8], bytes_max: usize, opened: &mut Vec<u8>) -> Result<(), Failure> {
    let length = snap::raw::decompress_len(block)?;
    let start = opened.len();
    let end = start.saturating_add(length);
    if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(Failure::Damaged("a block declares more than it can hold".to_owned()));
    }
    if end > bytes_max {
        return Err(Failure::TooLarge);
    }
    opened.resize(end, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut opened[start..])?;
    opened.truncate(start + written);
    Ok(())
}

fn snappy_compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = [XERIAL_MAGIC.as_slice(), &XERIAL_VERSIONS].concat();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(out)
}

fn gzip_compress(bytes: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let level = level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
    let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
    flate2::bufread::GzEncoder::new(bytes, level).read_to_end(&mut out)?;
    Ok(out)
}

/// Independent blocks of 64 KiB, the only kind that the Java client reads.
fn lz4_compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    io::Write::write_all(&mut encoder, bytes)?;
    encoder.finish().map_err(io::Error::other)
}

#[cfg(test)]
mod tests;

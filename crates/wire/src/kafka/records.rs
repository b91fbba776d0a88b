//! Record data in a message: opaque bytes, in one or more pieces that are never joined.

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Reader, Writer};

use super::message::{Format, Nullable};

/// Whole record batches, one after the other. Written without copying, read as one slice.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<Bytes>);

impl Records {
    /// No records. Clients take this better than null.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// The bytes of all pieces together.
    pub fn total_bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// All pieces as one. Copies when there are several.
    pub fn to_bytes(&self) -> Bytes {
        match self.0.as_slice() {
            [] => Bytes::new(),
            [piece] => piece.clone(),
            pieces => Bytes::from(pieces.concat()),
        }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self(pieces)
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

/// Equal bytes, however they are cut.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.total_bytes() == other.total_bytes()
            && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Records {}

impl Nullable for Records {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        Ok(reader.nullable_bytes(format.flexible)?.map(Self::from))
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.length(format.flexible, value.map(Self::total_bytes))?;
        value.into_iter().flat_map(Self::pieces).for_each(|piece| writer.raw_shared(piece));
        Ok(())
    }
}

//! AMQP's primitive types, appended to one buffer that grows and is used again.

/// Writes values to the end of a buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Where the current octet of packed bits is, and how many of them are taken.
    bits: Option<(usize, u8)>,
}

macro_rules! fixed {
    ($($name:ident: $doc:literal),* $(,)?) => {$(
        #[doc = $doc]
        pub fn $name(&mut self, value: $name) {
            self.slice(&value.to_be_bytes());
        }
    )*};
}

impl Writer {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), bits: None }
    }

    /// An empty buffer with room.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), bits: None }
    }

    /// What is written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is written.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written, for good.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what is written and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bits = None;
    }

    /// Bytes as they are.
    pub fn slice(&mut self, bytes: &[u8]) {
        self.bits = None;
        self.bytes.extend_from_slice(bytes);
    }

    fixed! {
        i8: "A signed byte.",
        u8: "A byte.",
        i16: "A big-endian `i16`.",
        u16: "A big-endian `u16`.",
        i32: "A big-endian `i32`.",
        u32: "A big-endian `u32`.",
        i64: "A big-endian `i64`.",
        u64: "A big-endian `u64`.",
        f32: "A big-endian IEEE 754 single.",
        f64: "A big-endian IEEE 754 double.",
    }

    /// One of the bits that share an octet with their neighbours, lowest first.
    pub fn bit(&mut self, bit: bool) {
        let (place, taken) = match self.bits {
            Some((place, taken)) if taken < 8 => (place, taken),
            _ => {
                self.u8(0);
                (self.bytes.len() - 1, 0)
            }
        };
        self.bytes[place] |= u8::from(bit) << taken;
        self.bits = Some((place, taken + 1));
    }

    /// A length in 32 bits. What is longer cannot be said, and does not fit a frame either.
    pub(crate) fn size(&mut self, size: usize) {
        self.u32(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// A length of 32 bits and the bytes.
    pub fn long_bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.slice(bytes);
    }

    /// A length of 8 bits and the bytes, at most 255.
    pub fn short_bytes(&mut self, bytes: &[u8]) {
        let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(length);
        self.slice(&bytes[..usize::from(length)]);
    }

    /// A short string; what does not fit into 255 bytes is cut off between characters.
    pub fn short_str(&mut self, text: &str) {
        self.short_bytes(&text.as_bytes()[..text.floor_char_boundary(255)]);
    }

    /// A length of 32 bits and what `content` writes.
    pub fn sized(&mut self, content: impl FnOnce(&mut Self)) {
        let place = self.bytes.len();
        self.u32(0);
        content(self);
        self.bits = None;
        let size = u32::try_from(self.bytes.len() - place - 4).unwrap_or(u32::MAX);
        self.bytes[place..place + 4].copy_from_slice(&size.to_be_bytes());
    }
}

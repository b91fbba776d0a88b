//! The entries of the fuzz targets `amqp091_*`.

use crate::{
    ContentHeader, Frame, FrameKind, Method, Properties, Table, Writer,
    frame::{split, whole_frames},
    hot,
};

/// Takes a hostile connection's bytes through frames, methods and content headers.
///
/// # Panics
/// When a decoder panics, or when what it read does not survive being written and read again.
pub fn fuzz_frames(data: &[u8]) {
    const FRAME_MAX: usize = 4096;
    let Ok(whole) = whole_frames(data, FRAME_MAX) else { return };
    let mut rest = &data[..whole];
    while let Ok(Some(frame)) = split(rest, FRAME_MAX) {
        rest = &rest[frame.len()..];
        fuzz_frame(&frame);
    }
}

fn fuzz_frame(frame: &Frame<'_>) {
    match frame.kind {
        FrameKind::Method => {
            let hot = hot::decode(frame.payload);
            let Ok(method) = Method::decode(frame.payload) else { return };
            assert!(hot.is_ok(), "{method:?} is read by one decoder only");
            let mut writer = Writer::new();
            method.encode_into(&mut writer, frame.channel);
            let again = split(writer.as_slice(), usize::MAX).expect("what was written is a frame");
            let again = again.expect("what was written is whole");
            let method_again = Method::decode(again.payload).expect("what was written is read");
            let mut writer_again = Writer::new();
            method_again.encode_into(&mut writer_again, frame.channel);
            // Compared as bytes: a table may hold a number that is none, which equals nothing.
            assert_eq!(writer.as_slice(), writer_again.as_slice());
        }
        FrameKind::Header => {
            if let Ok(header) = ContentHeader::decode(frame.payload) {
                fuzz_properties(header.properties);
            }
        }
        FrameKind::Body | FrameKind::Heartbeat => {}
    }
}

/// Takes a hostile field table.
///
/// # Panics
/// When the decoder panics, or when what it read does not survive being written and read again.
pub fn fuzz_table(data: &[u8]) {
    let decoded = Table::decode(data);
    assert_eq!(Table::check(data).err(), decoded.as_ref().err().copied());
    let Ok(table) = decoded else { return };
    let mut writer = Writer::new();
    table.encode_into(&mut writer);
    let again = Table::decode(writer.as_slice()).expect("what was written is read");
    let mut writer_again = Writer::new();
    again.encode_into(&mut writer_again);
    assert_eq!(writer.as_slice(), writer_again.as_slice());
}

/// Takes hostile property flags and values.
///
/// # Panics
/// When the decoder panics, or when what it read does not survive being written and read again.
pub fn fuzz_properties(data: &[u8]) {
    let Ok(properties) = Properties::decode(data) else { return };
    if let Some(headers) = properties.headers {
        fuzz_table(headers);
    }
    let bytes = properties.to_bytes();
    assert_eq!(Properties::decode(&bytes), Ok(properties));
}

#[cfg(test)]
mod tests;

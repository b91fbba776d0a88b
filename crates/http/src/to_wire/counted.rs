//! Large answers, counted in memory with all others until they are taken.

use crate::{Context, error::Error};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use std::io;
use tramline_broker::Share;
use tramline_types::limits::CONNECTION_BYTES_FREE;

/// Room is taken in such pieces.
const PIECE_BYTES: usize = 256 * 1024;

/// An answer as JSON; refused where it is large and other answers take all the room there is.
pub(crate) fn counted(cx: &Context, answer: &impl Serialize) -> Result<Response, Error> {
    let mut text = Text { bytes: Vec::new(), share: cx.broker.budgets().answers.share() };
    // Our own types have text keys only: nothing fails but the room.
    serde_json::to_writer(&mut text, answer).map_err(|_| Error::Busy)?;
    let Text { bytes, mut share } = text;
    share.shrink_to(bytes.len());
    let body = if share.bytes() > 0 { share.hold(Bytes::from(bytes)) } else { bytes.into() };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
}

/// Text that grows as far as there is room; a little is free.
struct Text {
    bytes: Vec<u8>,
    share: Share,
}

impl io::Write for Text {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let held = self.bytes.len() + part.len();
        if held > CONNECTION_BYTES_FREE.max(self.share.bytes()) {
            let missing = held - self.share.bytes();
            if !self.share.try_grow(missing.max(PIECE_BYTES)) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

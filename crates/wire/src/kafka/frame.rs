//! Frames: size, header, body.
//!
//! ```text
//! request   [size i32][api key i16][version i16][correlation id i32][client id][tags?][body]
//! response  [size i32][correlation id i32][tags?][body]
//! ```
//!
//! The tags are there from the first flexible version of the API on. The client id keeps its
//! 16-bit length even then, and the answer to ApiVersions never has tags, because a client asks
//! for the versions before it knows what the broker understands.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::{DecodeError, EncodeError, KafkaStr, Reader, Writer};

use super::{ApiKey, KafkaMessage, Request};

/// The part of a request header that never changes, enough to route a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPeek {
    /// Which API, known here or not.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// What the answer must repeat.
    pub correlation_id: i32,
}

/// Reads the first eight bytes of a frame (without its size prefix).
pub fn peek_request_header(frame: &[u8]) -> Result<RequestPeek, DecodeError> {
    let head: &[u8; 8] = frame.first_chunk().ok_or(DecodeError::Truncated)?;
    let [k0, k1, v0, v1, c0, c1, c2, c3] = *head;
    Ok(RequestPeek {
        api_key: i16::from_be_bytes([k0, k1]),
        api_version: i16::from_be_bytes([v0, v1]),
        correlation_id: i32::from_be_bytes([c0, c1, c2, c3]),
    })
}

/// The header of a request: v1, or v2 for flexible versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub request_api_key: i16,
    /// In which version.
    pub request_api_version: i16,
    /// What the answer must repeat.
    pub correlation_id: i32,
    /// The name that the client gave itself.
    pub client_id: Option<KafkaStr>,
}

impl RequestHeader {
    /// Reads the header of a request to a known API, and leaves the body.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_api_key, request_api_version) = (reader.i16()?, reader.i16()?);
        let api_key = ApiKey::from_code(request_api_key)?;
        let header = Self {
            request_api_key,
            request_api_version,
            correlation_id: reader.i32()?,
            client_id: reader.nullable_string(false)?,
        };
        if api_key.request_header_version(request_api_version) >= 2 {
            reader.skip_tagged_fields()?;
        }
        Ok(header)
    }

    /// Appends the header of a request to `api_key`.
    pub fn encode_into(&self, writer: &mut Writer, api_key: ApiKey) -> Result<(), EncodeError> {
        writer.i16(self.request_api_key);
        writer.i16(self.request_api_version);
        writer.i32(self.correlation_id);
        writer.nullable_string(false, self.client_id.as_ref())?;
        if api_key.request_header_version(self.request_api_version) >= 2 {
            writer.unsigned_varint(0);
        }
        Ok(())
    }
}

/// Reads the header of an answer, v0 or v1, and leaves the body. Gives the correlation id.
pub fn decode_response_header(
    reader: &mut Reader,
    api_key: ApiKey,
    version: i16,
) -> Result<i32, DecodeError> {
    let correlation_id = reader.i32()?;
    if api_key.response_header_version(version) >= 1 {
        reader.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// A whole request frame with its size prefix.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<KafkaStr>,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::with_capacity(256);
    writer.i32(0);
    let header = RequestHeader {
        request_api_key: R::API_KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id,
    };
    header.encode_into(&mut writer, R::API_KEY)?;
    request.encode_into(&mut writer, version)?;
    writer.set_size_prefix()?;
    Ok(writer.into_chunks())
}

/// A whole response frame with its size prefix, as chunks for a vectored write.
pub fn encode_response<M: KafkaMessage>(
    response: &M,
    api_key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::with_capacity(256);
    writer.i32(0);
    writer.i32(correlation_id);
    if api_key.response_header_version(version) >= 1 {
        writer.unsigned_varint(0);
    }
    response.encode_into(&mut writer, version)?;
    writer.set_size_prefix()?;
    Ok(writer.into_chunks())
}

/// Reads a whole request frame (without its size prefix) of a known type.
pub fn decode_request<R: Request>(frame: Bytes) -> Result<(RequestHeader, R), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    if header.request_api_key != R::API_KEY.code() {
        return Err(DecodeError::UnknownApi(header.request_api_key));
    }
    let request = R::decode(&mut reader, header.request_api_version)?;
    Ok((header, request))
}

/// Reads a whole response frame (without its size prefix) to a request of type `R`. Gives the
/// correlation id and the answer.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = decode_response_header(&mut reader, R::API_KEY, version)?;
    let response = R::Response::decode(&mut reader, version)?;
    Ok((correlation_id, response))
}

//! The golden files: every version of every message, as kafka-clients 4.3.0 writes it.

use std::path::PathBuf;

use bytes::Bytes;
use tramline_wire::kafka::{
    AnyRequest, AnyResponse, ApiKey, decode_any_request, decode_any_response,
};
use tramline_wire::{DecodeError, EncodeError, Writer};

/// Request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// A message of either direction.
#[derive(Debug)]
pub(crate) enum Body {
    Request(AnyRequest),
    Response(AnyResponse),
}

/// One line of a golden file.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) api_key: ApiKey,
    pub(crate) direction: Direction,
    pub(crate) version: i16,
    /// Whether every field is set.
    pub(crate) is_full: bool,
    pub(crate) bytes: Bytes,
}

impl Sample {
    /// Every line of every file.
    pub(crate) fn all() -> Vec<Self> {
        ApiKey::ALL.iter().flat_map(|&api_key| Self::of(api_key)).collect()
    }

    fn of(api_key: ApiKey) -> Vec<Self> {
        let text = read(&format!("{api_key}.hex"));
        text.lines().map(|line| Self::parse(api_key, line)).collect()
    }

    fn parse(api_key: ApiKey, line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let direction = match words[0] {
            "request" => Direction::Request,
            "response" => Direction::Response,
            other => panic!("unknown direction `{other}`"),
        };
        Self {
            api_key,
            direction,
            version: words[1].parse().expect("a version"),
            is_full: words[2] == "full",
            bytes: unhex(words[3]),
        }
    }

    /// Decodes `bytes` as this message in this version.
    pub(crate) fn decode(&self, bytes: Bytes) -> Result<Body, DecodeError> {
        let (key, version) = (self.api_key.code(), self.version);
        match self.direction {
            Direction::Request => decode_any_request(key, version, bytes).map(Body::Request),
            Direction::Response => decode_any_response(key, version, bytes).map(Body::Response),
        }
    }

    /// What the sample is, for messages of failing tests.
    pub(crate) fn label(&self) -> String {
        format!("{} {:?} v{} full={}", self.api_key, self.direction, self.version, self.is_full)
    }
}

impl Body {
    pub(crate) fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        match self {
            Self::Request(request) => request.encode_into(&mut writer, version)?,
            Self::Response(response) => response.encode_into(&mut writer, version)?,
        }
        Ok(writer.into_bytes())
    }

    /// The message as text, with the names of structures and fields.
    pub(crate) fn debug(&self) -> String {
        match self {
            Self::Request(request) => format!("{request:?}"),
            Self::Response(response) => format!("{response:?}"),
        }
    }
}

/// Reads a file of the golden directory.
pub(crate) fn read(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unhex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

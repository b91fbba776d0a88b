//! From an answer to bytes, in the protocol that it was asked in.

pub(crate) mod message;
pub(crate) mod xml;

use crate::error::{Code, Error};
use axum::http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Value, json};

/// The namespace of the Query protocol's answers.
const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// How answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Render {
    /// AWS JSON 1.0.
    Json,
    /// The Query protocol.
    Xml { namespace: &'static str },
    /// The Query protocol for who asks for JSON.
    QueryJson,
}

/// What an action answers, on its way to the wire.
pub(crate) enum Output {
    /// The bytes of AWS JSON; none where there is nothing to say.
    Bytes(Vec<u8>),
    /// What the Query protocol wraps.
    Tree(Value),
}

impl Render {
    /// As the request's headers ask.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let has = |name, text: &str| {
            headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(text))
        };
        if headers.contains_key("x-amz-target") || has(header::CONTENT_TYPE, "x-amz-json") {
            Self::Json
        } else if has(header::ACCEPT, "application/json") {
            Self::QueryJson
        } else {
            Self::Xml { namespace: NAMESPACE }
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.0",
            Self::Xml { .. } => "text/xml",
            Self::QueryJson => "application/json",
        }
    }

    /// Takes an answer; `()` is one that says nothing.
    pub(crate) fn take<T: Serialize>(self, answer: &T) -> Result<Output, Error> {
        let failed =
            |error: serde_json::Error| Error::new(Code::InternalFailure, error.to_string());
        Ok(match self {
            Self::Json if size_of::<T>() == 0 => Output::Bytes(Vec::new()),
            Self::Json => Output::Bytes(serde_json::to_vec(answer).map_err(failed)?),
            Self::Xml { .. } | Self::QueryJson => {
                Output::Tree(serde_json::to_value(answer).map_err(failed)?)
            }
        })
    }

    /// The body of an answer.
    pub(crate) fn output(self, action: &str, output: Output, id: &str) -> Vec<u8> {
        let tree = match output {
            Output::Bytes(bytes) => return bytes,
            Output::Tree(tree) => tree,
        };
        if let Self::Xml { namespace } = self {
            return xml::answer(action, &tree, id, namespace).into_bytes();
        }
        let mut response = json!({"ResponseMetadata": {"RequestId": id}});
        if !tree.is_null() {
            response[format!("{action}Result")] = tree;
        }
        json!({ format!("{action}Response"): response }).to_string().into_bytes()
    }

    /// The body of a refusal.
    pub(crate) fn error(self, error: &Error, id: &str) -> Vec<u8> {
        let spelling = error.code.spelling();
        let kind = if error.code.is_senders() { "Sender" } else { "Receiver" };
        match self {
            Self::Json => json!({"__type": spelling.shape, "message": error.message}).to_string(),
            Self::Xml { namespace } => {
                xml::error((kind, spelling.code, &error.message), id, namespace)
            }
            Self::QueryJson => {
                let error = json!({
                    "Type": kind,
                    "Code": spelling.code,
                    "Message": error.message,
                    "Detail": null,
                });
                json!({"Error": error, "RequestId": id}).to_string()
            }
        }
        .into_bytes()
    }
}

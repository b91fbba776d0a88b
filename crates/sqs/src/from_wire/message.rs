//! From what a client sends to a stored message.
//!
//! The body is the value. Each attribute is a record header of its name, with its text or its
//! bytes. What that loses (ids, types, attributes whose names mean something else in a stored
//! message) is kept in the one header [`COMPACT`].

use super::bounded::Map;
use crate::{
    error::{Code, Error, required},
    to_wire::xml,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tramline_types::{Header, Message};

/// The header that keeps what others cannot.
pub(crate) const COMPACT: &[u8] = b"sqs";
/// The header of the message id, which other protocols show as theirs.
pub(crate) const MESSAGE_ID: &str = "message-id";

/// Headers that have a meaning of their own in a stored message: an attribute of such a name
/// stands in [`COMPACT`] alone.
pub(crate) const RESERVED: [&str; 9] = [
    "amqp091",
    "dead-letter",
    "deliver-at",
    "expires-at",
    "message-group",
    "message-id",
    "priority",
    "sqs",
    "user-id",
];

const ATTRIBUTES_MAX: usize = 10;
const ATTRIBUTE_NAME_MAX: usize = 256;
/// The one system attribute that can be sent.
const TRACE: &str = "AWSTraceHeader";

/// An attribute of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attribute {
    pub(crate) data_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<String>,
}

pub(crate) type Attributes = BTreeMap<String, Attribute>;

/// What [`COMPACT`] holds, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Compact {
    /// The message's id.
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sender: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deduplication: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// The digest of a large body, which takes longer to make than all else of a receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digested>,
    /// The types of attributes, where they are not `String`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) types: BTreeMap<String, String>,
    /// Attributes that are no headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: Attributes,
}

/// A body's digest, and what tells that it is of this body: the header may have been copied to
/// another one, by a client of another protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Digested {
    crc32c: u32,
    md5: String,
}

impl Digested {
    /// Shorter bodies are digested again.
    const BODY_BYTES_MIN: usize = 4 * 1024;

    /// What is kept of a body's digest.
    pub(crate) fn of(body: &[u8], md5: &str) -> Option<Self> {
        let kept = || Self { crc32c: crc32c::crc32c(body), md5: md5.to_owned() };
        (body.len() >= Self::BODY_BYTES_MIN).then(kept)
    }

    /// The digest, if it is of this body.
    pub(crate) fn for_body(self, body: &[u8]) -> Option<String> {
        (self.crc32c == crc32c::crc32c(body)).then_some(self.md5)
    }
}

/// A message as a client sends it, alone or in a batch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Sent {
    pub(crate) queue_url: Option<String>,
    /// In a batch.
    pub(crate) id: Option<String>,
    pub(crate) message_body: Option<String>,
    pub(crate) delay_seconds: Option<i64>,
    pub(crate) message_attributes: Option<Map<Attribute>>,
    pub(crate) message_system_attributes: Option<Map<Attribute>>,
    pub(crate) message_deduplication_id: Option<String>,
    pub(crate) message_group_id: Option<String>,
}

/// A message whose parts are as they must be.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) body: String,
    pub(crate) attributes: Vec<(String, Typed)>,
    pub(crate) trace: Option<String>,
    /// Body and attributes, in bytes.
    pub(crate) size: usize,
}

/// An attribute with its value read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) data_type: String,
    pub(crate) value: TypedValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypedValue {
    Text(String),
    Binary(Vec<u8>),
}

impl TypedValue {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl Sent {
    /// Checks the body and the attributes.
    pub(crate) fn check(&mut self) -> Result<Checked, Error> {
        let body = required(self.message_body.take(), "MessageBody")?;
        if body.is_empty() {
            return Err(Error::missing("MessageBody"));
        }
        if !xml::is_text(&body) {
            return Err(Error::new(
                Code::InvalidMessageContents,
                "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to \
                 #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            ));
        }
        let attributes = self.message_attributes.take().unwrap_or_default().0;
        if attributes.len() > ATTRIBUTES_MAX {
            let message = format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                attributes.len()
            );
            return Err(Error::invalid(message));
        }
        let read = |(name, attribute)| typed(name, attribute);
        let attributes = attributes.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let of_attribute = |(name, typed): &(String, Typed)| {
            name.len() + typed.data_type.len() + typed.value.as_bytes().len()
        };
        let size = body.len() + attributes.iter().map(of_attribute).sum::<usize>();
        Ok(Checked { body, attributes, trace: self.trace()?, size })
    }

    fn trace(&mut self) -> Result<Option<String>, Error> {
        let mut trace = None;
        for (name, attribute) in self.message_system_attributes.take().unwrap_or_default().0 {
            if name != TRACE {
                let message = format!("Message system attribute name '{name}' is invalid.");
                return Err(Error::invalid(message));
            }
            trace = match typed(name, attribute)?.1.value {
                TypedValue::Text(text) => Some(text),
                TypedValue::Binary(_) => {
                    let message = format!("Message system attribute '{TRACE}' must be a String.");
                    return Err(Error::invalid(message));
                }
            };
        }
        Ok(trace)
    }
}

fn typed(name: String, attribute: Attribute) -> Result<(String, Typed), Error> {
    check_name(&name)?;
    let data_type = attribute.data_type.filter(|text| !text.is_empty()).ok_or_else(|| {
        Error::invalid(format!(
            "The message attribute '{name}' must contain message attribute type."
        ))
    })?;
    let kind = data_type.split('.').next().unwrap_or_default();
    let empty = || {
        Error::invalid(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for \
             message attribute type '{kind}'."
        ))
    };
    let value = match kind {
        "String" | "Number" => {
            let text = attribute.string_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            if !xml::is_text(&text) {
                let message = format!("The message attribute '{name}' has invalid characters.");
                return Err(Error::invalid(message));
            }
            if kind == "Number" && !text.trim().parse::<f64>().is_ok_and(f64::is_finite) {
                return Err(Error::invalid(format!(
                    "Can't cast the value of message attribute '{name}' to a number."
                )));
            }
            TypedValue::Text(text)
        }
        "Binary" => {
            let text = attribute.binary_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            TypedValue::Binary(STANDARD.decode(text).map_err(|_| {
                Error::new(Code::Serialization, format!("attribute '{name}' is no base64"))
            })?)
        }
        _ => {
            return Err(Error::invalid(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of \
                 supported type prefixes is Binary, Number, and String."
            )));
        }
    };
    Ok((name, Typed { data_type, value }))
}

/// The rules for an attribute's name.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    let lower = name.to_ascii_lowercase();
    let good = (1..=ATTRIBUTE_NAME_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, \
         underscore (_), hyphen (-), and period (.) characters, must not start with AWS. or \
         Amazon., and must not begin or end with a period or have periods in succession."
    )))
}

/// The message as it is stored.
pub(crate) fn stored(checked: Checked, mut compact: Compact) -> Message {
    let mut headers = Vec::with_capacity(2 + checked.attributes.len());
    let id = Bytes::from(compact.id.clone());
    headers.push(Header { name: Bytes::from_static(MESSAGE_ID.as_bytes()), value: Some(id) });
    compact.trace = checked.trace;
    for (name, typed) in checked.attributes {
        if RESERVED.contains(&name.as_str()) {
            compact.attributes.insert(name, typed.into());
            continue;
        }
        if typed.data_type != "String" {
            compact.types.insert(name.clone(), typed.data_type);
        }
        let value = match typed.value {
            TypedValue::Text(text) => Bytes::from(text),
            TypedValue::Binary(bytes) => Bytes::from(bytes),
        };
        headers.push(Header { name: Bytes::from(name), value: Some(value) });
    }
    let compact = serde_json::to_vec(&compact).expect("text and maps of it are JSON");
    headers.push(Header { name: Bytes::from_static(COMPACT), value: Some(Bytes::from(compact)) });
    Message { key: None, value: Some(Bytes::from(checked.body)), headers, timestamp: None }
}

impl From<Typed> for Attribute {
    fn from(typed: Typed) -> Self {
        let data_type = Some(typed.data_type);
        match typed.value {
            TypedValue::Text(text) => {
                Self { data_type, string_value: Some(text), binary_value: None }
            }
            TypedValue::Binary(bytes) => {
                let text = STANDARD.encode(bytes);
                Self { data_type, string_value: None, binary_value: Some(text) }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! From a stored message to what a client receives, and the digests that clients check.
//!
//! A body that is no text that XML could hold, and came by another protocol, is given in base64,
//! and an attribute [`ENCODING`] says so.

use crate::from_wire::message::{
    Attribute, COMPACT, Compact, RESERVED, Typed, TypedValue, check_name,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use std::borrow::Cow;
use tramline_types::Message;

use super::xml;

/// The attribute of a body that had to be encoded.
const ENCODING: &str = "body-encoding";

/// A stored message, read.
pub(crate) struct Outgoing<'a> {
    pub(crate) body: Cow<'a, str>,
    pub(crate) compact: Compact,
    /// By name, as clients sort them for the digest.
    pub(crate) attributes: Vec<(String, Typed)>,
}

/// Reads a stored message, whatever protocol it came by.
pub(crate) fn outgoing(message: &Message) -> Outgoing<'_> {
    let compact = header(message, COMPACT);
    let compact: Option<Compact> = compact.and_then(|json| serde_json::from_slice(json).ok());
    let is_ours = compact.is_some();
    let mut compact = compact.unwrap_or_default();
    let mut attributes = Vec::new();
    for (name, attribute) in std::mem::take(&mut compact.attributes) {
        attributes.extend(read(attribute).map(|typed| (name, typed)));
    }
    for header in &message.headers {
        let Ok(name) = str::from_utf8(&header.name) else { continue };
        let known = |(of, _): &(String, Typed)| of == name;
        if RESERVED.contains(&name) || check_name(name).is_err() || attributes.iter().any(known) {
            continue;
        }
        let value = header.value.as_deref().unwrap_or_default();
        let data_type = compact.types.get(name).cloned();
        attributes.extend(attribute(value, data_type).map(|typed| (name.to_owned(), typed)));
    }
    let value = message.value.as_deref().unwrap_or_default();
    let body = match text(value) {
        Some(text) => Cow::Borrowed(text),
        None => {
            let value = TypedValue::Text("base64".to_owned());
            let typed = Typed { data_type: "String".to_owned(), value };
            attributes.retain(|(name, _)| is_ours || name != ENCODING);
            attributes.push((ENCODING.to_owned(), typed));
            Cow::Owned(STANDARD.encode(value_of(message)))
        }
    };
    attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
    Outgoing { body, compact, attributes }
}

fn value_of(message: &Message) -> &[u8] {
    message.value.as_deref().unwrap_or_default()
}

/// A header's value.
pub(crate) fn header<'a>(message: &'a Message, name: &[u8]) -> Option<&'a [u8]> {
    message.headers.iter().find(|header| header.name == name)?.value.as_deref()
}

/// Text that every client can be sent.
fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok().filter(|text| xml::is_text(text))
}

/// A header as an attribute: of its own type, else text where it is some. None is empty.
fn attribute(value: &[u8], data_type: Option<String>) -> Option<Typed> {
    if value.is_empty() {
        return None;
    }
    let is_binary = data_type.as_ref().is_some_and(|data_type| data_type.starts_with("Binary"));
    let value = match text(value) {
        Some(text) if !is_binary => TypedValue::Text(text.to_owned()),
        _ => TypedValue::Binary(value.to_vec()),
    };
    let name = match value {
        TypedValue::Text(_) => "String",
        TypedValue::Binary(_) => "Binary",
    };
    let data_type = data_type.filter(|data_type| {
        data_type.starts_with("Binary") == matches!(value, TypedValue::Binary(_))
    });
    Some(Typed { data_type: data_type.unwrap_or_else(|| name.to_owned()), value })
}

fn read(attribute: Attribute) -> Option<Typed> {
    let value = match (attribute.string_value, attribute.binary_value) {
        (Some(text), _) => TypedValue::Text(text),
        (None, Some(text)) => TypedValue::Binary(STANDARD.decode(text).ok()?),
        (None, None) => return None,
    };
    Some(Typed { data_type: attribute.data_type?, value })
}

/// MD5 as clients write it.
pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// The digest of attributes, which are sorted by name: of each its name, its type, one byte for
/// the kind of value, and the value, each but the byte after its length.
pub(crate) fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a Typed)>,
) -> Option<String> {
    let mut digest = Md5::new();
    let mut any = false;
    for (name, typed) in attributes {
        any = true;
        add(&mut digest, name.as_bytes());
        add(&mut digest, typed.data_type.as_bytes());
        digest.update([match typed.value {
            TypedValue::Text(_) => 1_u8,
            TypedValue::Binary(_) => 2,
        }]);
        add(&mut digest, typed.value.as_bytes());
    }
    any.then(|| hex(&digest.finalize()))
}

fn add(digest: &mut Md5, bytes: &[u8]) {
    digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    digest.update(bytes);
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests;

//! Message headers: an object `{"name": "value"}`, or a list of `{"name", "value"}` where names
//! repeat or values are not UTF-8. Their order is kept.

use super::bytes;
use crate::error::Error;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use std::fmt;
use tramline_types::Header;

/// Headers in the order in which they were given.
#[derive(Default)]
pub(crate) struct Headers(Vec<HeaderFields>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFields {
    name: Option<String>,
    name_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
}

impl Headers {
    pub(crate) fn into_domain(self) -> Result<Vec<Header>, Error> {
        let header = |fields: HeaderFields| {
            let name = bytes("name", fields.name, fields.name_base64)?.ok_or_else(|| {
                Error::malformed("a header has no name", "give each header a `name`")
            })?;
            Ok(Header { name, value: bytes("value", fields.value, fields.value_base64)? })
        };
        self.0.into_iter().map(header).collect()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers as an object of names and values, or as a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
            headers.push(HeaderFields {
                name: Some(name),
                name_base64: None,
                value,
                value_base64: None,
            });
        }
        Ok(Headers(headers))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = list.next_element()? {
            headers.push(header);
        }
        Ok(Headers(headers))
    }
}

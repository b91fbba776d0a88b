//! `#[derive(KafkaMessage)]`: the codec of a structure, from version ranges at its fields.
//!
//! ```text
//! #[derive(KafkaMessage, Clone, Debug, PartialEq)]
//! #[kafka(versions = "0-13", flexible = "9+")]
//! pub struct MetadataRequest {
//!     #[kafka(nullable = "1+")]
//!     pub topics: Option<Vec<MetadataRequestTopic>>,
//!     #[kafka(versions = "4+", default = true)]
//!     pub allow_auto_topic_creation: bool,
//! }
//! ```
//!
//! At the structure: `versions`, and `flexible` if some version has compact lengths and tagged
//! fields. At a field: `versions` it is in (default: all), versions in which it may be null
//! (`nullable`), its `default` (default: zero, empty, null), `ignorable` if it is dropped rather
//! than refused where a version does not have it, and `tagged = n` for tagged fields.
//!
//! Also implements `Default`, with the defaults of the fields.

mod expand;
mod input;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `KafkaMessage`, `Field` and `Default`. See the crate's documentation.
#[proc_macro_derive(KafkaMessage, attributes(kafka))]
pub fn derive_kafka_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    input::Message::parse(&input)
        .map_or_else(syn::Error::into_compile_error, |message| expand::expand(&message))
        .into()
}

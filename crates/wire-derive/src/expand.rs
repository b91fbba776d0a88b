//! The generated code: per field a condition on the version, and a call of `Field`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::input::{Field, Message, Range};

/// The implementations for one structure.
pub(crate) fn expand(message: &Message) -> TokenStream {
    let name = &message.name;
    let Range { min, max } = message.versions;
    let flexible_since = match message.flexible {
        Some(Range { min, .. }) => quote!(Some(#min)),
        None => quote!(None),
    };
    let decode = decode(message);
    let encode = encode(message);
    let throttle = throttle(message);
    let fields = message.fields.iter().map(|field| &field.name);
    let defaults = message.fields.iter().map(default);
    quote! {
        #[automatically_derived]
        impl Default for #name {
            fn default() -> Self {
                Self { #(#fields: #defaults,)* }
            }
        }

        #[automatically_derived]
        impl ::tramline_wire::kafka::KafkaMessage for #name {
            const VERSIONS: ::tramline_wire::kafka::VersionRange =
                ::tramline_wire::kafka::VersionRange::new(#min, #max);
            const FLEXIBLE_SINCE: Option<i16> = #flexible_since;

            #decode
            #encode
            #throttle
        }

        #[automatically_derived]
        impl ::tramline_wire::kafka::Field for #name {
            fn read(
                reader: &mut ::tramline_wire::Reader,
                format: ::tramline_wire::kafka::Format,
            ) -> Result<Self, ::tramline_wire::DecodeError> {
                ::tramline_wire::kafka::KafkaMessage::decode(reader, format.version)
            }

            fn write(
                &self,
                writer: &mut ::tramline_wire::Writer,
                format: ::tramline_wire::kafka::Format,
            ) -> Result<(), ::tramline_wire::EncodeError> {
                ::tramline_wire::kafka::KafkaMessage::encode_into(self, writer, format.version)
            }
        }
    }
}

/// The one field that every response may have and the broker sets for all alike.
fn throttle(message: &Message) -> TokenStream {
    if !message.fields.iter().any(|field| field.name == "throttle_time_ms") {
        return quote!();
    }
    quote! {
        fn throttle(&mut self, millis: i32) -> i32 {
            self.throttle_time_ms = self.throttle_time_ms.max(millis);
            self.throttle_time_ms
        }
    }
}

fn decode(message: &Message) -> TokenStream {
    let plain = message.fields.iter().map(|field| {
        let (name, kind, default) = (&field.name, &field.kind, default(field));
        let present = is_in(field.versions, message.versions);
        let read = read(field, message);
        if field.tag.is_some() {
            quote!(let mut #name: #kind = #default;)
        } else if field.versions.covers(message.versions) {
            quote!(let #name: #kind = #read;)
        } else {
            quote!(let #name: #kind = if #present { #read } else { #default };)
        }
    });
    let tagged = tagged(message).into_iter().map(|field| {
        let (name, tag) = (&field.name, field.tag);
        let present = is_in(field.versions, message.versions);
        let read = read(field, message);
        quote!(#tag if #present => #name = #read,)
    });
    let tags = if message.flexible.is_none() {
        quote!()
    } else if tagged.len() == 0 {
        quote!(if flexible {
            reader.skip_tagged_fields()?;
        })
    } else {
        quote! {
            if flexible {
                reader.tagged_fields(|tag, reader| {
                    match tag {
                        #(#tagged)*
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
            }
        }
    };
    let names = message.fields.iter().map(|field| &field.name);
    let start = start(message, &quote!(DecodeError));
    quote! {
        fn decode(
            reader: &mut ::tramline_wire::Reader,
            version: i16,
        ) -> Result<Self, ::tramline_wire::DecodeError> {
            #start
            #(#plain)*
            #tags
            Ok(Self { #(#names,)* })
        }
    }
}

fn encode(message: &Message) -> TokenStream {
    let plain = message.fields.iter().map(|field| {
        let present = is_in(field.versions, message.versions);
        let refuse = refuse(field, message);
        let write = write(field, message, &quote!(writer));
        if field.tag.is_some() {
            quote!(if !(#present) { #refuse })
        } else if field.versions.covers(message.versions) {
            quote!(#write)
        } else {
            quote!(if #present { #write } else { #refuse })
        }
    });
    let tagged_fields = tagged(message);
    let tagged = tagged_fields.iter().map(|field| {
        let (name, tag, default) = (&field.name, field.tag, default(field));
        let present = is_in(field.versions, message.versions);
        let write = write(field, message, &quote!(writer));
        let is_set = quote!(#present && self.#name != #default);
        (
            quote!(u32::from(#is_set)),
            quote! {
                if #is_set {
                    writer.tagged_field(#tag, |writer| {
                        #write
                        Ok(())
                    })?;
                }
            },
        )
    });
    let (counts, writes): (Vec<_>, Vec<_>) = tagged.unzip();
    let tags = if message.flexible.is_some() {
        quote!(if flexible { writer.unsigned_varint(0 #(+ #counts)*); #(#writes)* })
    } else {
        quote!()
    };
    let start = start(message, &quote!(EncodeError));
    quote! {
        fn encode_into(
            &self,
            writer: &mut ::tramline_wire::Writer,
            version: i16,
        ) -> Result<(), ::tramline_wire::EncodeError> {
            #start
            #(#plain)*
            #tags
            Ok(())
        }
    }
}

/// Refuses versions that the structure does not have, and finds out about `flexible`.
fn start(message: &Message, error: &TokenStream) -> TokenStream {
    let flexible = match message.flexible {
        Some(range) => is_in(range, message.versions),
        None => quote!(false),
    };
    quote! {
        if !Self::VERSIONS.contains(version) {
            return Err(::tramline_wire::#error::UnsupportedVersion(version));
        }
        let flexible = #flexible;
        let _ = flexible;
    }
}

fn read(field: &Field, message: &Message) -> TokenStream {
    let format = format(field, message);
    quote!(::tramline_wire::kafka::Field::read(reader, #format)?)
}

fn write(field: &Field, message: &Message, writer: &TokenStream) -> TokenStream {
    let name = &field.name;
    let format = format(field, message);
    quote!(::tramline_wire::kafka::Field::write(&self.#name, #writer, #format)?;)
}

fn format(field: &Field, message: &Message) -> TokenStream {
    let nullable = match field.nullable {
        Some(range) => is_in(range, message.versions),
        None => quote!(false),
    };
    quote!(::tramline_wire::kafka::Format { version, flexible, nullable: #nullable })
}

/// What to do with a field that the version does not have.
fn refuse(field: &Field, message: &Message) -> TokenStream {
    if field.is_ignorable || field.versions.covers(message.versions) {
        return quote!();
    }
    let name = &field.name;
    let default = default(field);
    let path = format!("{}.{}", message.name, name);
    quote! {
        if self.#name != #default {
            return Err(::tramline_wire::EncodeError::NotCarried { field: #path, version });
        }
    }
}

fn default(field: &Field) -> TokenStream {
    let kind = &field.kind;
    match &field.default {
        Some(default) => quote!(#default),
        None => quote!(<#kind as Default>::default()),
    }
}

/// The tagged fields by tag, the order in which they must be written.
fn tagged(message: &Message) -> Vec<&Field> {
    let mut fields: Vec<_> = message.fields.iter().filter(|field| field.tag.is_some()).collect();
    fields.sort_by_key(|field| field.tag);
    fields
}

/// Whether `version`, which is in `all`, is in `range`.
fn is_in(range: Range, all: Range) -> TokenStream {
    let Range { min, max } = range;
    match (min <= all.min, max >= all.max) {
        (true, true) => quote!(true),
        (true, false) => quote!(version <= #max),
        (false, true) => quote!(version >= #min),
        (false, false) if min == max => quote!(version == #min),
        (false, false) => quote!((#min..=#max).contains(&version)),
    }
}

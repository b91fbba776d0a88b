//! From what clients send to what the broker takes: arguments, settings, messages.

mod message;
mod settings;

pub(crate) use message::{Address, COMPACT, Content, Keys, Published, RESERVED, keys, published};
pub(crate) use settings::{consume_priority, exchange_settings, queue_settings, rejects_stream};

use tramline_broker::{Arguments, Value};
use tramline_wire_amqp091::{Table, Value as Field, Writer};

/// A binding's arguments.
pub(crate) fn arguments(table: &Table) -> Arguments {
    Arguments(table.0.iter().map(|(name, field)| (name.clone(), value(field))).collect())
}

/// A value as matching looks at it.
pub(crate) fn value(field: &Field) -> Value {
    match field {
        Field::Void => Value::Void,
        Field::Bool(value) => Value::Bool(*value),
        Field::F32(value) => double((*value).into()),
        Field::F64(value) => double(*value),
        Field::Timestamp(seconds) => Value::Timestamp(*seconds),
        Field::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Other(b'S', bytes.clone()),
        },
        Field::I8(_)
        | Field::U8(_)
        | Field::I16(_)
        | Field::U16(_)
        | Field::I32(_)
        | Field::U32(_)
        | Field::I64(_) => Value::Int(field.as_integer().unwrap_or_default()),
        Field::Binary(_) | Field::Decimal(..) | Field::Array(_) | Field::Table(_) => {
            let mut writer = Writer::new();
            Table(vec![(String::new(), field.clone())]).encode_into(&mut writer);
            // An empty name is one byte, the letter another.
            let bytes = writer.into_bytes();
            Value::Other(bytes[1], bytes[2..].to_vec())
        }
    }
}

/// Finite numbers, with one zero; others are compared as bytes.
fn double(number: f64) -> Value {
    if number.is_finite() {
        Value::Double(number + 0.0)
    } else {
        Value::Other(b'd', number.to_be_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests;

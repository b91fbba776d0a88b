//! Typed values of headers and binding arguments, as far as matching looks at them.

use serde::{Deserialize, Serialize};

/// A header's or argument's value. Whole numbers are one type, whatever their width on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// No value. In a binding it stands for "present, whatever its value".
    Void,
    /// True or false.
    Bool(bool),
    /// A whole number of any width.
    Int(i64),
    /// A finite floating-point number: others equal nothing and have no stored form.
    Double(f64),
    /// A text. AMQP's long string may be any bytes; those that are no UTF-8 are [`Value::Other`].
    Text(String),
    /// Seconds since the epoch.
    Timestamp(u64),
    /// Anything else (byte arrays, decimals, lists, tables): its wire type and bytes.
    Other(u8, Vec<u8>),
}

/// Named values in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arguments(pub Vec<(String, Value)>);

impl Arguments {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// Whether both have the same values under the same names, in any order. A name that is
    /// there twice counts twice.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let count = |of: &Self, wanted: &(String, Value)| {
            of.0.iter().filter(|field| *field == wanted).count()
        };
        self.0 == other.0
            || self.0.len() == other.0.len()
                && self.0.iter().all(|field| count(self, field) == count(other, field))
    }
}

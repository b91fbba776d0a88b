//! How sizes, spans and listeners are written in the configuration.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// A size: `64 MiB`, or bytes as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// The size as a length in memory.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no size: write \"64 MiB\", \"4 KiB\" or bytes");
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (count, unit) = text.split_at(end);
        let unit = unit.trim();
        let of_unit = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
        let bytes = match SIZE_UNITS.iter().find(of_unit) {
            Some((_, bytes)) => *bytes,
            None if unit.is_empty() => 1,
            None => return Err(refuse()),
        };
        let count: u64 = count.parse().map_err(|_| refuse())?;
        count.checked_mul(bytes).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, u64)| self.0 >= *bytes && self.0.is_multiple_of(*bytes);
        match SIZE_UNITS.iter().find(whole) {
            Some((unit, bytes)) => write!(f, "{} {unit}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A span of time: `500ms`, `30s`, `5m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no span: write \"500ms\", \"30s\", \"5m\" or \"7d\"");
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let (count, unit) = text.split_at(end);
        let of_unit = |(name, _): &&(&str, u64)| *name == unit.trim();
        let (_, millis) = SPAN_UNITS.iter().find(of_unit).ok_or_else(refuse)?;
        let count: u64 = count.parse().map_err(|_| refuse())?;
        count.checked_mul(*millis).map(Duration::from_millis).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let whole = |(_, unit): &&(&str, u64)| millis >= *unit && millis.is_multiple_of(*unit);
        match SPAN_UNITS.iter().find(whole) {
            Some((unit, size)) => write!(f, "{}{unit}", millis / size),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// A host and a port, for others to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not of the form \"host:port\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(refuse)?;
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(refuse());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Where a protocol is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// At `host:port`.
    At(String),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Self::At(text.to_owned())),
            _ => Err(format!(
                "`{text}` is no address: write \"127.0.0.1:9092\", \"[::1]:9092\" or \"off\""
            )),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => f.write_str(address),
        }
    }
}

macro_rules! as_text {
    ($name:ident, $expecting:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }
    };
}

as_text!(Size, "a size such as \"64 MiB\"");
as_text!(Span, "a span such as \"30s\"");
as_text!(HostPort, "an address such as \"broker.example.com:9092\"");
as_text!(Listen, "an address such as \"127.0.0.1:8080\", or \"off\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_what_they_write() {
        for text in ["1 B", "1500 B", "4 KiB", "64 MiB", "3 GiB", "2 TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["1ms", "1500ms", "30s", "90s", "5m", "24d", "7h"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("4096".parse::<Size>(), Ok(Size(4096)));
        assert_eq!("4kib".parse::<Size>(), Ok(Size(4096)));
        assert_eq!("0s".parse::<Span>(), Ok(Span(Duration::ZERO)));
    }

    #[test]
    fn what_is_no_size_span_or_address_is_refused() {
        for text in ["", "MiB", "-1", "4 MB", "1.5 GiB", "99999999999 TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "10", "s", "-1s", "5 weeks", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "9092", ":9092", "host", "host:", "host:66000", "of"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
        for text in ["", "host", "host:", "host:0", ":1", "host:x"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        assert_eq!("[::1]:9092".parse::<HostPort>().unwrap().to_string(), "[::1]:9092");
        assert_eq!("OFF".parse::<Listen>(), Ok(Listen::Off));
        assert_eq!("[::1]:0".parse::<Listen>(), Ok(Listen::At("[::1]:0".to_owned())));
    }
}

//! Lists and maps of a request, up to a number: a body of a few megabytes could spell millions of
//! empty entries, which take many times as much in memory.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// Entries of one list or map; the service's own limits are below it.
const ENTRIES_MAX: usize = 200;

/// A list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// A map with texts as keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map<T>(pub(crate) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    check(list.len())?;
                    list.push(entry);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Map<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Map<T>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    check(map.len())?;
                    map.insert(key, value);
                }
                Ok(Map(map))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

fn check<E: Error>(known: usize) -> Result<(), E> {
    if known < ENTRIES_MAX {
        return Ok(());
    }
    Err(E::custom(format_args!("more than {ENTRIES_MAX} entries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_entries_pass_and_more_are_refused() {
        let list = |n: usize| format!("[{}]", vec!["\"\""; n].join(","));
        assert_eq!(serde_json::from_str::<List<String>>(&list(200)).unwrap().0.len(), 200);
        assert!(serde_json::from_str::<List<String>>(&list(201)).is_err());
        let map = |n: usize| {
            let entries: Vec<_> = (0..n).map(|n| format!("\"{n}\":1")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert_eq!(serde_json::from_str::<Map<u8>>(&map(200)).unwrap().0.len(), 200);
        assert!(serde_json::from_str::<Map<u8>>(&map(201)).is_err());
        assert!(serde_json::from_str::<List<u8>>("5").is_err());
    }
}

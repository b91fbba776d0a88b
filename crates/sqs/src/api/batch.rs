//! What batches have in common: up to ten entries, each with an id of its own and a result of its
//! own.

use crate::{
    error::{Code, Error},
    from_wire::bounded::List,
};
use serde::Serialize;
use std::collections::BTreeSet;

const ENTRIES_MAX: usize = 10;
const ID_MAX: usize = 80;

/// An entry of a batch.
pub(crate) trait Entry {
    /// The name that the Query protocol gives such entries.
    const NAME: &'static str;

    fn id(&self) -> Option<&str>;
}

/// The answer to a batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Results<T> {
    successful: Vec<T>,
    failed: Vec<Failed>,
}

/// An entry that was refused.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

/// Checks a batch as a whole; gives its entries with their ids.
pub(crate) fn check<T: Entry>(entries: Option<List<T>>) -> Result<Vec<(String, T)>, Error> {
    let entries = entries.map(|entries| entries.0).unwrap_or_default();
    if entries.is_empty() {
        let message = format!("There should be at least one {} in the request.", T::NAME);
        return Err(Error::new(Code::EmptyBatchRequest, message));
    }
    if entries.len() > ENTRIES_MAX {
        let message = format!(
            "Maximum number of entries per request are {ENTRIES_MAX}. You have sent {}.",
            entries.len()
        );
        return Err(Error::new(Code::TooManyEntriesInBatchRequest, message));
    }
    let mut ids = BTreeSet::new();
    for entry in &entries {
        let id = entry.id().unwrap_or_default();
        if !is_id(id) {
            let message = format!(
                "A batch entry id can only contain alphanumeric characters, hyphens and \
                 underscores. It can be at most {ID_MAX} letters long."
            );
            return Err(Error::new(Code::InvalidBatchEntryId, message));
        }
        if !ids.insert(id) {
            return Err(Error::new(Code::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")));
        }
    }
    let with_id = |entry: T| (entry.id().unwrap_or_default().to_owned(), entry);
    Ok(entries.into_iter().map(with_id).collect())
}

fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len())
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

impl<T> Results<T> {
    /// Sorts results by how they ended.
    pub(crate) fn of(results: impl IntoIterator<Item = (String, Result<T, Error>)>) -> Self {
        let mut sorted = Self { successful: Vec::new(), failed: Vec::new() };
        for (id, result) in results {
            match result {
                Ok(result) => sorted.successful.push(result),
                Err(error) => sorted.failed.push(Failed {
                    id,
                    sender_fault: error.code.is_senders(),
                    code: error.code.spelling().code,
                    message: error.message.into_owned(),
                }),
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl Entry for Named {
        const NAME: &'static str = "Named";

        fn id(&self) -> Option<&str> {
            Some(self.0)
        }
    }

    #[test]
    fn a_batch_is_refused_as_a_whole_for_its_ids() {
        let code = |ids: &[&'static str]| {
            let entries = ids.iter().map(|id| Named(id)).collect();
            check(Some(List(entries))).map(|entries| entries.len()).map_err(|error| error.code)
        };
        assert_eq!(code(&[]), Err(Code::EmptyBatchRequest));
        assert_eq!(code(&["a"; 11]), Err(Code::TooManyEntriesInBatchRequest));
        assert_eq!(code(&["a", "a"]), Err(Code::BatchEntryIdsNotDistinct));
        for bad in ["", "a b", "ä", "a.b"] {
            assert_eq!(code(&[bad]), Err(Code::InvalidBatchEntryId), "{bad}");
        }
        assert_eq!(code(&["a-1", "A_1"]), Ok(2));
    }
}

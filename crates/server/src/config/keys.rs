//! Which keys there are: those of the default file, those that it shows commented out included.

use super::DEFAULT_TEXT;
use toml::{Table, Value};

/// Tables with keys of the operator's own: names of topic settings, which the broker checks,
/// access key ids, and queues.
const OPEN_TABLES: [&str; 3] = ["defaults", "keys", "queues"];

/// The default file with its commented-out keys put in: `#key = value`, without a space.
pub(super) fn full_text() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    DEFAULT_TEXT.lines().map(line).collect()
}

/// The first key of `table` that does not exist, with the valid key that is nearest to it.
pub(super) fn unknown(table: &Table) -> Option<(String, Option<String>)> {
    let known = known();
    let unknown = paths(table).into_iter().find(|path| !known.contains(path))?;
    let distance = |key: &&String| edit_distance(key, &unknown);
    let nearest = known.iter().min_by_key(distance).cloned();
    // Further away than this it is a guess, not a correction.
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).len();
    let nearest = nearest.filter(|key| {
        edit_distance(key, &unknown) <= 3.max(last(&unknown) / 2) || ends_alike(key, &unknown)
    });
    Some((unknown, nearest))
}

fn known() -> Vec<String> {
    let table: Table = full_text().parse().expect("a test parses the default file");
    paths(&table)
}

/// `listen` for `kafka.listen`: the right name in the wrong table.
fn ends_alike(key: &str, unknown: &str) -> bool {
    key.rsplit('.').next() == unknown.rsplit('.').next()
}

/// The full names of all keys, tables included.
fn paths(table: &Table) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in table {
        paths.push(key.clone());
        if let Value::Table(inner) = value
            && !OPEN_TABLES.contains(&key.as_str())
        {
            paths.extend(self::paths(inner).into_iter().map(|path| format!("{key}.{path}")));
        }
    }
    paths
}

/// How many letters must be added, removed or replaced.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

//! What code may touch: pure crates and state files nothing but values, disk only in the
//! store, the environment and the terminal only in the server.

use super::Fault;
use super::source::Source;

/// Crates of values alone.
const PURE_CRATES: &[&str] = &["types", "record", "routing", "wire", "wire-amqp091", "wire-derive"];

/// Files that hold a pure state machine, wherever they are.
const PURE_FILES: &[&str] = &["state.rs", "session.rs", "locks.rs"];

/// No async, no clock, no I/O, no globals.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "thread_local!",
    "static mut",
    "OnceLock",
    "LazyLock",
];

/// Ways to the disk.
const DISK: &[&str] = &["std::fs", "tokio::fs", "rustix::fs"];

/// Ways to the environment and the terminal.
const SURROUNDINGS: &[&str] =
    &["std::env::", "println!", "eprintln!", "print!", "eprint!", "tokio::signal"];

/// Crates that stand at the outside: the binary, and what only tests and developers run.
const OUTSIDE: &[&str] = &["server", "testkit", "sim"];

/// Checks one file's code, less its tests.
pub(super) fn check(source: &Source) -> Vec<Fault> {
    let Some(name) = source.path().strip_prefix("crates/").and_then(|path| path.split('/').next())
    else {
        return Vec::new();
    };
    let file = source.path().rsplit('/').next().unwrap_or_default();
    let mut rules: Vec<(&[&str], &str)> = Vec::new();
    if PURE_CRATES.contains(&name) || PURE_FILES.contains(&file) {
        rules.push((IMPURE, "pure code takes values in and gives values out"));
    }
    if !name.starts_with("store") && !OUTSIDE.contains(&name) {
        rules.push((DISK, "only the store touches the disk"));
    }
    if !OUTSIDE.contains(&name) {
        rules.push((SURROUNDINGS, "only the server reads the environment, prints, takes signals"));
    }
    let mut faults = Vec::new();
    for (line, code) in source.code() {
        for (words, rule) in &rules {
            let found = words.iter().find(|word| holds_word(code, word));
            faults.extend(
                found.map(|word| Fault::at(source.path(), line, format!("`{word}`: {rule}"))),
            );
        }
    }
    faults
}

/// Whether the code holds these words as such, not as part of a longer name.
fn holds_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        let goes_on = word.ends_with(is_name) && after.is_some_and(is_name);
        !(before.is_some_and(is_name) || goes_on)
    })
}

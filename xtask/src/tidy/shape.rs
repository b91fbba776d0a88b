//! What a file may be called, hold and weigh.

use super::Fault;
use super::source::Source;

/// The most lines of code in one file, comments, blank lines and tests not counted.
const CODE_LINES_MAX: usize = 500;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] =
    &["common", "util", "utils", "helper", "helpers", "manager", "core", "base"];

/// Files whose text is not ours.
const FOREIGN: &[&str] = &["LICENSE", "Cargo.lock"];

/// Checks a text file of any kind.
pub(super) fn check_any(path: &str, text: &str) -> Vec<Fault> {
    if FOREIGN.contains(&path) {
        return Vec::new();
    }
    // Put together here, so that this file does not hold them.
    let forbidden = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["#[igno", "re"].concat()];
    let workplaces = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in forbidden.iter().filter(|word| holds_apart(line, word)) {
            faults.push(Fault::at(path, index + 1, format!("`{word}`: finish it, or file it")));
        }
        for start in workplaces.iter().filter(|start| holds_path(line, start)) {
            faults.push(Fault::at(path, index + 1, format!("`{start}`: a path of one machine")));
        }
    }
    faults
}

/// Checks a Rust file.
pub(super) fn check_rust(source: &Source) -> Vec<Fault> {
    let path = source.path();
    let mut faults = Vec::new();
    let speaks_for_itself = path.ends_with("/tests.rs");
    if !speaks_for_itself && !source.text().starts_with("//!") {
        faults.push(Fault::at(path, 1, "the file does not start with `//!` and what it is"));
    }
    if path.ends_with("/mod.rs") {
        faults.push(Fault::at(path, 0, "write `foo.rs` beside `foo/`, not `foo/mod.rs`"));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            faults.push(Fault::at(path, 0, format!("`{part}` says nothing about what is in it")));
        }
    }
    let lines = source.code().filter(|(_, code)| !code.trim().is_empty()).count();
    if lines > CODE_LINES_MAX {
        let text = format!("{lines} lines of code, more than {CODE_LINES_MAX}: a type is missing");
        faults.push(Fault::at(path, 0, text));
    }
    faults
}

/// Whether a line holds a word that no letter continues on either side.
fn holds_apart(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(char::is_alphabetic) && !after.is_some_and(char::is_alphabetic)
    })
}

/// Whether a line names an absolute path with this start.
fn holds_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(index, _)| {
        let before = line[..index].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,".contains(c))
    })
}

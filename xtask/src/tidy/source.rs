//! A Rust file with its comments and literals blanked out and its tests marked, line by line.

/// One Rust file.
pub(super) struct Source<'a> {
    path: &'a str,
    text: &'a str,
    blanked: String,
    is_test: Vec<bool>,
}

impl<'a> Source<'a> {
    /// Takes a file apart. A file that is all test has no code.
    pub(super) fn read(path: &'a str, text: &'a str) -> Self {
        let blanked = blank(text);
        let file_is_test = ["/tests/", "/benches/", "/examples/"].iter().any(|d| path.contains(d))
            || path.ends_with("/tests.rs")
            || path.ends_with("/build.rs");
        let mut is_test = vec![file_is_test; blanked.lines().count()];
        mark_test_items(&blanked, &mut is_test);
        Self { path, text, blanked, is_test }
    }

    /// The path from the project's root.
    pub(super) fn path(&self) -> &'a str {
        self.path
    }

    /// The file as it stands.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The lines outside tests, numbered from 1, with comments and literals blanked out.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.blanked.lines().zip(&self.is_test).enumerate();
        lines.filter(|(_, (_, is_test))| !**is_test).map(|(index, (line, _))| (index + 1, line))
    }
}

/// Marks the lines of every item under `#[cfg(test)]`.
fn mark_test_items(blanked: &str, is_test: &mut [bool]) {
    let lines: Vec<_> = blanked.lines().collect();
    let mut index = 0;
    while index < lines.len() {
        if !lines[index].trim_start().starts_with("#[cfg(test)]") {
            index += 1;
            continue;
        }
        let end = item_end(&lines, index);
        is_test[index..=end].fill(true);
        index = end + 1;
    }
}

/// The last line of the item that starts here: its closing brace, or its semicolon.
fn item_end(lines: &[&str], start: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, line) in lines[start..].iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            let ends = (c == '}' || c == ';') && depth == 0;
            if ends {
                return start + offset;
            }
        }
    }
    lines.len() - 1
}

/// The text with comments and the insides of literals replaced by spaces, line for line.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hidden = hidden_length(rest, out.chars().next_back());
        let length = if hidden == 0 { c.len_utf8() } else { hidden };
        let (piece, tail) = rest.split_at(length);
        if hidden == 0 {
            out.push(c);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = tail;
    }
    out
}

/// How many bytes of a comment or literal start here; 0 where code does.
fn hidden_length(rest: &str, before: Option<char>) -> usize {
    let follows_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_length(rest);
    }
    if rest.starts_with('"') {
        return string_length(rest);
    }
    if !follows_name && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        return raw_string_length(rest);
    }
    if rest.starts_with('\'') { char_length(rest) } else { 0 }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut index = 0;
    while index < rest.len() {
        let tail = &rest.as_bytes()[index..];
        if tail.starts_with(b"/*") {
            depth += 1;
            index += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A raw string; a raw name such as `r#type` is code.
fn raw_string_length(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let open = 1 + hashes;
    if !rest[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = &rest[open + 1..];
    body.find(&close).map_or(rest.len(), |end| open + 1 + end + close.len())
}

/// A character literal; a lifetime is code.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(rest.len(), |end| 3 + end + 1),
        Some(_) => match chars.next() {
            Some((index, '\'')) => index + 1,
            _ => 0,
        },
        None => 0,
    }
}

//! Prints results: aligned columns for people, JSON for machines.

use crate::arguments::Output;
use serde_json::Value;
use std::io::{self, Write};

/// Rows under a head line; numbers stand to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { rows: vec![columns.map(str::to_uppercase).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines, each with its end.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let cells = |column: usize| self.rows.iter().map(move |row| &row[column]);
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let numbers: Vec<bool> = (0..columns)
            .map(|column| {
                let mut body = cells(column).skip(1).filter(|cell| *cell != "-").peekable();
                body.peek().is_some() && body.all(|cell| cell.parse::<f64>().is_ok())
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                let cell = match numbers[column] {
                    true => format!("{pad}{cell}"),
                    false => format!("{cell}{pad}"),
                };
                line.push_str(if column == 0 { "" } else { "  " });
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A value as a cell: texts bare, nothing as `-`.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints lines.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints the JSON as it is, or what `table` makes of it.
pub(crate) fn show(
    output: Output,
    value: &Value,
    table: impl FnOnce(&Value) -> String,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(value)?),
        Output::Table => table(value),
    };
    Ok(print(&text)?)
}

/// The elements of a list in an answer.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["topic", "lag", "note"]);
        table.row(["orders".into(), "5".into(), String::new()]);
        table.row(["a".into(), "1200".into(), "späť".into()]);
        table.row(["b".into(), "-".into(), "x".into()]);
        assert_eq!(
            table.render(),
            "TOPIC    LAG  NOTE\norders     5\na       1200  späť\nb          -  x\n"
        );
    }
}

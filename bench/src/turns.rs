//! Which rows are measured, and what each system gives in its turn.

use crate::{figures::median, report::progress};
use anyhow::Context;

/// Whether a row is asked for: all are, or those whose name contains a text.
pub(crate) fn wanted(only: Option<&str>, name: &str) -> bool {
    only.is_none_or(|only| name.contains(only))
}

/// What each system gives in each round, by name; they take turns. Per column the medians.
pub(crate) fn medians<S: Copy>(
    systems: [(S, &'static str); 3],
    rounds: usize,
    row: &str,
    mut measure: impl FnMut(S, usize) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<[f64; 3]>> {
    let mut all: [Vec<Vec<f64>>; 3] = Default::default();
    for round in 0..rounds {
        for (place, (system, name)) in systems.into_iter().enumerate() {
            progress(row, round, name);
            all[place].push(measure(system, round).with_context(|| format!("{row}, {name}"))?);
        }
    }
    let width = all.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let value = |place: usize, column: usize| {
        median(all[place].iter().filter_map(|values| values.get(column).copied()).collect())
    };
    Ok((0..width).map(|column| std::array::from_fn(|place| value(place, column))).collect())
}

//! `check_history FILE...`: merges the histories of several writers by time, checks them and
//! prints the report. Exits with 1 when a promise was broken, with 2 when there is no history.

use std::{
    io::{self, Write},
    process::ExitCode,
};
use tramline_sim::{HistoryError, Options, Report, check, merge, parse};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: check_history FILE...")]
    Usage,
    #[error("`{0}`: {1}")]
    Read(String, io::Error),
    #[error("`{0}`: {1}")]
    Parse(String, HistoryError),
    #[error(transparent)]
    Check(#[from] HistoryError),
}

fn run() -> Result<Report, Error> {
    let mut histories = Vec::new();
    for path in std::env::args().skip(1) {
        let text =
            std::fs::read_to_string(&path).map_err(|error| Error::Read(path.clone(), error))?;
        histories.push(parse(&text).map_err(|error| Error::Parse(path, error))?);
    }
    if histories.is_empty() {
        return Err(Error::Usage);
    }
    Ok(check(&merge(histories), Options { drain_required: false })?)
}

fn main() -> ExitCode {
    let (text, code) = match run() {
        Ok(report) => (report.to_string(), u8::from(!report.is_good())),
        Err(error) => (format!("{error}\n"), 2),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

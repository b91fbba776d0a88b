//! Project tasks: `cargo xtask ci | test | soak | bench | tidy`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]
#![allow(clippy::disallowed_methods, reason = "it times real processes, with the real clock")]

mod bench;
mod ci;
mod licences;
mod pages;
mod process;
mod project;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Tramline project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The static checks: format, tidy, licences, clippy and docs, warnings as errors.
    Ci,
    /// The rules of style that neither the compiler nor clippy checks.
    Tidy,
    /// Unit, integration, crash and conformance tests, counted per client.
    Test(test::Options),
    /// One broker for hours under load and faults, every promise checked.
    Soak(soak::Options),
    /// Tramline beside its peers on this machine; writes the pages in docs/benchmarks.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run(&Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let project = project::Project::find()?;
    match task {
        Task::Ci => ci::run(&project),
        Task::Tidy => tidy::run(&project),
        Task::Test(options) => test::run(&project, options),
        Task::Soak(options) => soak::run(&project, options),
        Task::Bench(options) => bench::run(&project, options),
    }
}

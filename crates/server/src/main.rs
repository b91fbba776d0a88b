//! The `tramline` binary: the broker (`serve`), its command line, which speaks to a running
//! broker through the HTTP API alone, and the local checks (`doctor`). Only this crate reads the
//! environment, prints, and installs signals.

mod arguments;
mod cli;
mod config;
mod serve;

use arguments::{Arguments, Command, ConfigCommand};
use clap::{CommandFactory, Parser};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Gives memory back that is no longer used, which the C library's does not: buffers of requests
/// are allocated by one thread and freed by another. Its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if the error output is closed, too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments)?,
        Command::Topic(command) => cli::topic::run(command)?,
        Command::Pub(arguments) => cli::publish::run(arguments)?,
        Command::Sub(arguments) => cli::subscribe::run(&arguments)?,
        Command::Group(command) => cli::group::run(command)?,
        Command::Queue(command) => cli::queue::run(command)?,
        Command::Job(command) => cli::job::run(command)?,
        Command::Exchange(command) => cli::exchange::run(command)?,
        Command::Binding(command) => cli::exchange::run_binding(command)?,
        Command::Channel(command) => cli::channel::run(command)?,
        Command::Connection(command) => cli::exchange::run_connection(command)?,
        Command::ConfigPush(command) => cli::config_push::run(command)?,
        Command::Doctor(arguments) => return cli::doctor::run(&arguments),
        Command::Config(ConfigCommand::PrintDefault) => {
            io::stdout().write_all(config::DEFAULT_TEXT.as_bytes())?;
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "tramline",
                &mut io::stdout(),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of_io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    error.downcast_ref::<cli::Stop>().is_some() || error.chain().any(of_io)
}

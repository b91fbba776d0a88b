//! `cargo xtask ci`: every static check, each timed; all run, then the failed ones are named.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{licences, pages, process, project::Project, tidy};

const LIMIT: Duration = Duration::from_secs(30 * 60);

type Step<'a> = (&'a str, Box<dyn Fn() -> Result<()> + 'a>);

/// Runs the checks, the quick ones first.
pub(crate) fn run(project: &Project) -> Result<()> {
    let cargo =
        |args: &'static [&'static str]| move || process::run(&mut project.cargo(args), LIMIT);
    let steps: [Step; 6] = [
        ("format", Box::new(cargo(&["fmt", "--all", "--check"]))),
        ("tidy", Box::new(|| tidy::run(project))),
        ("licences and duplicates", Box::new(|| licences::run(project))),
        ("pages", Box::new(|| pages::run(project))),
        ("clippy", Box::new(cargo(CLIPPY))),
        ("docs", Box::new(|| docs(project))),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        let started = Instant::now();
        let result = step();
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                println!("FAILED  {name} ({seconds:.1} s): {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("static checks failed: {}", failed.join(", "));
    }
    Ok(())
}

const CLIPPY: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];

fn docs(project: &Project) -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    process::run(project.cargo(&args).env("RUSTDOCFLAGS", "--deny warnings"), LIMIT)
}

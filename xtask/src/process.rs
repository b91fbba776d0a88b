//! Runs other programs, each within a time limit, and says what failed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a program may take to end after it was interrupted.
const GRACE: Duration = Duration::from_secs(20);

/// Runs a program with its output shown; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let status = status(command, limit)?;
    ensure!(status.success(), "`{}` failed: {status}", name(command));
    Ok(())
}

/// Runs a program with its output shown, and gives its exit status.
pub(crate) fn status(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let child = command.stdin(Stdio::null()).spawn();
    let mut child = child.with_context(|| format!("cannot run `{}`", name(command)))?;
    wait(&mut child, limit).with_context(|| format!("`{}`", name(command)))
}

/// Runs a program with its output shown, and gives its exit status and what it printed.
pub(crate) fn status_and_lines(
    command: &mut Command,
    limit: Duration,
) -> Result<(ExitStatus, Vec<String>)> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot run `{}`", name(command)))?;
    let stdout = child.stdout.take().context("the program's output is not piped")?;
    let reader = thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.inspect(|line| println!("{line}")).collect::<Vec<_>>()
    });
    let status = wait(&mut child, limit).with_context(|| format!("`{}`", name(command)))?;
    let deadline = Instant::now() + GRACE;
    while !reader.is_finished() {
        ensure!(Instant::now() < deadline, "`{}` left a process behind", name(command));
        sleep(Duration::from_millis(20));
    }
    let lines = reader.join();
    Ok((status, lines.map_err(|_| anyhow::anyhow!("the reader of the output panicked"))?))
}

/// What a program prints; an exit code other than 0 is an error that carries its messages.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run `{}`", name(command)))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", name(command), output.status, messages.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for a program. At the limit it is interrupted, so that it can stop what it started,
/// and after a grace killed.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    if let Some(status) = wait_until(child, Instant::now() + limit)? {
        return Ok(status);
    }
    let pid = child.id().to_string();
    output(Command::new("kill").args(["-INT", &pid]))?;
    if wait_until(child, Instant::now() + GRACE)?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    bail!("took longer than {} s", limit.as_secs());
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

/// The program and its first arguments, for messages.
fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args()).take(6);
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

//! What this machine has: the tools that the suites need beside cargo.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::process;

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Whether this is CI, where nothing may be skipped.
pub(super) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Whether this process may install packages and make network namespaces.
pub(super) fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Whether a program can be run.
pub(super) fn has(program: &str, version_flag: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version_flag).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Makes sure of a program, by Debian's package where this process may install it.
/// `Some` is the reason why it is not there.
pub(super) fn need(program: &str, version_flag: &str, package: &str) -> Option<String> {
    if has(program, version_flag) {
        return None;
    }
    if !is_root() || !has("apt-get", "--version") {
        return Some(format!("`{program}` is missing: sudo apt-get install {package}"));
    }
    let installed = apt_get(&["update", "-q"])
        .and_then(|()| apt_get(&["install", "-q", "-y", "--no-install-recommends", package]));
    installed.err().map(|error| format!("`{program}` cannot be installed: {error:#}"))
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    process::run(command.env("DEBIAN_FRONTEND", "noninteractive").args(args), LIMIT)
}

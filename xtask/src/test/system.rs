//! What this machine has: the tools that the suites need beside cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

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

/// A program, out of Debian's package where it is not installed: that is unpacked under
/// `.test-env/` and changes nothing else. `Err` is the reason why there is none.
pub(super) fn unpacked(
    root: &Path,
    program: &str,
    package: &str,
) -> Result<Result<PathBuf, String>> {
    if has(program, "--version") {
        return Ok(Ok(PathBuf::from(program)));
    }
    let directory = root.join(format!(".test-env/{package}"));
    let path = directory.join("usr/bin").join(program);
    if path.exists() {
        return Ok(Ok(path));
    }
    if !has("apt-get", "--version") || !has("dpkg-deb", "--version") {
        return Ok(Err(format!("`{program}` is missing: install Prometheus")));
    }
    let download = directory.join("download");
    std::fs::create_dir_all(&download)?;
    if is_root() {
        // Without fresh lists an older version is asked for, which may be gone.
        let _ = apt_get(&["update", "-q"]);
    }
    let mut get = Command::new("apt-get");
    get.current_dir(&download).args(["download", "-q", package]);
    if let Err(error) = process::run(&mut get, LIMIT) {
        return Ok(Err(format!("`{program}` cannot be had here: {error:#}")));
    }
    let archive = std::fs::read_dir(&download)?.next().context("nothing was downloaded")??;
    let mut unpack = Command::new("dpkg-deb");
    process::run(unpack.arg("-x").arg(archive.path()).arg(&directory), LIMIT)?;
    std::fs::remove_dir_all(&download)?;
    Ok(Ok(path))
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    process::run(command.env("DEBIAN_FRONTEND", "noninteractive").args(args), LIMIT)
}

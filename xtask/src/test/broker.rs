//! The release binary that the tests start.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::{process, project::Project};

/// Where the binary is, once built.
pub(super) fn path(project: &Project) -> PathBuf {
    project.target().join("release/tramline")
}

/// Builds the binary as a user gets it.
pub(super) fn build(project: &Project) -> Result<()> {
    let args = ["build", "--release", "--locked", "--package", "tramline-server"];
    process::run(&mut project.cargo(&args), Duration::from_secs(20 * 60))
}

//! Where the project's files are, and what `cargo metadata` says about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;

/// The checkout that this tool was built from.
pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
}

impl Project {
    /// Finds the workspace of the current directory.
    pub(crate) fn find() -> Result<Self> {
        let metadata = metadata(Path::new("."), &["--no-deps"])?;
        let directory = |key: &str| -> Result<PathBuf> {
            let path = metadata[key].as_str();
            Ok(path.with_context(|| format!("`cargo metadata` gave no `{key}`"))?.into())
        };
        Ok(Self { root: directory("workspace_root")?, target: directory("target_directory")? })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// What `cargo metadata` prints for this workspace.
    pub(crate) fn metadata(&self, args: &[&str]) -> Result<Value> {
        metadata(&self.root, args)
    }

    /// Every file that git tracks or would track, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let listed = process::output(Command::new("git").current_dir(&self.root).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ]))?;
        let there = |path: &&str| self.root.join(path).is_file();
        let files: Vec<_> = listed.lines().filter(there).map(str::to_owned).collect();
        ensure!(!files.is_empty(), "`git ls-files` named no file");
        Ok(files)
    }

    /// A cargo command in the project's root.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root).args(args);
        command
    }
}

fn metadata(directory: &Path, args: &[&str]) -> Result<Value> {
    let mut command = Command::new("cargo");
    command.current_dir(directory).args(["metadata", "--format-version", "1"]).args(args);
    serde_json::from_str(&process::output(&mut command)?).context("`cargo metadata` gave no JSON")
}

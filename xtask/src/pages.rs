//! Whether the checked-in bundle of `web/` is what its sources make.
//!
//! `cargo xtask ci` builds it again and compares. Where npm or its registry cannot be reached this
//! is told and left out, except in CI, where that is a failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{process, project::Project};

const LIMIT: Duration = Duration::from_secs(10 * 60);
const SOURCES: [&str; 5] =
    ["package.json", "package-lock.json", "tsconfig.json", "vite.config.js", "index.html"];

/// Builds the bundle in a copy and compares it with the one in the checkout.
pub(crate) fn run(project: &Project) -> Result<()> {
    let web = project.root().join("web");
    let copy = project.target().join("web");
    if let Err(error) = build(&web, &copy) {
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        if is_ci {
            return Err(error);
        }
        println!("left out: the pages cannot be built here: {error:#}");
        return Ok(());
    }
    let (checked_in, built) = (files(&web.join("dist"))?, files(&copy.join("dist"))?);
    if checked_in != built {
        let names = built.keys().filter(|name| checked_in.get(*name) != built.get(*name));
        let names: Vec<_> = names.map(String::as_str).collect();
        bail!("`web/dist` is not what its sources make ({}): npm run build", names.join(", "));
    }
    Ok(())
}

fn build(web: &Path, copy: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(copy.join("src"));
    let _ = std::fs::remove_dir_all(copy.join("dist"));
    std::fs::create_dir_all(copy.join("src"))?;
    for name in SOURCES {
        std::fs::copy(web.join(name), copy.join(name)).with_context(|| name.to_owned())?;
    }
    for (name, content) in files(&web.join("src"))? {
        std::fs::write(copy.join("src").join(name), content)?;
    }
    let npm = |args: &[&str]| {
        let mut command = Command::new("npm");
        command.current_dir(copy).args(args);
        process::run(&mut command, LIMIT)
    };
    // Not `npm ci`: it refuses the lock of a registry without the packages of other platforms.
    npm(&["install", "--no-audit", "--no-fund", "--ignore-scripts"])?;
    npm(&["run", "build"])
}

/// The files below a directory by their relative names.
fn files(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries = std::fs::read_dir(&next);
        for entry in entries.with_context(|| format!("no `{}`", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory)?.to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

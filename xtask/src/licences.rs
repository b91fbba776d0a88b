//! Which licences the dependencies carry, and which of them are there in two versions.
//!
//! Reads `deny.toml` in the shape of cargo-deny (its `licenses.allow`, `licenses.exceptions`,
//! `bans.skip` and `bans.deny`), but asks `cargo metadata` alone: seconds, nothing to build.

mod expression;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::project::Project;

#[derive(Deserialize)]
struct Rules {
    licenses: LicenceRules,
    bans: BanRules,
}

#[derive(Deserialize)]
struct LicenceRules {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct BanRules {
    #[serde(default)]
    skip: Vec<Named>,
    #[serde(default)]
    deny: Vec<Named>,
}

/// A crate, as `name` or `name@version`, and why it stands in the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

struct Package {
    name: String,
    version: String,
    licence: Option<String>,
}

/// Checks every package that the workspace builds with on Linux.
pub(crate) fn run(project: &Project) -> Result<()> {
    let text = std::fs::read_to_string(project.root().join("deny.toml"));
    let rules: Rules = toml::from_str(&text.context("cannot read `deny.toml`")?)?;
    let filter = "--filter-platform=x86_64-unknown-linux-gnu";
    let metadata = project.metadata(&["--locked", filter])?;
    let packages = dependencies(&metadata)?;
    let faults = check(&rules, &packages);
    if !faults.is_empty() {
        bail!("see `deny.toml`:\n  {}", faults.join("\n  "));
    }
    println!("{} dependencies carry allowed licences", packages.len());
    Ok(())
}

/// The packages that `cargo metadata` resolved, less the workspace's own.
fn dependencies(metadata: &Value) -> Result<Vec<Package>> {
    let listed = metadata["packages"].as_array().context("no `packages`")?;
    let nodes = metadata["resolve"]["nodes"].as_array().context("no `resolve.nodes`")?;
    let resolved: BTreeSet<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let is_used = |package: &&Value| {
        let id = package["id"].as_str();
        !package["source"].is_null() && id.is_some_and(|id| resolved.contains(id))
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let read = |package: &Value| {
        Ok(Package {
            name: text(&package["name"]).context("a package without a name")?,
            version: text(&package["version"]).context("a package without a version")?,
            licence: text(&package["license"]),
        })
    };
    listed.iter().filter(is_used).map(read).collect()
}

/// Every breach of the rules, as one line each.
fn check(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(package);
        if let Some(fault) = licence_fault(&rules.licenses, package) {
            faults.push(format!("{} {}: {fault}", package.name, package.version));
        }
        if let Some(ban) = rules.bans.deny.iter().find(|ban| names(&ban.package, package)) {
            faults.push(format!("{} {}: banned: {}", package.name, package.version, ban.reason));
        }
    }
    for (name, packages) in versions {
        let is_skipped =
            |package: &&&Package| rules.bans.skip.iter().any(|skip| names(&skip.package, package));
        let skipped = packages.iter().filter(is_skipped).count();
        if packages.len() - skipped > 1 {
            let versions: Vec<_> = packages.iter().map(|package| &*package.version).collect();
            faults.push(format!("{name}: several versions: {}", versions.join(", ")));
        }
    }
    for skip in &rules.bans.skip {
        if !packages.iter().any(|package| names(&skip.package, package)) {
            faults.push(format!("`bans.skip` names `{}`, which is not used", skip.package));
        }
    }
    faults
}

fn licence_fault(rules: &LicenceRules, package: &Package) -> Option<String> {
    let Some(licence) = &package.licence else {
        return Some("names no licence".to_owned());
    };
    let is_allowed = |id: &str| {
        let exceptions = rules.exceptions.iter().filter(|one| one.package == package.name);
        rules.allow.contains(id) || exceptions.into_iter().any(|one| one.allow.contains(id))
    };
    match expression::holds(licence, is_allowed) {
        Ok(true) => None,
        Ok(false) => Some(format!("licence `{licence}` is not allowed")),
        Err(error) => Some(format!("licence `{licence}` cannot be read: {error}")),
    }
}

fn names(entry: &str, package: &Package) -> bool {
    match entry.split_once('@') {
        Some((name, version)) => name == package.name && version == package.version,
        None => entry == package.name,
    }
}

//! Which crate may import which: a crate imports only crates above it in this list.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Fault;

/// The crates in the order of the design, each line a room that the later ones stand on.
const ORDER: &[(&str, Role)] = &[
    ("tramline-types", Role::Vocabulary),
    ("tramline-record", Role::Vocabulary),
    ("tramline-routing", Role::Engine),
    ("tramline-wire-derive", Role::Codec),
    ("tramline-wire", Role::Codec),
    ("tramline-wire-amqp091", Role::Codec),
    ("tramline-store", Role::Engine),
    ("tramline-store-cloud", Role::Engine),
    ("tramline-log", Role::Engine),
    ("tramline-queue", Role::Engine),
    ("tramline-catalog", Role::Engine),
    ("tramline-broker", Role::Boundary),
    ("tramline-kafka", Role::FrontEnd),
    ("tramline-amqp091", Role::FrontEnd),
    ("tramline-amqp10", Role::FrontEnd),
    ("tramline-mqtt", Role::FrontEnd),
    ("tramline-sqs", Role::FrontEnd),
    ("tramline-pubsub", Role::FrontEnd),
    ("tramline-http", Role::FrontEnd),
    ("tramline-server", Role::Outside),
    ("tramline-testkit", Role::Outside),
    ("tramline-sim", Role::Outside),
    ("tramline-bench", Role::Outside),
    ("xtask", Role::Outside),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Vocabulary,
    Codec,
    Engine,
    Boundary,
    /// Sees the boundary, the vocabulary and its codec, nothing else of ours.
    FrontEnd,
    Outside,
}

/// Checks the dependencies between the workspace's crates; those for tests alone are free.
pub(super) fn check(metadata: &Value) -> Result<Vec<Fault>> {
    let packages = metadata["packages"].as_array().context("no `packages`")?;
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let path = format!("{name}/Cargo.toml");
        let Some((place, role)) = place(name) else {
            faults.push(Fault::at(&path, 0, "the crate has no place in the order of crates"));
            continue;
        };
        for used in package["dependencies"].as_array().context("no `dependencies`")? {
            let used_name = used["name"].as_str().context("a dependency without a name")?;
            let is_ours = !used["path"].is_null();
            if used["kind"] == "dev" || !is_ours {
                continue;
            }
            if let Some(fault) = fault(place, role, used_name) {
                faults.push(Fault::at(&path, 0, fault));
            }
        }
    }
    Ok(faults)
}

fn place(name: &str) -> Option<(usize, Role)> {
    let place = ORDER.iter().position(|(listed, _)| *listed == name)?;
    Some((place, ORDER[place].1))
}

fn fault(place: usize, role: Role, used: &str) -> Option<String> {
    let Some((used_place, used_role)) = self::place(used) else {
        return Some(format!("imports `{used}`, which has no place in the order of crates"));
    };
    if used_place >= place {
        return Some(format!("imports `{used}`, which stands below it"));
    }
    let is_seen = matches!(used_role, Role::Vocabulary | Role::Codec | Role::Boundary);
    if role == Role::FrontEnd && !is_seen {
        return Some(format!("a front-end must not see `{used}`"));
    }
    None
}

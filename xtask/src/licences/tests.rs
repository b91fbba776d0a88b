//! The licence and duplicate rules, on small made-up dependency lists.

use super::{Package, Rules, check, expression};

const RULES: &str = r#"
    [licenses]
    allow = ["MIT", "Apache-2.0"]
    exceptions = [{ crate = "unicode", allow = ["Unicode-3.0"] }]
    [bans]
    skip = [{ crate = "old@1.0.0", reason = "a test" }]
    deny = [{ crate = "left-pad", reason = "not needed" }]
"#;

fn faults(packages: &[(&str, &str, &str)]) -> Vec<String> {
    let mut rules: Rules = toml::from_str(RULES).unwrap();
    if !packages.iter().any(|(name, ..)| *name == "old") {
        rules.bans.skip.clear();
    }
    let package = |(name, version, licence): &(&str, &str, &str)| Package {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        licence: Some((*licence).to_owned()),
    };
    check(&rules, &packages.iter().map(package).collect::<Vec<_>>())
}

#[test]
fn licence_expressions_follow_spdx_precedence() {
    let mit_only = |expression| expression::holds(expression, |id| id == "MIT").unwrap();
    assert!(mit_only("MIT"));
    assert!(mit_only("GPL-3.0 OR MIT"));
    assert!(mit_only("MIT/GPL-3.0"));
    assert!(!mit_only("GPL-3.0 AND MIT"));
    assert!(mit_only("MIT OR GPL-3.0 AND Zlib"));
    assert!(!mit_only("(MIT OR GPL-3.0) AND Zlib"));
    assert!(!mit_only("MIT WITH some-exception"));
    for malformed in ["", "MIT OR", "(MIT", "MIT Zlib", "OR MIT"] {
        assert!(expression::holds(malformed, |_| true).is_err(), "{malformed}");
    }
}

#[test]
fn a_licence_outside_the_list_is_a_fault_unless_excepted_for_that_crate() {
    assert!(faults(&[("a", "1.0.0", "MIT OR GPL-3.0")]).is_empty());
    assert_eq!(faults(&[("a", "1.0.0", "GPL-3.0")]).len(), 1);
    assert!(faults(&[("unicode", "1.0.0", "MIT AND Unicode-3.0")]).is_empty());
    assert_eq!(faults(&[("a", "1.0.0", "MIT AND Unicode-3.0")]).len(), 1);
}

#[test]
fn two_versions_are_a_fault_unless_one_is_skipped_and_bans_hold() {
    assert_eq!(faults(&[("a", "1.0.0", "MIT"), ("a", "2.0.0", "MIT")]).len(), 1);
    assert!(faults(&[("old", "1.0.0", "MIT"), ("old", "2.0.0", "MIT")]).is_empty());
    assert_eq!(faults(&[("left-pad", "1.0.0", "MIT")]).len(), 1);
}

#[test]
fn a_skip_without_use_is_a_fault() {
    let rules: Rules = toml::from_str(RULES).unwrap();
    assert_eq!(check(&rules, &[]).len(), 1);
}

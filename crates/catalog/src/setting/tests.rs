//! The lists against Kafka's own, and the checks of values.

use super::*;

/// Every setting of Kafka 4.3.0 with its type and default, as its own classes list them.
const KAFKA: &str = include_str!("kafka-4.3.tsv");

/// Settings that Kafka does not have.
const OURS: &[&str] = &["durability", ORDER];

/// Where the default differs, and why.
const DEFAULTS_DIFFER: &[(&str, &str)] = &[
    ("group.max.size", "members have a limit here"),
    ("log.cleaner.dedupe.buffer.size", "less memory, more passes"),
    ("log.flush.interval.ms", "Kafka's null means the same"),
    ("log.retention.check.interval.ms", "looking is cheap here"),
    ("log.retention.ms", "Kafka's null means 168 hours"),
    ("log.roll.jitter.ms", "Kafka's null means 0 hours"),
    ("log.roll.ms", "Kafka's null means 168 hours"),
    ("max.connections", "connections have a limit here"),
];

fn all_of(resource: &str) -> &'static [Setting] {
    match resource {
        "topic" => TOPIC_SETTINGS,
        "broker" => &BROKER_SETTINGS,
        _ => GROUP_SETTINGS,
    }
}

#[test]
fn names_types_and_defaults_are_kafkas() {
    let mut listed = Vec::new();
    for line in KAFKA.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [resource, name, kind, default] = fields[..] else { panic!("{line}") };
        let setting = find_in(all_of(resource), name, resource).expect(line);
        let ours = setting.default.unwrap_or("null");
        assert_eq!(format!("{:?}", setting.kind).to_uppercase(), kind, "{line}");
        let differs = resource == "broker" && DEFAULTS_DIFFER.iter().any(|(of, _)| *of == name);
        assert_eq!(ours != default, differs, "{line}: {ours}");
        listed.push((resource, name));
    }
    for resource in ["topic", "broker", "group"] {
        for setting in all_of(resource) {
            let known = listed.contains(&(resource, setting.name)) || OURS.contains(&setting.name);
            assert!(known, "Kafka has no {resource} setting `{}`", setting.name);
        }
    }
}

#[test]
fn lists_are_sorted_and_every_setting_is_explained() {
    for all in [TOPIC_SETTINGS, &BROKER_SETTINGS, GROUP_SETTINGS] {
        assert!(all.is_sorted_by(|a, b| a.name < b.name));
        assert!(all.iter().all(|setting| setting.doc.len() > 10));
    }
}

#[test]
fn every_default_passes_its_own_check() {
    for all in [TOPIC_SETTINGS, &BROKER_SETTINGS, GROUP_SETTINGS] {
        for setting in all {
            let fixed = matches!(setting.allowed, Allowed::AtStart);
            let checked = setting.check(setting.default.unwrap_or_default());
            assert_eq!(checked.is_ok(), !fixed, "{}: {checked:?}", setting.name);
        }
    }
}

#[test]
fn what_means_nothing_here_takes_its_default_only_and_says_why() {
    let remote = find("remote.storage.enable").unwrap();
    assert_eq!(remote.check("false"), Ok(()));
    let refused = remote.check("true").unwrap_err().to_string();
    assert!(refused.contains("tiered storage"), "{refused}");
    let factor = find_broker("log.cleaner.io.buffer.load.factor").unwrap();
    assert_eq!(factor.check("0.90"), Ok(()), "the same number");
    assert!(factor.check("0.5").is_err());
    assert!(find_broker("no.such.thing").is_err());
    assert!(find_group("consumer.session.timeout.ms").unwrap().check("1").is_err());
}

#[test]
fn lists_take_known_items_once() {
    let policy = find("cleanup.policy").unwrap();
    for good in ["delete", "compact", "compact,delete", "delete, compact"] {
        assert_eq!(policy.check(good), Ok(()), "{good}");
    }
    for bad in ["", ",", "compact,compact", "shred", "compact,shred"] {
        assert!(policy.check(bad).is_err(), "{bad}");
    }
}

#[test]
fn levels_are_in_their_codecs_ranges() {
    let check = |name: &str, value: &str| find(name).unwrap().check(value).is_ok();
    assert!(check("compression.gzip.level", "-1") && check("compression.gzip.level", "9"));
    assert!(!check("compression.gzip.level", "0") && !check("compression.gzip.level", "10"));
    assert!(check("compression.zstd.level", "-5") && !check("compression.zstd.level", "23"));
    assert!(check("compression.lz4.level", "9") && !check("compression.lz4.level", "3"));
}

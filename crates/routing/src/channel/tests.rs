use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn pattern(text: &str) -> ChannelPattern {
    ChannelPattern::parse(text).unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn found(trie: &ChannelTrie, of: &str) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    trie.matches(&name(of), &mut |listener| {
        all.insert(listener);
    });
    all
}

#[test]
fn wildcards_stand_for_levels() {
    for (wanted, matching, others) in [
        ("a/b", vec!["a/b"], vec!["a", "a/b/c", "a/c", "/a/b", "a/b/"]),
        ("a/*", vec!["a/b", "a/"], vec!["a", "a/b/c", "b/a"]),
        ("*/b", vec!["a/b", "/b"], vec!["b", "$a/b", "a/a/b"]),
        ("a/**", vec!["a", "a/b", "a/b/c", "a/"], vec!["b", "ab", "/a"]),
        ("**", vec!["a", "a/b/c", "/"], vec!["$jobs", "$jobs/1"]),
        ("$jobs/**", vec!["$jobs", "$jobs/1"], vec!["jobs/1"]),
        ("*", vec!["a"], vec!["$a", "a/b", "/"]),
        ("*/*/c/**", vec!["a/b/c", "a/b/c/d"], vec!["a/b", "a/c"]),
    ] {
        let mut trie = ChannelTrie::default();
        assert!(trie.insert(&pattern(wanted), 7));
        for of in matching {
            assert!(pattern(wanted).matches(&name(of)), "{wanted} {of}");
            assert!(found(&trie, of).contains(&7), "{wanted} {of}");
        }
        for of in others {
            assert!(!pattern(wanted).matches(&name(of)), "{wanted} {of}");
            assert!(found(&trie, of).is_empty(), "{wanted} {of}");
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in ["", "a*", "a/**/b", "**a", "a/b*", "a/#", "+", "a\nb", "***", "a/***"] {
        assert!(ChannelPattern::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_pattern_knows_what_its_names_begin_with() {
    for (text, prefix) in [("a/b", "a/b"), ("a/**", "a"), ("a/b/*/c", "a/b"), ("*", ""), ("**", "")]
    {
        assert_eq!(pattern(text).literal_prefix(), prefix, "{text}");
    }
}

#[test]
fn a_listener_by_name_is_told_from_one_by_pattern() {
    let mut trie = ChannelTrie::default();
    trie.insert(&pattern("a/b"), 2);
    trie.insert(&pattern("a/*"), 3);
    trie.insert(&pattern("a/b"), 1);
    assert_eq!(trie.named(&name("a/b")), [1, 2]);
    assert!(trie.named(&name("a")).is_empty());
}

/// Short levels of few letters, so that names and patterns meet.
fn levels(wild: bool) -> impl Strategy<Value = String> {
    let level = prop_oneof![
        4 => "[ab]?".prop_map(|text: String| text),
        1 => Just("$a".to_owned()),
        1 => Just(if wild { "*".to_owned() } else { "c".to_owned() }),
    ];
    let rest = any::<bool>();
    (proptest::collection::vec(level, 1..5), rest).prop_map(move |(mut levels, rest)| {
        if wild && rest {
            levels.push("**".to_owned());
        }
        levels.join("/")
    })
}

/// The rule itself, by recursion over levels.
fn naive(pattern: &[&str], name: &[&str], is_first: bool) -> bool {
    match (pattern, name) {
        (["**"], name) => !(is_first && name[0].starts_with('$')),
        (["*", pattern @ ..], [level, name @ ..]) => {
            !(is_first && level.starts_with('$')) && naive(pattern, name, false)
        }
        ([wanted, pattern @ ..], [level, name @ ..]) => {
            wanted == level && naive(pattern, name, false)
        }
        ([], []) => true,
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_trie_finds_whom_the_rule_finds(
        patterns in proptest::collection::vec(levels(true), 1..12),
        removed in proptest::collection::vec(any::<bool>(), 12),
        names in proptest::collection::vec(levels(false), 1..8),
    ) {
        let parsed = |text: &String| ChannelPattern::parse(text).ok();
        let mut trie = ChannelTrie::default();
        let mut listening = BTreeSet::new();
        for (text, listener) in patterns.iter().zip(0_u32..) {
            let Some(pattern) = parsed(text) else { continue };
            prop_assert!(trie.insert(&pattern, listener));
            prop_assert!(!trie.insert(&pattern, listener));
            listening.insert((text.clone(), listener));
        }
        for (text, listener) in listening.clone() {
            if removed[listener as usize] {
                prop_assert!(trie.remove(&pattern(&text), listener));
                prop_assert!(!trie.remove(&pattern(&text), listener));
                listening.remove(&(text, listener));
            }
        }
        for of in &names {
            let Ok(channel) = ChannelName::parse(of) else { continue };
            let split: Vec<&str> = of.split('/').collect();
            let expected: BTreeSet<u32> = listening
                .iter()
                .filter(|(text, _)| naive(&text.split('/').collect::<Vec<_>>(), &split, true))
                .map(|(_, listener)| *listener)
                .collect();
            prop_assert_eq!(found(&trie, of), expected, "{}", of);
            for (text, _) in &listening {
                let by_rule = naive(&text.split('/').collect::<Vec<_>>(), &split, true);
                prop_assert_eq!(pattern(text).matches(&channel), by_rule);
                let prefix = split[..split.len().min(2)].join("/");
                prop_assert!(!by_rule || prefix.is_empty() || pattern(text).reaches(&prefix));
            }
        }
        for (text, listener) in listening {
            trie.remove(&pattern(&text), listener);
        }
        prop_assert!(trie.is_empty());
    }
}

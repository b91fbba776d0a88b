use super::*;
use proptest::prelude::*;
use tramline_types::QueueName;

fn queue(name: &str) -> Destination {
    Destination::Queue(QueueName::parse(name).unwrap())
}

fn matched(patterns: &[&str], key: &str) -> Vec<usize> {
    let mut trie = Patterns::default();
    for (index, pattern) in patterns.iter().enumerate() {
        trie.insert(pattern.as_bytes(), &queue(&format!("q{index}")));
    }
    let mut found = Vec::new();
    trie.matches(key.as_bytes(), &mut found);
    let mut indices: Vec<usize> =
        (0..patterns.len()).filter(|index| found.contains(&queue(&format!("q{index}")))).collect();
    indices.dedup();
    indices
}

/// The definition: what each word of the pattern stands for.
fn naive(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&b"#", rest)), _) => {
            naive(rest, key) || key.split_first().is_some_and(|(_, after)| naive(pattern, after))
        }
        (Some((&b"*", rest)), Some((_, after))) => naive(rest, after),
        (Some((word, rest)), Some((first, after))) => word == first && naive(rest, after),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[test]
fn patterns_of_the_specification_match_as_it_says() {
    let patterns = ["*.orange.*", "*.*.rabbit", "lazy.#", "#", "", "quick.orange.rabbit"];
    assert_eq!(matched(&patterns, "quick.orange.rabbit"), [0, 1, 3, 5]);
    assert_eq!(matched(&patterns, "lazy.orange.elephant"), [0, 2, 3]);
    assert_eq!(matched(&patterns, "lazy"), [2, 3]);
    assert_eq!(matched(&patterns, "quick.orange.new.rabbit"), [3]);
    assert_eq!(matched(&patterns, ""), [3, 4]);
}

#[test]
fn an_empty_word_is_a_word() {
    assert_eq!(matched(&["a.*.b", "a..b", "a.b"], "a..b"), [0, 1]);
    assert_eq!(matched(&["*.*", "*"], "."), [0]);
}

#[test]
fn a_star_in_the_key_is_only_a_word() {
    assert_eq!(matched(&["a.*", "a.b"], "a.*"), [0]);
}

#[test]
fn many_wildcards_do_not_explode() {
    let pattern = vec!["#"; 120].join(".a.");
    let key = vec!["a"; 127].join(".");
    assert_eq!(matched(&[&pattern], &key), [0]);
}

#[test]
fn a_removed_pattern_leaves_nothing_behind() {
    let mut trie = Patterns::default();
    for pattern in ["a.b.#", "a.*.c", "a.b.#"] {
        trie.insert(pattern.as_bytes(), &queue("q"));
    }
    trie.remove(b"a.b.#", &queue("q"));
    let mut found = Vec::new();
    trie.matches(b"a.b.x", &mut found);
    assert_eq!(found, [queue("q")], "one of the two bindings is left");
    trie.remove(b"a.b.#", &queue("q"));
    trie.remove(b"a.*.c", &queue("q"));
    assert!(trie.nodes[ROOT].is_unused());
    assert_eq!(trie.free.len(), trie.nodes.len() - 1);
}

#[test]
fn many_patterns_that_all_match_are_found_in_a_moment() {
    let mut trie = Patterns::default();
    for pattern in 0..1 << 14 {
        let words = (0..14).map(|bit| if pattern >> bit & 1 == 0 { "a" } else { "*" });
        let pattern = words.collect::<Vec<_>>().join(".");
        trie.insert(pattern.as_bytes(), &queue("q"));
    }
    let mut found = Vec::new();
    trie.matches(["a"; 14].join(".").as_bytes(), &mut found);
    assert_eq!(found.len(), 1 << 14);
    assert!(trie.nodes.len() < 1 << 15, "each is reached once");
}

fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("*"), Just("#"), Just("")]
}

proptest! {
    #[test]
    fn the_trie_matches_as_the_definition_does(
        patterns in prop::collection::vec(prop::collection::vec(word(), 1..6), 1..12),
        key in prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("")], 1..7),
    ) {
        let texts: Vec<String> = patterns.iter().map(|words| words.join(".")).collect();
        let key = key.join(".");
        let expected: Vec<usize> = texts.iter().enumerate().filter(|(_, pattern)| {
            let pattern: Vec<&[u8]> = words(pattern.as_bytes()).collect();
            let key: Vec<&[u8]> = words(key.as_bytes()).collect();
            naive(&pattern, &key)
        }).map(|(index, _)| index).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(matched(&texts, &key), expected);
    }
}

//! The settings of channels by prefix, and what is counted by prefix. The longest prefix wins;
//! the empty one, which is always there, is for all others.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tramline_catalog::ChannelSettings;
use tramline_routing::ChannelPattern;

/// What was counted for the channels of one prefix.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) conflated: AtomicU64,
    pub(super) cut_off: AtomicU64,
}

/// What was counted for the channels of one prefix, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelFigures {
    /// Publications.
    pub published: u64,
    /// Publications handed to receivers: one for each.
    pub delivered: u64,
    /// Those that slow receivers lost.
    pub dropped: u64,
    /// Those of which a later one took the place.
    pub conflated: u64,
    /// Receivers that were cut off for being slow.
    pub cut_off: u64,
}

impl Counters {
    pub(super) fn figures(&self) -> ChannelFigures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ChannelFigures {
            published: load(&self.published),
            delivered: load(&self.delivered),
            dropped: load(&self.dropped),
            conflated: load(&self.conflated),
            cut_off: load(&self.cut_off),
        }
    }
}

/// The settings of one prefix.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) settings: ChannelSettings,
    pub(super) counters: Arc<Counters>,
    /// The last publication under this rule that is in no history.
    pub(super) lost: AtomicU64,
}

/// Every prefix that has settings.
#[derive(Debug)]
pub(super) struct Rules {
    by_prefix: BTreeMap<String, Arc<Rule>>,
}

/// Whether a channel, or another prefix, is at or below a prefix.
fn is_below(name: &str, prefix: &str) -> bool {
    match name.strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl Rules {
    pub(super) fn new(mut settings: BTreeMap<String, ChannelSettings>) -> Self {
        settings.entry(String::new()).or_default();
        let rule = |settings| {
            Arc::new(Rule { settings, counters: Arc::default(), lost: AtomicU64::new(0) })
        };
        Self { by_prefix: settings.into_iter().map(|(k, settings)| (k, rule(settings))).collect() }
    }

    /// With other settings for one prefix, or its own gone. Whoever comes back from before has
    /// perhaps missed something: `offset` is the last publication of before.
    pub(super) fn with(
        &self,
        prefix: &str,
        settings: Option<ChannelSettings>,
        offset: u64,
    ) -> Self {
        let mut all: BTreeMap<String, ChannelSettings> =
            self.all().map(|(prefix, rule)| (prefix.to_owned(), rule.settings.clone())).collect();
        match settings {
            Some(settings) => all.insert(prefix.to_owned(), settings),
            None => all.remove(prefix),
        };
        let mut rules = Self::new(all);
        for (prefix, rule) in &mut rules.by_prefix {
            let counters = match self.by_prefix.get(prefix) {
                Some(known) => Arc::clone(&known.counters),
                None => Arc::default(),
            };
            let (settings, lost) = (rule.settings.clone(), AtomicU64::new(offset));
            *rule = Arc::new(Rule { settings, counters, lost });
        }
        rules
    }

    /// The rule for a channel, or for all channels below a prefix as far as they have none nearer.
    pub(super) fn of(&self, name: &str) -> &Arc<Rule> {
        if self.by_prefix.len() > 1 {
            let mut at = name;
            loop {
                if let Some(rule) = self.by_prefix.get(at).filter(|_| !at.is_empty()) {
                    return rule;
                }
                match at.rfind('/') {
                    Some(end) => at = &at[..end],
                    None => break,
                }
            }
        }
        self.by_prefix.get("").expect("the empty prefix is always there")
    }

    /// Every prefix with its rule.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Arc<Rule>)> {
        self.by_prefix.iter().map(|(prefix, rule)| (prefix.as_str(), rule))
    }

    /// How many prefixes have settings.
    pub(super) fn len(&self) -> usize {
        self.by_prefix.len()
    }

    /// Every rule that a channel of this pattern could have.
    pub(super) fn reached_by(&self, pattern: &ChannelPattern) -> Vec<&Arc<Rule>> {
        let literal = pattern.literal_prefix();
        let mut reached = vec![self.of(literal)];
        if pattern.as_name().is_none() {
            let below = self.all().filter(|(prefix, _)| {
                *prefix != literal && is_below(prefix, literal) && pattern.reaches(prefix)
            });
            reached.extend(below.map(|(_, rule)| rule));
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(prefixes: &[(&str, usize)]) -> Rules {
        let settings = |(prefix, size): &(&str, usize)| {
            let settings = ChannelSettings { history_size: *size, ..Default::default() };
            ((*prefix).to_owned(), settings)
        };
        Rules::new(prefixes.iter().map(settings).collect())
    }

    #[test]
    fn the_longest_prefix_of_whole_levels_wins() {
        let rules = rules(&[("a", 1), ("a/b", 2), ("a/b/c/d", 3), ("/x", 4)]);
        for (name, size) in [
            ("a", 1),
            ("a/x", 1),
            ("ab", 0),
            ("a/b", 2),
            ("a/b/c", 2),
            ("a/bc", 1),
            ("a/b/c/d/e", 3),
            ("b", 0),
            ("/x/y", 4),
            ("/", 0),
        ] {
            assert_eq!(rules.of(name).settings.history_size, size, "{name}");
        }
    }

    #[test]
    fn a_pattern_reaches_the_rules_that_its_channels_could_have() {
        let rules = rules(&[("a", 1), ("a/b", 2), ("a/c/d", 3), ("b", 4)]);
        for (pattern, sizes) in [
            ("a/**", vec![1, 2, 3]),
            ("a/b/*", vec![2]),
            ("a/*/d", vec![1, 2, 3]),
            ("a/*/e", vec![1, 2]),
            ("a/x/**", vec![1]),
            ("**", vec![0, 1, 2, 3, 4]),
            ("*", vec![0, 1, 4]),
            ("a/b", vec![2]),
            ("c/**", vec![0]),
        ] {
            let pattern = ChannelPattern::parse(pattern).unwrap();
            let mut reached: Vec<usize> =
                rules.reached_by(&pattern).iter().map(|r| r.settings.history_size).collect();
            reached.sort_unstable();
            assert_eq!(reached, sizes, "{pattern}");
        }
    }

    #[test]
    fn a_change_keeps_what_was_counted() {
        let rules = rules(&[("a", 1)]);
        rules.of("a/b").counters.published.fetch_add(5, Ordering::Relaxed);
        let changed = rules.with("a/b", Some(ChannelSettings::default()), 9);
        assert_eq!(changed.of("a").counters.figures().published, 5);
        assert_eq!(changed.of("a").lost.load(Ordering::Relaxed), 9);
        assert_eq!(changed.len(), 3);
        assert_eq!(changed.with("a/b", None, 9).len(), 2);
    }
}

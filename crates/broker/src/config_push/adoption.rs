//! Which subscribers have confirmed which revision: kept in memory, bounded, and known again as
//! soon as they confirm or come back after a restart.
//!
//! A subscriber confirms a revision for a scope. Of a key it then has what the key was when that
//! revision was the last.

use super::{ConfigError, ConfigKey, ConfigPush, ConfigScope};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tramline_types::{Timestamp, limits};

/// A subscriber that has not been seen for so long is forgotten.
const ABSENT_MAX: Duration = Duration::from_secs(24 * 3600);

/// One subscriber of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Its id.
    pub client: Arc<str>,
    /// What it follows.
    pub scope: ConfigScope,
    /// The key's revision that it has confirmed; 0: none that is known.
    pub held: u64,
    /// The key's revision that it should have; 0: no value.
    pub wanted: u64,
    /// Since when it has what it confirmed last, or, without that, since when it is known.
    pub since: Timestamp,
    /// Whether it follows at this moment.
    pub watching: bool,
}

/// How far a key's newest revision has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The newest revision; 0: the key has no value.
    pub revision: u64,
    /// Subscribers that are known.
    pub subscribers: u64,
    /// Of those, that have what they should have.
    pub adopted: u64,
    /// Of those, that follow at this moment.
    pub watching: u64,
    /// How many have which revision; 0: none that is known.
    pub by_revision: BTreeMap<u64, u64>,
    /// Those who do not have what they should have, who have been so longest first.
    pub behind: Vec<Subscriber>,
}

struct Member {
    confirmed: u64,
    since: Timestamp,
    seen: Timestamp,
    watches: u32,
}

/// All subscribers.
#[derive(Default)]
pub(crate) struct Adoptions {
    scopes: HashMap<ConfigScope, HashMap<Arc<str>, Member>>,
    len: usize,
}

/// Refuses what is no id of a subscriber.
pub(super) fn check_client(client: &str) -> Result<(), ConfigError> {
    let (bytes, limit) = (client.len(), limits::CONFIG_TEXT_BYTES_MAX);
    if bytes > limit {
        return Err(ConfigError::TooLarge { bytes, limit });
    }
    if client.is_empty() || client.chars().any(char::is_control) {
        let detail = "a subscriber's id has one character at least, and no control characters";
        return Err(ConfigError::InvalidChange(detail.to_owned()));
    }
    Ok(())
}

impl Adoptions {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Makes room for one more subscriber of a scope, if there is any to be made.
    fn make_room(&mut self, scope: &ConfigScope) -> bool {
        let members = self.scopes.get_mut(scope);
        let in_scope = members.as_ref().map_or(0, |members| members.len());
        if in_scope < limits::CONFIG_SUBSCRIBERS_PER_SCOPE_MAX
            && self.len < limits::CONFIG_SUBSCRIBERS_MAX
        {
            return true;
        }
        let Some(members) = members else { return false };
        let absent = members.iter().filter(|(_, member)| member.watches == 0);
        let longest = absent.min_by_key(|(_, member)| member.seen);
        let Some(longest) = longest.map(|(client, _)| Arc::clone(client)) else { return false };
        members.remove(&longest);
        self.len -= 1;
        true
    }

    fn member(
        &mut self,
        scope: &ConfigScope,
        client: &Arc<str>,
        now: Timestamp,
    ) -> Option<&mut Member> {
        let known = self.scopes.get(scope).is_some_and(|members| members.contains_key(client));
        if !known {
            if !self.make_room(scope) {
                return None;
            }
            self.len += 1;
            let member = Member { confirmed: 0, since: now, seen: now, watches: 0 };
            self.scopes.entry(scope.clone()).or_default().insert(Arc::clone(client), member);
        }
        let member = self.scopes.get_mut(scope)?.get_mut(client)?;
        member.seen = now;
        Some(member)
    }

    /// A subscriber follows a scope.
    pub(crate) fn handle_came(&mut self, scope: &ConfigScope, client: &Arc<str>, now: Timestamp) {
        if let Some(member) = self.member(scope, client, now) {
            member.watches += 1;
        }
    }

    /// A subscriber follows a scope no longer. It was seen until then.
    pub(crate) fn handle_left(&mut self, scope: &ConfigScope, client: &Arc<str>, now: Timestamp) {
        let member = self.scopes.get_mut(scope).and_then(|members| members.get_mut(client));
        if let Some(member) = member {
            member.watches = member.watches.saturating_sub(1);
            member.seen = now;
        }
    }

    /// A subscriber has taken over everything of a scope up to a revision.
    pub(crate) fn confirm(
        &mut self,
        scope: &ConfigScope,
        client: &Arc<str>,
        (revision, now): (u64, Timestamp),
    ) {
        if let Some(member) = self.member(scope, client, now)
            && member.confirmed != revision
        {
            member.confirmed = revision;
            member.since = now;
        }
    }

    /// Forgets who has not been seen for long.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let absent = i64::try_from(ABSENT_MAX.as_millis()).unwrap_or(i64::MAX);
        let oldest = now.minus_millis(absent);
        self.scopes.retain(|_, members| {
            members.retain(|_, member| member.watches > 0 || member.seen >= oldest);
            !members.is_empty()
        });
        self.len = self.scopes.values().map(HashMap::len).sum();
    }

    /// Everybody who gets a key, each once, by the narrowest scope; with the revision that was
    /// confirmed.
    fn subscribers(&self, key: &ConfigKey) -> Vec<(u64, Subscriber)> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for scope in ConfigScope::of(key) {
            let Some(members) = self.scopes.get(&scope) else { continue };
            for (client, member) in members {
                if seen.insert(Arc::clone(client)) {
                    let subscriber = Subscriber {
                        client: Arc::clone(client),
                        scope: scope.clone(),
                        held: 0,
                        wanted: 0,
                        since: member.since,
                        watching: member.watches > 0,
                    };
                    all.push((member.confirmed, subscriber));
                }
            }
        }
        all
    }
}

impl ConfigPush {
    /// A subscriber has taken over everything of a scope up to a revision.
    pub fn confirm(
        &self,
        scope: &ConfigScope,
        client: &Arc<str>,
        revision: u64,
    ) -> Result<(), ConfigError> {
        check_client(client)?;
        let visible = self.revision();
        if revision == 0 || revision > visible {
            let detail = format!("revision {revision}: the last one is {visible}");
            return Err(ConfigError::InvalidChange(detail));
        }
        let now = self.shared.clock.now();
        self.shared.adoptions.lock().confirm(scope, client, (revision, now));
        Ok(())
    }

    /// How far a key's newest revision has come; at most so many of those who are behind.
    pub fn adoption(&self, key: &ConfigKey, behind_max: usize) -> Adoption {
        let all = self.shared.adoptions.lock().subscribers(key);
        let mut adoption = Adoption::default();
        let mut behind = Vec::new();
        {
            let owner = self.shared.owner.lock();
            let newest = owner.state.newest(key);
            adoption.revision = newest.map_or(0, |newest| newest.revision);
            for (confirmed, mut subscriber) in all {
                let of = owner.state.wanted_and_held(key, &subscriber.client, confirmed);
                (subscriber.wanted, subscriber.held) = of;
                adoption.subscribers += 1;
                adoption.watching += u64::from(subscriber.watching);
                *adoption.by_revision.entry(subscriber.held).or_default() += 1;
                if subscriber.held == subscriber.wanted {
                    adoption.adopted += 1;
                } else {
                    behind.push(subscriber);
                }
            }
        }
        behind.sort_by(|a, b| (a.since, &a.client).cmp(&(b.since, &b.client)));
        behind.truncate(behind_max);
        adoption.behind = behind;
        adoption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> ConfigScope {
        ConfigScope::parse(text).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_full_scope_forgets_who_was_absent_longest_and_nobody_who_follows() {
        let mut all = Adoptions::default();
        let scope = scope("a");
        let client = |n: usize| Arc::<str>::from(format!("c{n}"));
        let most = limits::CONFIG_SUBSCRIBERS_PER_SCOPE_MAX;
        for n in 0..most {
            all.handle_came(&scope, &client(n), at(i64::try_from(n).unwrap()));
        }
        all.handle_came(&scope, &client(most), at(1_000_000));
        assert_eq!(all.len(), most, "everybody follows: no room");
        // Who follows is seen, however long ago it came.
        let left = 2_000_000;
        for (n, at_millis) in [(7, left + 1), (5, left), (9, left + 2)] {
            all.handle_left(&scope, &client(n), at(at_millis));
        }
        all.handle_came(&scope, &client(most), at(left + 3));
        assert_eq!(all.len(), most);
        assert!(!all.scopes[&scope].contains_key(&client(5)));
        assert!(all.scopes[&scope].contains_key(&client(most)));
        all.forget(at(left + 24 * 3_600_000 + 2));
        assert!(!all.scopes[&scope].contains_key(&client(7)), "not seen for a day");
        assert!(all.scopes[&scope].contains_key(&client(9)));
        assert_eq!(all.len(), most - 1);
    }

    #[test]
    fn who_follows_several_scopes_counts_once_by_the_narrowest() {
        let mut all = Adoptions::default();
        let client: Arc<str> = "c".into();
        all.confirm(&scope(""), &client, (3, at(1)));
        all.confirm(&scope("a/"), &client, (5, at(2)));
        all.confirm(&scope("b"), &client, (9, at(2)));
        let of = all.subscribers(&ConfigKey::parse("a/x").unwrap());
        assert_eq!(of.len(), 1);
        assert_eq!((of[0].0, of[0].1.scope.as_str()), (5, "a/"));
    }
}

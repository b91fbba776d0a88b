//! Pushed configuration: writers that change two keys at a time, a reader, and a follower that
//! comes back behind the revision that it knows.
//!
//! A revision that was answered is never lost and never given out twice; both of its keys change or
//! none; who follows knows at the end what there is, and counts as having adopted what it has told.

use super::client::{Client, Session};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};
use tramline_broker::{
    ConfigChange, ConfigError, ConfigEvent, ConfigExpected, ConfigKey, ConfigOperation,
    ConfigScope, Error, WatchStart,
};

const PAUSE_MAX: Duration = Duration::from_millis(60);
const PAIRS: u64 = 4;
const FOLLOWER: &str = "follower";

/// What one pair of keys is known to be.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// The last revision that was answered, and its value; `None`: deleted.
    answered: (u64, Option<String>),
    /// Changes after it whose outcome is not known.
    unknown: Vec<Option<String>>,
}

/// Everything that was written.
#[derive(Default)]
pub(super) struct Pushed {
    pairs: HashMap<u64, Pair>,
    revisions: HashSet<u64>,
    /// What the follower knows, and up to where.
    followed: (u64, BTreeMap<String, (u64, String)>),
    /// How often it had to begin anew.
    started_over: u64,
}

impl Pushed {
    /// How many revisions were answered.
    pub(super) fn len(&self) -> usize {
        self.revisions.len()
    }

    fn answered(&mut self, pair: u64, revision: u64, value: Option<String>) -> Option<String> {
        let known = self.pairs.entry(pair).or_default();
        let is_newer = revision > known.answered.0;
        (known.answered, known.unknown) = ((revision, value), Vec::new());
        (!self.revisions.insert(revision) || !is_newer)
            .then(|| format!("revision {revision} of pair {pair} was given out before"))
    }
}

fn key(pair: u64, half: &str) -> ConfigKey {
    ConfigKey::parse(&format!("pairs/{pair}/{half}")).expect("a short path is a key")
}

fn scope() -> ConfigScope {
    ConfigScope::parse("pairs/").expect("a short prefix is a scope")
}

impl Client {
    /// Changes its share of the pairs until the world stops.
    pub(super) async fn push_configuration(mut self, (writer, writers): (u64, u64)) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let pair = self.random.below(PAIRS / writers) * writers + writer;
            self.change_pair(&session, pair).await;
            self.look_at_pair(&session, pair).await;
        }
    }

    async fn change_pair(&mut self, session: &Session, pair: u64) {
        let has_value = self
            .world
            .pushed
            .lock()
            .pairs
            .get(&pair)
            .is_some_and(|known| known.unknown.is_empty() && known.answered.1.is_some());
        let value = (!has_value || !self.random.one_in(5)).then(|| {
            let filler = if self.random.one_in(8) { 3000 } else { self.random.index(200) };
            format!("{}-{:x}{}", self.name, self.random.next_u64(), "x".repeat(filler))
        });
        let change = |half| ConfigChange {
            key: key(pair, half),
            expected: ConfigExpected::Anything,
            operation: match &value {
                Some(value) => ConfigOperation::Put {
                    content_type: "text/plain".into(),
                    value: Bytes::from(value.clone()),
                    stage: None,
                },
                None => ConfigOperation::Delete,
            },
            note: None,
        };
        let changes = vec![change("a"), change("b")];
        let answer = session.call(session.broker.config_push().change(changes)).await;
        let problem = {
            let mut pushed = self.world.pushed.lock();
            match answer {
                Some(Ok(revision)) => pushed.answered(pair, revision, value),
                None | Some(Err(ConfigError::Broker(Error::Closed))) => {
                    pushed.pairs.entry(pair).or_default().unknown.push(value);
                    None
                }
                Some(Err(ConfigError::Broker(Error::StorageFull))) => None,
                Some(Err(error)) => Some(format!("pair {pair} cannot be changed: {error}")),
            }
        };
        self.world.problems_from(problem);
    }

    /// Compares a pair with what was answered. Only its writer may do so.
    async fn look_at_pair(&self, session: &Session, pair: u64) {
        let config = session.broker.config_push();
        let look = |half| {
            let (key, newest) = (key(pair, half), config.newest(&key(pair, half)));
            let value = config.get(&key, None).ok();
            (newest.map_or(0, |newest| newest.revision), value.map(|value| value.value.clone()))
        };
        let Some((a, b)) = session.call(async { (look("a"), look("b")) }).await else { return };
        if a != b {
            self.world.problem(format!("half of pair {pair} was changed: {} and {}", a.0, b.0));
        }
        let known = self.world.pushed.lock().pairs.get(&pair).cloned().unwrap_or_default();
        let value = a.1.map(|value| String::from_utf8_lossy(&value).into_owned());
        let is_answered = (a.0, &value) == (known.answered.0, &known.answered.1);
        let is_later = a.0 > known.answered.0 && known.unknown.contains(&value);
        if !is_answered && !is_later {
            let (revision, answered) = (a.0, known.answered.0);
            self.world.problem(format!(
                "pair {pair} is at revision {revision}, and {answered} was answered last"
            ));
        }
    }

    /// Follows all pairs until the world stops, over every crash.
    pub(super) async fn follow_configuration(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            self.catch_up_with_configuration(&session).await;
        }
    }

    /// Goes on behind what it knows until everything has been told.
    async fn catch_up_with_configuration(&self, session: &Session) {
        let config = session.broker.config_push();
        let (position, mut known) = self.world.pushed.lock().followed.clone();
        let start = if position == 0 { WatchStart::Snapshot } else { WatchStart::After(position) };
        let mut watch = match config.watch(scope(), Some(FOLLOWER.into()), start) {
            Ok(watch) => watch,
            Err(error) => return self.world.problem(format!("nobody can follow: {error}")),
        };
        self.check_adoption(session, position, &known);
        loop {
            let Some(told) = session.call(watch.next()).await else { return };
            for event in told.events {
                match event {
                    ConfigEvent::Put { value, .. } => {
                        let text = String::from_utf8_lossy(&value.value).into_owned();
                        known.insert(value.key.to_string(), (value.revision, text));
                    }
                    ConfigEvent::Delete { key, .. } => drop(known.remove(key.as_str())),
                    ConfigEvent::Resync => {
                        known.clear();
                        self.world.pushed.lock().started_over += 1;
                    }
                    ConfigEvent::Synced { at } => {
                        self.world.pushed.lock().followed = (at, known);
                        return;
                    }
                }
            }
        }
    }

    /// Who comes back behind a revision has adopted it.
    fn check_adoption(
        &self,
        session: &Session,
        position: u64,
        known: &BTreeMap<String, (u64, String)>,
    ) {
        let Some((name, (revision, _))) = known.first_key_value().filter(|_| position > 0) else {
            return;
        };
        let key = ConfigKey::parse(name).expect("it came as a key");
        let config = session.broker.config_push();
        let (adoption, kept) =
            (config.adoption(&key, 10), config.history(&key).unwrap_or_default());
        // Nobody is said to hold what is no more known.
        let is_kept = kept.iter().any(|version| version.revision == *revision);
        let is_held = adoption.by_revision.contains_key(revision);
        if adoption.subscribers != 1 || is_held != is_kept {
            self.world.problem(format!("`{name}` is adopted by {adoption:?}, not at {revision}"));
        }
    }

    /// What the follower knows at the end is what there is.
    pub(super) async fn check_configuration(self) {
        let session = self.session().await;
        for pair in 0..PAIRS {
            self.look_at_pair(&session, pair).await;
        }
        self.catch_up_with_configuration(&session).await;
        let page = session.broker.config_push().list(&scope(), None, None);
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        let there: BTreeMap<String, (u64, String)> = page
            .values
            .iter()
            .map(|value| (value.key.to_string(), (value.revision, text(&value.value))))
            .collect();
        let (_, known) = self.world.pushed.lock().followed.clone();
        if known != there {
            let revisions = |of: &BTreeMap<String, (u64, String)>| {
                of.iter().map(|(key, (revision, _))| (key.clone(), *revision)).collect::<Vec<_>>()
            };
            let (known, there) = (revisions(&known), revisions(&there));
            self.world.problem(format!("a follower knows {known:?}, and there is {there:?}"));
        }
        let started_over = self.world.pushed.lock().started_over;
        if started_over > 0 {
            self.world.problem(format!("a follower began anew {started_over} times for nothing"));
        }
    }
}

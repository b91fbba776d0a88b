//! What all clients share: the way to the broker that runs at the moment, the history, and the
//! topics that they know of.

use super::{
    compacted::Compacted, early::Early, ordered::Orders, pushed::Pushed, topics::Topics,
    tracked::Tracked,
};
use crate::{Recorder, Step};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tramline_broker::{Broker, Error, Mode, NewTopic, Topic};
use tramline_store::fs::sim::Random;
use tramline_testkit::FakeClock;
use tramline_types::{Clock, TopicName};

/// What is outside of the machine and survives its crashes.
pub(super) struct World {
    pub(super) recorder: Recorder,
    pub(super) link: Arc<Link>,
    pub(super) topics: Mutex<Topics>,
    pub(super) orders: Mutex<Orders>,
    pub(super) compacted: Mutex<Compacted>,
    pub(super) early: Mutex<Early>,
    /// What is acknowledged in the topic that has subscriptions.
    pub(super) shared: Mutex<BTreeSet<String>>,
    pub(super) tracked: Mutex<Tracked>,
    pub(super) pushed: Mutex<Pushed>,
    problems: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl World {
    pub(super) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            link: Arc::default(),
            topics: Mutex::default(),
            orders: Mutex::default(),
            compacted: Mutex::default(),
            early: Mutex::default(),
            shared: Mutex::default(),
            tracked: Mutex::default(),
            pushed: Mutex::default(),
            problems: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Asks every client to end.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Notes what should not have happened.
    pub(super) fn problem(&self, text: String) {
        self.problems.lock().push(text);
    }

    /// Notes it where there is one.
    pub(super) fn problems_from(&self, problem: Option<String>) {
        self.problems.lock().extend(problem);
    }

    pub(super) fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut *self.problems.lock())
    }

    /// Ends the simulation where it cannot go on.
    pub(super) fn give_up(&self, text: &str) -> ! {
        panic!("{text}; noted before: {:#?}", self.take_problems());
    }

    /// Records what is no operation.
    pub(super) fn note(&self, client: &str, step: Step) {
        self.recorder.note(0, client, step);
    }
}

/// The way to the broker that runs at the moment. Whoever waits for a change is woken in the order
/// of waiting, so that a seed gives the same history again (tokio's `watch` wakes in a random one).
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<LinkState>,
    changed: Notify,
}

#[derive(Default)]
struct LinkState {
    changes: u64,
    broker: Option<Broker>,
}

impl Link {
    pub(super) fn up(&self, broker: Broker) {
        self.set(Some(broker));
    }

    /// Breaks every call that is under way.
    pub(super) fn down(&self) {
        if let Some(broker) = self.set(None) {
            // The dead process's tasks end; nobody sees what they do on the way.
            tokio::spawn(async move { broker.close().await });
        }
    }

    fn set(&self, broker: Option<Broker>) -> Option<Broker> {
        let mut state = self.state.lock();
        state.changes += 1;
        let before = std::mem::replace(&mut state.broker, broker);
        drop(state);
        self.changed.notify_waiters();
        before
    }

    pub(super) fn broker(&self) -> Option<Broker> {
        self.state.lock().broker.clone()
    }

    /// Waits until a broker runs.
    async fn session(self: &Arc<Self>) -> Session {
        loop {
            let (changes, broker) = {
                let state = self.state.lock();
                (state.changes, state.broker.clone())
            };
            if let Some(broker) = broker {
                return Session { broker, changes, link: Arc::clone(self) };
            }
            self.changed_since(changes).await;
        }
    }

    async fn changed_since(&self, changes: u64) {
        let notified = self.changed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.state.lock().changes == changes {
            notified.await;
        }
    }
}

/// A connection to one process. A clone is another one to the same process.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) broker: Broker,
    changes: u64,
    link: Arc<Link>,
}

impl Session {
    /// Waits for a call; `None` when the process died first.
    pub(super) async fn call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased; // What a process said after its death was never said.
            () = self.link.changed_since(self.changes) => None,
            answer = call => Some(answer),
        }
    }
}

/// A constant as a topic's name.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName::parse(name).expect("a short word is a topic's name")
}

/// One client: a name in the history and a stream of decisions.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) random: Random,
    pub(super) clock: FakeClock,
    pub(super) world: Arc<World>,
}

impl Client {
    pub(super) fn new(name: &str, random: Random, clock: FakeClock, world: Arc<World>) -> Self {
        Self { name: name.to_owned(), random, clock, world }
    }

    pub(super) async fn session(&self) -> Session {
        self.world.link.session().await
    }

    pub(super) fn invoke(&self, step: Step) -> u64 {
        self.world.recorder.invoke(0, &self.name, step)
    }

    pub(super) fn complete(&self, op: u64, step: Step) {
        self.world.recorder.complete(0, &self.name, op, step);
    }

    pub(super) fn note(&self, step: Step) {
        self.world.note(&self.name, step);
    }

    /// Records that the process died during the operation.
    pub(super) fn unknown(&self, op: u64) {
        self.complete(op, Step::Unknown { reason: "the process died".to_owned() });
    }

    pub(super) fn fail(&self, op: u64, reason: &impl ToString) {
        self.complete(op, Step::Fail { reason: reason.to_string() });
    }

    /// A topic with a program of its own; made where it is missing. `None` where it cannot be.
    pub(super) async fn own_topic(
        &self,
        session: &Session,
        name: &str,
        settings: &[(&str, String)],
    ) -> Option<Arc<Topic>> {
        let topic = topic_name(name);
        if let Ok(topic) = session.broker.topic(&topic) {
            return Some(topic);
        }
        let setting = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        let new = NewTopic {
            name: topic,
            partitions: Some(1),
            replication_factor: None,
            settings: settings.iter().map(setting).collect(),
            mode: Mode::Apply,
        };
        match session.call(session.broker.create_topic(new)).await? {
            Ok(topic) => Some(topic),
            Err(Error::TopicExists(_) | Error::StorageFull) => None,
            Err(error) => {
                self.world.problem(format!("no topic `{name}`: {error}"));
                None
            }
        }
    }

    /// Does nothing for up to this long.
    pub(super) async fn pause(&mut self, max: Duration) {
        let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        let span = Duration::from_micros(self.random.below(micros));
        let deadline = self.clock.monotonic().plus(span);
        self.clock.sleep_until(Some(deadline)).await;
    }
}

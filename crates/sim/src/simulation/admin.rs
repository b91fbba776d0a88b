//! One administrator: creates, changes, lists and deletes topics, one thing after the other.

use super::{
    client::{Client, Session},
    topics::{Known, Phase},
};
use crate::{Step, TopicSeen};
use std::time::Duration;
use tramline_broker::{Change, Error, Mode, NewTopic, SettingChange};
use tramline_types::{TopicName, limits};

const PAUSE_MAX: Duration = Duration::from_millis(120);
const NAMES: u64 = 6;
const PARTITIONS_MAX: u32 = 6;

impl Client {
    /// Administers until the world stops.
    pub(super) async fn administer(mut self) {
        while !self.world.is_stopped() {
            let session = self.session().await;
            self.world.topics.lock().resolve(&session.broker);
            let live = self.world.topics.lock().live(&session.broker).len();
            match self.random.below(10) {
                _ if live < 2 => self.create(&session).await,
                0..2 => self.create(&session).await,
                2..3 if live > 3 => self.delete(&session).await,
                3..4 => self.add_partitions(&session).await,
                4..7 => self.alter(&session).await,
                _ => self.list(&session),
            }
            self.pause(PAUSE_MAX).await;
        }
    }

    fn pick(&mut self, session: &Session) -> Option<Known> {
        self.world.topics.lock().pick(&session.broker, &mut self.random)
    }

    async fn create(&mut self, session: &Session) {
        let name = format!("topic-{}", self.random.below(NAMES));
        let name = TopicName::parse(&name).expect("letters, digits and a dash");
        if !self.world.topics.lock().is_free(&name) {
            return;
        }
        let partitions = 1 + u32::try_from(self.random.below(3)).expect("a handful");
        let retention = self.random.one_in(3);
        let mut settings = if retention { vec![retention_setting(self)] } else { Vec::new() };
        if self.random.one_in(2) {
            settings.push(("order".to_owned(), "total".to_owned()));
        }
        let label = self.world.topics.lock().begin(&name);
        let mut ops =
            vec![self.invoke(Step::CreateTopic { topic: label.clone(), partitions, retention })];
        for (setting, value) in settings.clone() {
            ops.push(self.invoke(Step::AlterTopic { topic: label.clone(), setting, value }));
        }
        let new = NewTopic {
            name,
            partitions: Some(partitions),
            replication_factor: None,
            settings,
            mode: Mode::Apply,
        };
        match session.call(session.broker.create_topic(new)).await {
            None => ops.into_iter().for_each(|op| self.unknown(op)),
            Some(Ok(topic)) => {
                self.world.topics.lock().set(&label, Phase::Live, Some(topic.id()));
                ops.into_iter().for_each(|op| self.complete(op, Step::Ok));
            }
            Some(Err(error)) => {
                self.world.topics.lock().set(&label, Phase::Gone, None);
                ops.into_iter().for_each(|op| self.refused(op, &error));
            }
        }
    }

    async fn delete(&mut self, session: &Session) {
        let Some(known) = self.pick(session) else { return };
        self.world.topics.lock().set(&known.label, Phase::Deleting, None);
        let op = self.invoke(Step::DeleteTopic { topic: known.label.clone() });
        match session.call(session.broker.delete_topic(known.topic.name())).await {
            None => self.unknown(op),
            Some(Ok(())) => {
                self.world.topics.lock().set(&known.label, Phase::Gone, None);
                self.complete(op, Step::Ok);
            }
            Some(Err(error)) => {
                self.world.topics.lock().set(&known.label, Phase::Live, None);
                self.refused(op, &error);
            }
        }
    }

    async fn add_partitions(&mut self, session: &Session) {
        let Some(known) = self.pick(session) else { return };
        let total = known.topic.partition_count() + 1;
        if total > PARTITIONS_MAX.min(limits::PARTITIONS_PER_TOPIC_MAX) {
            return;
        }
        let op = self.invoke(Step::AlterTopic {
            topic: known.label.clone(),
            setting: "partitions".to_owned(),
            value: total.to_string(),
        });
        let name = known.topic.name();
        match session.call(session.broker.create_partitions(name, total, Mode::Apply)).await {
            None => self.unknown(op),
            Some(Ok(())) => self.complete(op, Step::Ok),
            Some(Err(error)) => self.refused(op, &error),
        }
    }

    async fn alter(&mut self, session: &Session) {
        let Some(known) = self.pick(session) else { return };
        let (name, value) = match self.random.below(3) {
            0 => retention_setting(self),
            1 => ("max.message.bytes".to_owned(), (30_000 + self.random.below(1000)).to_string()),
            _ => ("segment.jitter.ms".to_owned(), (self.random.next_u64() >> 1).to_string()),
        };
        let op = self.invoke(Step::AlterTopic {
            topic: known.label.clone(),
            setting: name.clone(),
            value: value.clone(),
        });
        let changes = vec![SettingChange { name, change: Change::Set(value) }];
        let name = known.topic.name();
        match session.call(session.broker.alter_topic(name, changes, Mode::Apply)).await {
            None => self.unknown(op),
            Some(Ok(())) => self.complete(op, Step::Ok),
            Some(Err(error)) => self.refused(op, &error),
        }
    }

    /// Looks at all topics. Nothing is under way in between, so it needs no waiting.
    pub(super) fn list(&self, session: &Session) {
        let op = self.invoke(Step::ListTopics);
        let mut seen = Vec::new();
        for topic in session.broker.topics() {
            if super::OWN_TOPICS.contains(&topic.name().as_str()) {
                continue; // It has clients of its own.
            }
            if let Some(of) = topic.view_of() {
                if session.broker.topic(of).is_err() {
                    self.world.problem(format!("`{}` is a view of nothing", topic.name()));
                }
                continue;
            }
            let topics = self.world.topics.lock();
            let Some(label) = topics.label(&topic) else {
                self.world.problem(format!("nobody made the topic `{}`", topic.name()));
                continue;
            };
            seen.push(TopicSeen {
                topic: label.to_owned(),
                partitions: topic.partition_count(),
                settings: topic.settings().overrides().clone(),
            });
        }
        self.complete(op, Step::ListTopicsOk { topics: seen });
    }

    fn refused(&self, op: u64, error: &Error) {
        self.fail(op, error);
        if !matches!(error, Error::StorageFull) {
            self.world.problem(format!("a change of a topic was refused: {error}"));
        }
    }
}

fn retention_setting(client: &mut Client) -> (String, String) {
    if client.random.one_in(2) {
        ("retention.bytes".to_owned(), (2000 + client.random.below(40_000)).to_string())
    } else {
        ("retention.ms".to_owned(), (1000 + client.random.below(9000)).to_string())
    }
}

use super::*;
use crate::{Committed, End, Read, TopicSeen};

/// A topic in a listing: its name, partitions and settings.
type Listed<'a> = (&'a str, u32, &'a [(&'a str, &'a str)]);

/// A history written by hand.
#[derive(Default)]
struct Script {
    events: Vec<Event>,
    op_last: u64,
}

impl Script {
    fn push(&mut self, client: &str, op: u64, step: Step) {
        let at = self.events.len() as u64;
        self.events.push(Event { at, client: client.to_owned(), op, step });
    }

    fn invoke(&mut self, client: &str, step: Step) -> u64 {
        self.op_last += 1;
        self.push(client, self.op_last, step);
        self.op_last
    }

    fn done(&mut self, client: &str, step: Step) {
        let op = self.invoke(client, step);
        self.push(client, op, Step::Ok);
    }

    fn send(&mut self, client: &str, value: &str) -> u64 {
        let (topic, value) = ("t".to_owned(), value.to_owned());
        self.invoke(client, Step::Send { topic, partition: Some(0), value })
    }

    fn sent(&mut self, client: &str, op: u64, offset: u64) {
        self.push(client, op, Step::SendOk { partition: 0, offset: Some(offset) });
    }

    /// A send and its acknowledgement.
    fn ack(&mut self, value: &str, offset: u64) {
        let op = self.send("p", value);
        self.sent("p", op, offset);
    }

    fn refused(&mut self, value: &str) {
        let op = self.send("p", value);
        self.push("p", op, Step::Fail { reason: "refused".to_owned() });
    }

    fn unknown(&mut self, value: &str) {
        let op = self.send("p", value);
        self.push("p", op, Step::Unknown { reason: "time-out".to_owned() });
    }

    fn assign(&mut self, client: &str, offset: u64) {
        let step = Step::Assign { topic: "t".to_owned(), partition: 0, offset: Some(offset) };
        self.push(client, 0, step);
    }

    fn poll(&mut self, client: &str, records: &[(u64, &str)]) {
        let op = self.invoke(client, Step::Poll);
        let read = |(offset, value): &(u64, &str)| Read {
            topic: "t".to_owned(),
            partition: 0,
            offset: *offset,
            value: (*value).to_owned(),
        };
        let records = records.iter().map(read).collect();
        self.push(client, op, Step::PollOk { records });
    }

    /// Reads everything: these records, up to this end.
    fn drain(&mut self, records: &[(u64, &str)], next: u64) {
        self.assign("drain", 0);
        self.poll("drain", records);
        self.push("drain", 0, Step::Drained { topic: "t".to_owned(), partition: 0, next });
    }

    fn ends(&mut self, start: u64, next: u64) {
        let op = self.invoke("e", Step::Ends { topic: "t".to_owned(), partition: 0 });
        self.push("e", op, Step::EndsOk(End { start, next }));
    }

    fn create(&mut self, topic: &str, retention: bool) {
        let topic = topic.to_owned();
        self.done("a", Step::CreateTopic { topic, partitions: 1, retention });
    }

    fn delete(&mut self, topic: &str) {
        self.done("a", Step::DeleteTopic { topic: topic.to_owned() });
    }

    fn alter(&mut self, setting: &str, value: &str) {
        let (setting, value) = (setting.to_owned(), value.to_owned());
        self.done("a", Step::AlterTopic { topic: "t".to_owned(), setting, value });
    }

    fn list(&mut self, topics: &[Listed<'_>]) {
        let op = self.invoke("a", Step::ListTopics);
        let seen = |(topic, partitions, settings): &Listed<'_>| TopicSeen {
            topic: (*topic).to_owned(),
            partitions: *partitions,
            settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let topics = topics.iter().map(seen).collect();
        self.push("a", op, Step::ListTopicsOk { topics });
    }

    fn commit(&mut self, offset: u64) -> u64 {
        let offsets = vec![Committed { topic: "t".to_owned(), partition: 0, offset }];
        self.invoke("c", Step::Commit { group: "g".to_owned(), offsets })
    }

    fn committed(&mut self, offset: u64) {
        let op = self.commit(offset);
        self.push("c", op, Step::Ok);
    }

    fn fetch_committed(&mut self, offset: Option<u64>) {
        let (group, topic) = ("g".to_owned(), "t".to_owned());
        let op = self.invoke("f", Step::FetchCommitted { group, topic, partition: 0 });
        self.push("f", op, Step::FetchCommittedOk { offset });
    }

    fn check(&self) -> Report {
        check(&self.events, Options { drain_required: false }).unwrap()
    }
}

fn script(write: impl FnOnce(&mut Script)) -> Script {
    let mut script = Script::default();
    write(&mut script);
    script
}

#[track_caller]
fn good(write: impl FnOnce(&mut Script)) {
    let report = script(write).check();
    assert!(report.is_good(), "{report}");
}

/// Exactly this rule is broken, and the report names events.
#[track_caller]
fn breaks(rule: Rule, write: impl FnOnce(&mut Script)) {
    let report = script(write).check();
    assert!(report.breaks(rule), "expected {rule:?}: {report}");
    assert!(report.violations.iter().all(|v| v.rule == rule), "only {rule:?}: {report}");
    assert!(report.violations.iter().all(|v| !v.events.is_empty()), "{report}");
}

#[test]
fn an_acknowledged_send_must_be_in_the_final_reading() {
    good(|s| {
        s.ack("a", 0);
        s.ack("b", 1);
        s.drain(&[(0, "a"), (1, "b")], 2);
    });
    breaks(Rule::NothingLost, |s| {
        s.ack("a", 0);
        s.ack("b", 1);
        s.drain(&[(0, "a")], 1);
    });
    breaks(Rule::NothingLost, |s| {
        s.ack("a", 0);
        s.drain(&[], 1);
    });
}

#[test]
fn an_acknowledged_send_is_not_passed_over_below_the_highest_offset_read() {
    breaks(Rule::NothingLost, |s| {
        s.ack("a", 0);
        s.ack("b", 1);
        s.ack("c", 2);
        s.assign("r", 0);
        s.poll("r", &[(0, "a"), (2, "c")]);
    });
    breaks(Rule::NothingLost, |s| {
        s.ack("a", 0);
        s.ack("b", 1);
        s.assign("r", 0);
        s.poll("r", &[(1, "b")]);
    });
}

#[test]
fn a_send_acknowledged_without_an_offset_must_be_read_by_somebody() {
    let write = |records: &'static [(u64, &str)]| {
        move |s: &mut Script| {
            let op = s.send("p", "a");
            s.push("p", op, Step::SendOk { partition: 0, offset: None });
            s.drain(records, 1);
        }
    };
    good(write(&[(0, "a")]));
    breaks(Rule::NothingLost, write(&[]));
}

#[test]
fn retention_may_remove_what_lies_below_the_log_start() {
    let write = |retention: bool| {
        move |s: &mut Script| {
            s.create("t", retention);
            s.ack("a", 0);
            s.ack("b", 1);
            s.ends(1, 2);
            s.drain(&[(1, "b")], 2);
        }
    };
    good(write(true));
    let report = script(write(false)).check();
    assert!(report.breaks(Rule::NothingLost) && report.breaks(Rule::LogStart), "{report}");
    breaks(Rule::NothingLost, |s| {
        s.create("t", true);
        s.ack("a", 0);
        s.ack("b", 1);
        s.ack("c", 2);
        s.ends(1, 3);
        s.drain(&[(2, "c")], 3);
    });
}

#[test]
fn a_refused_send_must_not_be_visible() {
    breaks(Rule::NothingRefusedVisible, |s| {
        s.refused("a");
        s.drain(&[(0, "a")], 1);
    });
}

#[test]
fn an_unknown_send_may_be_visible_or_not() {
    good(|s| {
        s.unknown("a");
        s.unknown("b");
        s.send("p", "c");
        s.drain(&[(0, "b")], 1);
    });
}

#[test]
fn what_was_never_sent_must_not_be_read() {
    breaks(Rule::NothingInvented, |s| s.drain(&[(0, "x")], 1));
}

#[test]
fn a_value_is_only_in_the_partition_it_was_sent_to() {
    breaks(Rule::RightPlace, |s| {
        let (topic, value) = ("other".to_owned(), "a".to_owned());
        s.invoke("p", Step::Send { topic, partition: Some(0), value });
        s.drain(&[(0, "a")], 1);
    });
}

#[test]
fn one_offset_names_one_value_for_every_reader() {
    breaks(Rule::OneValuePerOffset, |s| {
        s.unknown("a");
        s.unknown("b");
        s.assign("r", 0);
        s.poll("r", &[(0, "a")]);
        s.drain(&[(0, "b")], 1);
    });
    breaks(Rule::OneValuePerOffset, |s| {
        s.unknown("b");
        let op = s.send("q", "a");
        s.drain(&[(0, "b")], 1);
        s.sent("q", op, 0);
    });
}

#[test]
fn an_acknowledged_value_is_at_exactly_its_offset() {
    breaks(Rule::AtItsOffset, |s| {
        s.unknown("x");
        let op = s.send("p", "a");
        s.assign("r", 1);
        s.poll("r", &[(1, "a")]);
        s.sent("p", op, 0);
    });
}

#[test]
fn only_a_producer_that_repeats_without_idempotence_may_duplicate() {
    let write = |s: &mut Script| {
        s.ack("a", 0);
        s.drain(&[(0, "a"), (1, "a")], 2);
    };
    breaks(Rule::NoDuplicate, write);
    good(|s| {
        s.push("p", 0, Step::Client { ordered: false, may_duplicate: true });
        write(s);
    });
}

#[test]
fn a_send_invoked_after_an_acknowledgement_gets_a_higher_offset() {
    breaks(Rule::SendOrder, |s| {
        s.ack("a", 1);
        s.ack("b", 0);
    });
    breaks(Rule::SendOrder, |s| {
        s.unknown("a");
        s.assign("r", 1);
        s.poll("r", &[(1, "a")]);
        let op = s.send("q", "b");
        s.sent("q", op, 0);
    });
    good(|s| {
        let (a, b) = (s.send("p", "a"), s.send("p", "b"));
        s.sent("p", a, 1);
        s.sent("p", b, 0);
    });
}

#[test]
fn an_ordered_producers_sends_keep_their_order_even_in_flight_or_unknown() {
    breaks(Rule::SendOrder, |s| {
        s.push("p", 0, Step::Client { ordered: true, may_duplicate: false });
        let (a, b) = (s.send("p", "a"), s.send("p", "b"));
        s.sent("p", a, 1);
        s.sent("p", b, 0);
    });
    breaks(Rule::SendOrder, |s| {
        s.push("p", 0, Step::Client { ordered: true, may_duplicate: false });
        s.unknown("a");
        s.unknown("b");
        s.drain(&[(0, "b"), (1, "a")], 2);
    });
}

#[test]
fn offsets_read_by_one_client_rise_until_it_is_assigned_anew() {
    let sends = |s: &mut Script| {
        s.ack("a", 0);
        s.ack("b", 1);
        s.assign("r", 0);
    };
    breaks(Rule::PollOrder, |s| {
        sends(s);
        s.poll("r", &[(0, "a"), (1, "b")]);
        s.poll("r", &[(0, "a")]);
    });
    breaks(Rule::PollOrder, |s| {
        sends(s);
        s.poll("r", &[(0, "a"), (0, "a")]);
    });
    breaks(Rule::PollOrder, |s| {
        sends(s);
        s.assign("r", 1);
        s.poll("r", &[(0, "a")]);
    });
    good(|s| {
        sends(s);
        s.poll("r", &[(0, "a"), (1, "b")]);
        s.assign("r", 0);
        s.poll("r", &[(0, "a")]);
    });
}

#[test]
fn an_offset_that_somebody_read_is_skipped_neither_inside_nor_between_polls() {
    let seen = |s: &mut Script| {
        s.unknown("a");
        s.unknown("b");
        s.unknown("c");
        s.assign("r", 0);
        s.poll("r", &[(0, "a"), (1, "b"), (2, "c")]);
        s.assign("q", 0);
    };
    breaks(Rule::NothingSkipped, |s| {
        seen(s);
        s.poll("q", &[(0, "a"), (2, "c")]);
    });
    breaks(Rule::NothingSkipped, |s| {
        seen(s);
        s.poll("q", &[(0, "a")]);
        s.poll("q", &[(2, "c")]);
    });
    good(|s| {
        seen(s);
        s.poll("q", &[(0, "a")]);
        s.poll("q", &[(1, "b"), (2, "c")]);
    });
}

#[test]
fn the_high_watermark_never_goes_back() {
    breaks(Rule::HighWatermark, |s| {
        s.ends(0, 5);
        s.ends(0, 4);
    });
    breaks(Rule::HighWatermark, |s| {
        s.ack("a", 0);
        s.ends(0, 0);
    });
    good(|s| {
        let op = s.invoke("e", Step::Ends { topic: "t".to_owned(), partition: 0 });
        s.ack("a", 0);
        s.push("e", op, Step::EndsOk(End { start: 0, next: 0 }));
        s.ends(0, 1);
    });
}

#[test]
fn the_log_start_never_goes_back() {
    breaks(Rule::LogStart, |s| {
        s.create("t", true);
        s.ends(3, 5);
        s.ends(2, 5);
    });
}

#[test]
fn an_acknowledged_commit_is_never_undone() {
    good(|s| {
        s.fetch_committed(None);
        s.committed(5);
        s.fetch_committed(Some(5));
        s.committed(3);
        s.fetch_committed(Some(3));
    });
    breaks(Rule::CommitKept, |s| {
        s.committed(5);
        s.committed(6);
        s.fetch_committed(Some(5));
    });
    breaks(Rule::CommitKept, |s| {
        s.committed(5);
        s.fetch_committed(None);
    });
    breaks(Rule::CommitKept, |s| s.fetch_committed(Some(7)));
}

#[test]
fn an_unknown_commit_may_have_happened_and_stays_once_seen() {
    good(|s| {
        s.committed(5);
        s.commit(6);
        s.fetch_committed(Some(5));
        s.fetch_committed(Some(6));
    });
    breaks(Rule::CommitKept, |s| {
        s.committed(5);
        s.commit(6);
        s.fetch_committed(Some(6));
        s.fetch_committed(Some(5));
    });
    breaks(Rule::CommitKept, |s| {
        let op = s.commit(6);
        s.push("c", op, Step::Fail { reason: "fenced".to_owned() });
        s.fetch_committed(Some(6));
    });
}

#[test]
fn a_deleted_group_has_no_offsets() {
    let deleted = |s: &mut Script| {
        s.committed(5);
        s.done("c", Step::DeleteGroup { group: "g".to_owned() });
    };
    good(|s| {
        deleted(s);
        s.fetch_committed(None);
    });
    breaks(Rule::CommitKept, |s| {
        deleted(s);
        s.fetch_committed(Some(5));
    });
}

#[test]
fn a_deletion_that_was_only_seen_may_be_undone() {
    good(|s| {
        s.committed(5);
        s.invoke("c", Step::DeleteGroup { group: "g".to_owned() });
        s.fetch_committed(None);
        s.fetch_committed(Some(5));
    });
}

#[test]
fn changes_of_topics_are_kept() {
    good(|s| {
        s.list(&[]);
        s.create("t", false);
        s.list(&[("t", 1, &[])]);
        s.alter("partitions", "3");
        s.alter("max.message.bytes", "9");
        s.list(&[("t", 3, &[("max.message.bytes", "9")]), ("internal", 1, &[])]);
        s.delete("t");
        s.list(&[]);
    });
    breaks(Rule::AdminKept, |s| {
        s.create("t", false);
        s.list(&[]);
    });
    breaks(Rule::AdminKept, |s| {
        s.create("t", false);
        s.delete("t");
        s.list(&[("t", 1, &[])]);
    });
    breaks(Rule::AdminKept, |s| {
        s.create("t", false);
        s.alter("partitions", "3");
        s.list(&[("t", 1, &[])]);
    });
    breaks(Rule::AdminKept, |s| {
        s.create("t", false);
        s.alter("max.message.bytes", "9");
        s.list(&[("t", 1, &[])]);
    });
}

#[test]
fn an_unknown_creation_stays_once_it_was_seen() {
    let seen = |s: &mut Script| {
        let topic = "t".to_owned();
        s.invoke("a", Step::CreateTopic { topic, partitions: 1, retention: false });
        s.list(&[]);
        s.list(&[("t", 1, &[])]);
    };
    good(seen);
    breaks(Rule::AdminKept, |s| {
        seen(s);
        s.list(&[]);
    });
}

#[test]
fn nothing_is_read_from_a_deleted_topic() {
    breaks(Rule::AdminKept, |s| {
        s.create("t", false);
        s.ack("a", 0);
        s.delete("t");
        s.poll("r", &[(0, "a")]);
    });
}

#[test]
fn a_partition_that_was_not_read_to_its_end_proves_nothing() {
    let options = Options { drain_required: true };
    let mut s = script(|s| s.ack("a", 0));
    assert!(check(&s.events, options).unwrap().breaks(Rule::Drained));
    s.drain(&[(0, "a")], 1);
    assert!(check(&s.events, options).unwrap().is_good());
    s.ack("b", 1);
    assert!(check(&s.events, options).unwrap().breaks(Rule::Drained));
    s.delete("t");
    assert!(check(&s.events, options).unwrap().is_good());
}

#[test]
fn a_report_says_what_where_and_which_events() {
    let s = script(|s| {
        s.ack("a", 0);
        s.drain(&[], 0);
    });
    let text = s.check().to_string();
    for part in [
        "1 sends acknowledged",
        "an acknowledged send is lost",
        "`t`/0",
        r#"event 1: {"at":1,"client":"p","op":1,"event":"send_ok","partition":0,"offset":0}"#,
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn a_history_that_makes_no_sense_is_refused() {
    let options = Options::default();
    for write in [
        (|s: &mut Script| s.sent("p", 1, 0)) as fn(&mut Script),
        |s| {
            s.ack("a", 0);
            s.sent("p", 1, 0);
        },
        |s| {
            s.ack("a", 0);
            s.ack("a", 1);
        },
        |s| {
            let op = s.send("p", "a");
            s.push("p", op, Step::Ok);
        },
    ] {
        assert!(check(&script(write).events, options).is_err());
    }
}

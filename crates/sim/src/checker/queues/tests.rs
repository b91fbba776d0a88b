use crate::{Delivered, Event, Options, Report, Rule, Settlement, Step, check};

/// A history written by hand: queue `q` with the dead-letter queue `d`, and `g`, which orders
/// groups.
struct Script {
    events: Vec<Event>,
    op_last: u64,
}

/// A delivery: its value, token and count, and the end of its lock.
type Line = (&'static str, &'static str, u32, i64);

impl Script {
    fn new() -> Self {
        let mut script = Self { events: Vec::new(), op_last: 0 };
        for (queue, dead_letter, ordered_groups) in [("q", Some("d"), false), ("g", None, true)] {
            let (queue, dead_letter) = (queue.to_owned(), dead_letter.map(str::to_owned));
            script.done(Step::DeclareQueue { queue, dead_letter, ordered_groups }, Step::Ok);
        }
        script
    }

    fn push(&mut self, op: u64, step: Step) {
        let at = self.events.len() as u64;
        self.events.push(Event { at, client: "c".to_owned(), op, step });
    }

    fn invoke(&mut self, step: Step) -> u64 {
        self.op_last += 1;
        self.push(self.op_last, step);
        self.op_last
    }

    fn done(&mut self, step: Step, result: Step) {
        let op = self.invoke(step);
        self.push(op, result);
    }

    fn put_with(&mut self, queue: &str, value: &str, group: Option<&str>, result: Step) {
        let (queues, value) = (vec![queue.to_owned()], value.to_owned());
        let (group, not_before_ms) = (group.map(str::to_owned), None);
        self.done(Step::Enqueue { queues, value, group, not_before_ms, unit: None }, result);
    }

    fn put(&mut self, queue: &str, value: &str) {
        self.put_with(queue, value, (queue == "g").then_some("one"), Step::Ok);
    }

    fn receive(&mut self, queue: &str) -> u64 {
        self.invoke(Step::Receive { queue: queue.to_owned() })
    }

    fn got(&mut self, op: u64, queue: &str, at_ms: i64, lines: &[Line]) {
        let delivered = |(value, token, count, until): &Line| Delivered {
            value: (*value).to_owned(),
            token: (*token).to_owned(),
            count: Some(*count),
            until_ms: Some(*until),
        };
        let (queue, deliveries) = (queue.to_owned(), lines.iter().map(delivered).collect());
        self.push(op, Step::ReceiveOk { queue, at_ms, deliveries });
    }

    /// A receive with its answer.
    fn get(&mut self, queue: &str, at_ms: i64, lines: &[Line]) {
        let op = self.receive(queue);
        self.got(op, queue, at_ms, lines);
    }

    fn settle_with(&mut self, queue: &str, token: &str, outcome: Settlement, result: Step) {
        let (queue, token) = (queue.to_owned(), token.to_owned());
        self.done(Step::Settle { queue, token, outcome }, result);
    }

    fn settle(&mut self, queue: &str, token: &str, outcome: Settlement) {
        self.settle_with(queue, token, outcome, Step::Ok);
    }

    fn emptied(&mut self, queue: &str) {
        self.push(0, Step::Emptied { queue: queue.to_owned() });
    }

    fn check(&self) -> Report {
        check(&self.events, Options { drain_required: false }).unwrap()
    }
}

const ACCEPT: Settlement = Settlement::Accept;
const REJECT: Settlement = Settlement::Reject;

fn unknown() -> Step {
    Step::Unknown { reason: "died".to_owned() }
}

fn script(write: impl FnOnce(&mut Script)) -> Script {
    let mut script = Script::new();
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
fn an_acknowledged_publish_is_settled_before_its_queue_is_empty() {
    let write = |settle: Option<Step>| {
        move |s: &mut Script| {
            s.put("q", "a");
            s.get("q", 1, &[("a", "1", 0, 9)]);
            if let Some(result) = settle {
                s.settle_with("q", "1", ACCEPT, result);
            }
            s.emptied("q");
            s.emptied("d");
        }
    };
    good(write(Some(Step::Ok)));
    good(write(Some(unknown())));
    breaks(Rule::NothingLost, write(None));
    breaks(Rule::NothingLost, write(Some(Step::Fail { reason: "lost".to_owned() })));
    breaks(Rule::NothingLost, |s| {
        s.put("q", "a");
        s.emptied("q");
        s.emptied("d");
    });
    good(|s| {
        s.put_with("q", "a", None, unknown());
        s.emptied("q");
        s.emptied("d");
    });
}

#[test]
fn a_queue_that_was_not_emptied_proves_nothing() {
    let mut s = script(|s| s.put("g", "a"));
    let options = Options { drain_required: true };
    assert!(check(&s.events, options).unwrap().breaks(Rule::Drained));
    s.get("g", 1, &[("a", "1", 0, 9)]);
    s.settle("g", "1", ACCEPT);
    s.emptied("g");
    assert!(check(&s.events, options).unwrap().is_good());
    s.put("g", "b");
    assert!(check(&s.events, options).unwrap().breaks(Rule::Drained));
}

#[test]
fn a_confirmed_settlement_is_not_undone() {
    let write = |outcome: Settlement, result: Step| {
        move |s: &mut Script| {
            s.put("g", "a");
            s.get("g", 1, &[("a", "1", 0, 9)]);
            s.settle_with("g", "1", outcome, result);
            s.push(0, Step::Crash);
            s.get("g", 20, &[("a", "2", 1, 29)]);
        }
    };
    breaks(Rule::SettledStays, write(ACCEPT, Step::Ok));
    breaks(Rule::SettledStays, write(REJECT, Step::Ok));
    good(write(Settlement::Release, Step::Ok));
    good(write(ACCEPT, unknown()));
    good(|s| {
        s.put("g", "a");
        let late = s.receive("g");
        s.get("g", 1, &[("a", "1", 0, 3)]);
        s.got(late, "g", 4, &[("a", "2", 1, 9)]);
        s.settle("g", "2", ACCEPT);
    });
}

#[test]
fn a_delivery_count_never_falls() {
    let write = |second: u32| {
        move |s: &mut Script| {
            s.put("q", "a");
            s.get("q", 1, &[("a", "1", 1, 5)]);
            s.get("q", 6, &[("a", "2", second, 9)]);
        }
    };
    good(write(1));
    good(write(2));
    breaks(Rule::CountKept, write(0));
    let after_a_crash = |confirmed: bool| {
        move |s: &mut Script| {
            s.put("q", "a");
            s.get("q", 1, &[("a", "1", 1, 5)]);
            if confirmed {
                s.put("q", "b");
            }
            s.push(0, Step::Crash);
            s.get("q", 6, &[("a", "2", 0, 9)]);
        }
    };
    good(after_a_crash(false));
    breaks(Rule::CountKept, after_a_crash(true));
}

#[test]
fn a_timed_lock_has_one_holder() {
    let second = |at_ms: i64, count: u32, between: fn(&mut Script)| {
        move |s: &mut Script| {
            s.put("q", "a");
            s.get("q", 1, &[("a", "1", 0, 10)]);
            between(s);
            s.get("q", at_ms, &[("a", "2", count, 20)]);
        }
    };
    good(second(10, 1, |_| {}));
    breaks(Rule::OneHolder, second(9, 1, |_| {}));
    good(second(9, 1, |s| s.settle("q", "1", Settlement::Release)));
    let extend = |s: &mut Script| s.settle("q", "1", Settlement::Extend { until_ms: 15 });
    breaks(Rule::OneHolder, second(12, 1, extend));
    good(second(15, 1, extend));
    // The note of a delivery may be lost in a crash, unless something later was confirmed.
    good(second(9, 0, |s| s.push(0, Step::Crash)));
    breaks(
        Rule::OneHolder,
        second(9, 1, |s| {
            s.put("q", "b");
            s.push(0, Step::Crash);
        }),
    );
}

#[test]
fn a_dead_message_is_in_its_dead_letter_queue_alone() {
    let dead = |s: &mut Script| {
        s.put("q", "a");
        s.get("q", 1, &[("a", "1", 0, 5)]);
        s.settle_with("q", "1", REJECT, unknown());
    };
    let end = |s: &mut Script| {
        s.emptied("q");
        s.emptied("d");
    };
    good(|s| {
        dead(s);
        s.get("d", 2, &[("a", "7", 0, 9)]);
        s.settle("d", "7", ACCEPT);
        end(s);
    });
    breaks(Rule::NothingLost, |s| {
        dead(s);
        end(s);
    });
    breaks(Rule::OneQueue, |s| {
        dead(s);
        s.get("d", 2, &[("a", "7", 0, 9)]);
        s.settle("d", "7", ACCEPT);
        s.get("q", 10, &[("a", "2", 1, 20)]);
    });
}

#[test]
fn a_group_keeps_its_order_one_after_the_other() {
    let write = |first: fn(&mut Script)| {
        move |s: &mut Script| {
            s.put("g", "a");
            s.put("g", "b");
            first(s);
            s.get("g", 2, &[("b", "2", 0, 9)]);
        }
    };
    good(write(|s| {
        s.get("g", 1, &[("a", "1", 0, 9)]);
        s.settle_with("g", "1", ACCEPT, unknown());
    }));
    breaks(Rule::GroupOrder, write(|_| {}));
    breaks(Rule::GroupOrder, write(|s| s.get("g", 1, &[("a", "1", 0, 9)])));
    let together = |lines: &'static [Line]| {
        move |s: &mut Script| {
            s.put("g", "a");
            s.put("g", "b");
            s.get("g", 1, lines);
        }
    };
    good(together(&[("a", "1", 0, 9), ("b", "2", 0, 9)]));
    breaks(Rule::GroupOrder, together(&[("b", "2", 0, 9), ("a", "1", 0, 9)]));
    good(|s| {
        s.put("g", "a");
        s.put_with("g", "b", Some("other"), Step::Ok);
        s.get("g", 1, &[("b", "1", 0, 9)]);
    });
}

#[test]
fn nothing_is_delivered_before_its_time() {
    let write = |at_ms: i64| {
        move |s: &mut Script| {
            let (queues, value) = (vec!["q".to_owned()], "a".to_owned());
            let not_before_ms = Some(100);
            let enqueue = Step::Enqueue { queues, value, group: None, not_before_ms, unit: None };
            s.done(enqueue, Step::Ok);
            s.get("q", at_ms, &[("a", "1", 0, 200)]);
        }
    };
    good(write(100));
    breaks(Rule::NotEarly, write(99));
}

#[test]
fn a_unit_takes_effect_as_a_whole_or_not_at_all() {
    // Whether what was published in it was seen, and what was accepted in it seen again.
    let write = |arrived: bool, again: bool, result: Step| {
        move |s: &mut Script| {
            s.put("q", "a");
            s.get("q", 1, &[("a", "1", 0, 9)]);
            let unit = Some(("q".to_owned(), "1".to_owned()));
            let (queues, value) = (vec!["g".to_owned()], "b".to_owned());
            let enqueue = Step::Enqueue { queues, value, group: None, not_before_ms: None, unit };
            s.done(enqueue, result.clone());
            s.settle_with("q", "1", ACCEPT, result);
            if arrived {
                s.get("g", 20, &[("b", "2", 0, 29)]);
                s.settle("g", "2", ACCEPT);
            }
            if again {
                s.get("q", 20, &[("a", "3", 1, 29)]);
                s.settle("q", "3", ACCEPT);
            }
            ["q", "d", "g"].iter().for_each(|queue| s.emptied(queue));
        }
    };
    good(write(true, false, Step::Ok));
    good(write(true, false, unknown()));
    good(write(false, true, unknown()));
    good(write(false, true, Step::Fail { reason: "lost".to_owned() }));
    breaks(Rule::UnitWhole, write(true, true, unknown()));
    breaks(Rule::UnitWhole, write(false, false, unknown()));
}

#[test]
fn what_is_delivered_was_published_there_and_not_refused() {
    breaks(Rule::NothingInvented, |s| s.get("q", 1, &[("x", "1", 0, 9)]));
    breaks(Rule::RightPlace, |s| {
        s.put("q", "a");
        s.get("g", 1, &[("a", "1", 0, 9)]);
    });
    breaks(Rule::NothingRefusedVisible, |s| {
        s.put_with("q", "a", None, Step::Fail { reason: "full".to_owned() });
        s.get("q", 1, &[("a", "1", 0, 9)]);
    });
}

#[test]
fn a_client_that_is_sent_messages_has_no_receives() {
    let write = |attach_again: bool| {
        move |s: &mut Script| {
            s.put("g", "a");
            s.push(0, Step::Attach { queue: "g".to_owned() });
            s.got(0, "g", 1, &[("a", "1", 0, 9)]);
            s.settle("g", "1", ACCEPT);
            if attach_again {
                s.push(0, Step::Attach { queue: "g".to_owned() });
            }
            s.got(0, "g", 30, &[("a", "2", 1, 39)]);
        }
    };
    good(write(false));
    breaks(Rule::SettledStays, write(true));
}

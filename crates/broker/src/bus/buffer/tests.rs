use super::*;
use proptest::prelude::*;

fn key(of: u8) -> LatestKey {
    LatestKey(ChannelName::parse("c").unwrap(), Some(of.to_string().into()))
}

fn message(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn push(buffer: &mut Buffer, text: &'static str, policy: SlowConsumer, of: u8) -> Pushed {
    buffer.push(message(text), Treatment { policy, bytes_max: 4 }, || key(of))
}

/// Everything that waits, written `at_once` bytes at a time.
fn write_all(buffer: &mut Buffer, at_once: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = buffer.slices(&mut slices);
        let next: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = next.len().min(at_once);
        all.extend_from_slice(&next[..taken]);
        buffer.advance(taken);
        if taken == 0 {
            return all;
        }
    }
}

#[test]
fn the_oldest_go_first_but_never_what_is_half_written() {
    let mut buffer = Buffer::default();
    for text in ["aa", "bb"] {
        assert!(push(&mut buffer, text, SlowConsumer::DropOldest, 0).kept);
    }
    buffer.advance(1);
    let pushed = push(&mut buffer, "cc", SlowConsumer::DropOldest, 0);
    assert_eq!((pushed.kept, pushed.dropped), (true, 1));
    assert_eq!(buffer.take_untold(), None, "a notice cannot stand inside a message");
    buffer.advance(1);
    assert_eq!(buffer.take_untold(), Some(1));
    buffer.push_notice_first(message("!"));
    assert_eq!(write_all(&mut buffer, 1), b"!cc");
    assert!(buffer.is_empty());
    assert_eq!((buffer.bytes(), buffer.lost()), (0, (1, 0)));
}

#[test]
fn an_answer_comes_before_what_was_dropped_behind_it() {
    let mut buffer = Buffer::default();
    buffer.push_notice(message("subscribed "));
    for text in ["aa", "bb", "cc"] {
        push(&mut buffer, text, SlowConsumer::DropOldest, 0);
    }
    assert_eq!(buffer.take_untold(), Some(1));
    buffer.push_notice_first(message("-1 "));
    push(&mut buffer, "dd", SlowConsumer::DropOldest, 0);
    assert_eq!(buffer.take_untold(), Some(1));
    assert_eq!(write_all(&mut buffer, 3), b"subscribed -1 ccdd");
}

#[test]
fn the_newest_is_dropped_or_the_receiver_is_cut_off() {
    let mut buffer = Buffer::default();
    push(&mut buffer, "aaaaaa", SlowConsumer::DropNewest, 0);
    let pushed = push(&mut buffer, "b", SlowConsumer::DropNewest, 0);
    assert_eq!((pushed.kept, pushed.dropped, pushed.cut_off), (false, 1, false));
    let pushed = push(&mut buffer, "b", SlowConsumer::Disconnect, 0);
    assert_eq!((pushed.kept, pushed.dropped, pushed.cut_off), (false, 0, true));
    buffer.tell_lost(|count| Bytes::from(format!("-{count}")));
    assert_eq!(write_all(&mut buffer, 9), b"aaaaaa-1", "one message always fits");
}

#[test]
fn what_is_lost_is_told_in_its_place() {
    let tell = |count| Bytes::from(format!("-{count}"));
    let mut buffer = Buffer::default();
    for text in ["aaa", "bb", "cc", "d", "ee"] {
        push(&mut buffer, text, SlowConsumer::DropNewest, 0);
    }
    buffer.tell_lost(tell);
    assert_eq!(write_all(&mut buffer, 2), b"aaa-2d-1");

    for text in ["aa", "bb"] {
        push(&mut buffer, text, SlowConsumer::DropOldest, 0);
    }
    buffer.advance(1);
    push(&mut buffer, "ccc", SlowConsumer::DropOldest, 0);
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    assert_eq!(buffer.slices(&mut slices), 1, "the notice comes before what follows");
}

#[test]
fn nothing_but_what_is_half_written_stays_when_all_goes() {
    let mut buffer = Buffer::default();
    for text in ["aa", "bb"] {
        push(&mut buffer, text, SlowConsumer::Conflate, 0);
        buffer.advance(usize::from(text == "aa"));
    }
    buffer.push_notice(message("notice"));
    buffer.clear();
    assert_eq!(buffer.bytes(), 1);
    push(&mut buffer, "c", SlowConsumer::Conflate, 0);
    assert_eq!(write_all(&mut buffer, 9), b"ac");
    assert!(buffer.is_empty());
}

#[test]
fn the_latest_of_each_key_takes_the_place_of_the_one_before() {
    let mut buffer = Buffer::default();
    for (text, of) in [("a1", 1), ("b1", 2), ("a2", 1)] {
        push(&mut buffer, text, SlowConsumer::Conflate, of);
    }
    assert_eq!(buffer.lost(), (0, 1));
    assert_eq!(write_all(&mut buffer, 1), b"b1a2");
    push(&mut buffer, "a3", SlowConsumer::Conflate, 1);
    buffer.advance(1);
    push(&mut buffer, "a4", SlowConsumer::Conflate, 1);
    assert_eq!(write_all(&mut buffer, 1), b"3a4", "what is half written is written whole");
}

#[test]
fn notices_are_never_dropped() {
    let mut buffer = Buffer::default();
    buffer.push_notice(message("notice"));
    push(&mut buffer, "aaaa", SlowConsumer::DropOldest, 0);
    push(&mut buffer, "bbbb", SlowConsumer::DropOldest, 0);
    assert_eq!(write_all(&mut buffer, 3), b"noticebbbb");
}

#[test]
fn who_has_notices_to_take_is_not_slow_for_that() {
    let mut buffer = Buffer::default();
    buffer.push_notice(message("a last value"));
    for text in ["aa", "bb"] {
        let pushed = push(&mut buffer, text, SlowConsumer::Disconnect, 0);
        assert_eq!((pushed.kept, pushed.cut_off), (true, false), "{text}");
    }
    assert!(push(&mut buffer, "c", SlowConsumer::Disconnect, 0).cut_off);
    assert_eq!(write_all(&mut buffer, 5), b"a last valueaabb");
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, u8, usize),
    Notice,
    Write(usize),
    Tell,
}

fn steps() -> impl Strategy<Value = (SlowConsumer, Vec<Step>)> {
    let policy = prop_oneof![
        Just(SlowConsumer::DropOldest),
        Just(SlowConsumer::DropNewest),
        Just(SlowConsumer::Conflate),
    ];
    let step = prop_oneof![
        8 => (any::<u8>(), 0..3_u8, 1..9_usize).prop_map(|(tag, of, len)| Step::Push(tag, of, len)),
        1 => Just(Step::Notice),
        3 => (0..12_usize).prop_map(Step::Write),
        1 => Just(Step::Tell),
    ];
    (policy, proptest::collection::vec(step, 1..120))
}

/// What waits, as a plain list.
#[derive(Default)]
struct Model {
    /// Bytes, the key, and whether it is a notice.
    waiting: Vec<(Vec<u8>, u8, bool)>,
    written: usize,
    dropped: u64,
    conflated: u64,
}

impl Model {
    fn bytes(&self) -> usize {
        self.waiting.iter().map(|(bytes, ..)| bytes.len()).sum::<usize>() - self.written
    }

    /// Of messages alone.
    fn message_bytes(&self) -> usize {
        let written = self.waiting.first().filter(|first| !first.2).map_or(0, |_| self.written);
        let messages = self.waiting.iter().filter(|waiting| !waiting.2);
        messages.map(|(bytes, ..)| bytes.len()).sum::<usize>() - written
    }

    fn droppable(&self) -> usize {
        usize::from(self.written > 0)
    }

    fn push(&mut self, bytes: Vec<u8>, of: u8, policy: SlowConsumer, max: usize) {
        let is_behind = self.waiting.iter().any(|(_, _, notice)| !notice);
        if policy == SlowConsumer::Conflate {
            let from = self.droppable();
            let same = self.waiting.iter().skip(from).position(|w| !w.2 && w.1 == of);
            if let Some(at) = same {
                self.waiting.remove(at + from);
                self.conflated += 1;
            }
        }
        if is_behind && self.message_bytes() + bytes.len() > max {
            if policy == SlowConsumer::DropNewest {
                self.dropped += 1;
                // The place of what is to be told, once for all that are lost there.
                if self.waiting.last().is_some_and(|(bytes, ..)| !bytes.is_empty()) {
                    self.waiting.push((Vec::new(), 0, true));
                }
                return;
            }
            while self.message_bytes() + bytes.len() > max {
                let from = self.droppable();
                let Some(at) = self.waiting.iter().skip(from).position(|w| !w.2) else { break };
                self.waiting.remove(at + from);
                self.dropped += 1;
            }
        }
        self.waiting.push((bytes, of, false));
    }

    fn write(&mut self, count: usize) -> Vec<u8> {
        let all: Vec<u8> = self.waiting.iter().flat_map(|w| w.0.clone()).collect();
        let taken = all[self.written..].iter().copied().take(count).collect::<Vec<u8>>();
        self.written += taken.len();
        while self.waiting.first().is_some_and(|first| self.written >= first.0.len()) {
            self.written -= self.waiting.remove(0).0.len();
        }
        taken
    }
}

proptest! {
    #[test]
    fn it_holds_what_a_plain_list_holds((policy, steps) in steps()) {
        const MAX: usize = 24;
        let (mut buffer, mut model) = (Buffer::default(), Model::default());
        let mut untold = 0;
        for step in steps {
            match step {
                Step::Push(tag, of, len) => {
                    let bytes = vec![tag; len];
                    let before = model.dropped;
                    model.push(bytes.clone(), of, policy, MAX);
                    let pushed =
                        buffer.push(bytes.into(), Treatment { policy, bytes_max: MAX }, || key(of));
                    prop_assert_eq!(pushed.dropped, model.dropped - before);
                    untold += pushed.dropped;
                }
                Step::Notice => {
                    buffer.push_notice(Bytes::from_static(b"notice"));
                    model.waiting.push((b"notice".to_vec(), 0, true));
                }
                Step::Write(count) => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let n = buffer.slices(&mut slices);
                    let next: Vec<u8> =
                        slices[..n].iter().flat_map(|s| s.to_vec()).take(count).collect();
                    buffer.advance(next.len());
                    let written = model.write(next.len());
                    prop_assert_eq!(next, written);
                }
                Step::Tell => {
                    if let Some(count) = buffer.take_untold() {
                        prop_assert_eq!(count, untold);
                        untold = 0;
                        buffer.push_notice_first(Bytes::from_static(b"dropped"));
                        let at = model.waiting.iter().take_while(|w| w.2).count();
                        model.waiting.insert(at, (b"dropped".to_vec(), 0, true));
                    }
                    buffer.tell_lost(|_| Bytes::from_static(b"lost"));
                    for (bytes, ..) in model.waiting.iter_mut().filter(|w| w.0.is_empty()) {
                        *bytes = b"lost".to_vec();
                    }
                }
            }
            prop_assert_eq!(buffer.bytes(), model.bytes());
            prop_assert_eq!(buffer.lost(), (model.dropped, model.conflated));
        }
        let rest = model.write(usize::MAX);
        prop_assert_eq!(write_all(&mut buffer, 7), rest);
        prop_assert!(buffer.is_empty());
    }
}

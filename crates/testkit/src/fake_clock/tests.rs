use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn at(seconds: u64) -> Option<Monotonic> {
    Some(Monotonic::from_origin(Duration::from_secs(seconds)))
}

#[test]
fn advance_wakes_those_who_are_due_and_no_others() {
    let clock = FakeClock::new();
    let wakes = [Arc::new(Wakes::default()), Arc::new(Wakes::default())];
    let mut sleeps = [clock.sleep_until(at(1)), clock.sleep_until(at(3))];
    let mut poll = |i: usize| {
        let waker = Waker::from(Arc::clone(&wakes[i]));
        sleeps[i].as_mut().poll(&mut Context::from_waker(&waker))
    };
    assert!(poll(0).is_pending() && poll(1).is_pending());
    assert_eq!(clock.deadline_next(), at(1));

    clock.advance(Duration::from_secs(1));

    assert_eq!(wakes[0].0.load(Ordering::SeqCst), 1);
    assert_eq!(wakes[1].0.load(Ordering::SeqCst), 0);
    assert!(poll(0).is_ready() && poll(1).is_pending());
    assert_eq!(clock.deadline_next(), at(3));
}

#[test]
fn a_dropped_sleeper_leaves_the_clock() {
    let clock = FakeClock::new();
    let mut sleep = clock.sleep_until(at(1));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(clock.sleepers(), 1);
    drop(sleep);
    assert_eq!(clock.sleepers(), 0);
}

#[test]
fn a_step_of_the_wall_clock_expires_nothing() {
    let clock = FakeClock::new();
    let mut sleep = clock.sleep_until(at(1));
    clock.set_wall(Timestamp::from_millis(i64::MAX));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(clock.monotonic(), Monotonic::default());
}

#[test]
fn sleeping_without_a_deadline_never_ends() {
    let clock = FakeClock::new();
    let mut sleep = clock.sleep_until(None);
    clock.advance(Duration::MAX);
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

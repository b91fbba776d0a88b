use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_secs(seconds))
}

fn millis(millis: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_millis(millis))
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

/// A window after commits of (second, offset, lag).
fn window(commits: &[(u64, u64, u64)]) -> Window {
    let mut window = Window::new(&Arc::default()).unwrap();
    for (second, committed, lag) in commits {
        window.handle_commit(at(*second), offset(*committed), *lag);
    }
    window
}

/// One commit every five seconds.
fn every_five(commits: &[(u64, u64)]) -> (Window, Monotonic) {
    let commits: Vec<_> =
        (1..).zip(commits).map(|(n, (committed, lag))| (n * 5, *committed, *lag)).collect();
    let last = commits.last().unwrap().0;
    (window(&commits), at(last + 1))
}

#[test]
fn the_table_of_the_documentation_holds() {
    use LagState::{Ok, Rewind, Stall, Warn};
    for (commits, lag, expected) in [
        (&[(10, 5), (20, 5), (30, 4)][..], 4, Ok),
        (&[(10, 5), (20, 0), (30, 9), (40, 9)], 9, Ok),
        (&[(10, 5), (20, 6), (30, 7)], 0, Ok),
        (&[(10, 5), (20, 6), (30, 7)], 7, Warn),
        (&[(10, 5), (20, 5), (30, 5)], 5, Warn),
        (&[(10, 5), (20, 6), (30, 5), (40, 7)], 7, Ok),
        (&[(10, 5), (10, 6), (10, 9)], 9, Stall),
        (&[(10, 5), (10, 5), (10, 5)], 5, Stall),
        (&[(10, 5), (10, 5), (11, 5)], 5, Warn),
        (&[(10, 5), (20, 5), (15, 10), (25, 9)], 9, Rewind),
        (&[(10, 5), (20, 5), (15, 0), (25, 9)], 9, Ok),
        (&[(10, 5), (20, 6)], 6, Ok),
        (&[(10, 5), (10, 6)], 6, Ok),
        (&[(20, 5), (10, 15)], 15, Rewind),
    ] {
        let (window, now) = every_five(commits);
        assert_eq!(window.state(now, lag), expected, "{commits:?} and now {lag}");
    }
}

#[test]
fn a_silence_longer_than_the_window_is_a_stop() {
    let window = window(&[(0, 10, 5), (5, 20, 6), (10, 30, 6), (15, 40, 6)]);
    assert_eq!(window.state(at(30), 8), LagState::Warn, "the window is 15 s long");
    assert_eq!(window.state(at(31), 8), LagState::Stop);
    assert_eq!(window.state(at(31), 0), LagState::Ok, "there is nothing to read");
}

#[test]
fn a_short_window_waits_the_least_silence() {
    let window = window(&[(100, 10, 5)]);
    assert_eq!(window.state(at(110), 5), LagState::Ok);
    assert_eq!(window.state(at(111), 5), LagState::Stop);
}

#[test]
fn a_reader_that_caught_up_and_died_has_stopped_nevertheless() {
    let mut window = window(&[(0, 10, 0), (5, 20, 0), (10, 30, 0)]);
    // Nothing was published for a long time, and so nothing was committed.
    window.handle_caught_up(at(500));
    assert_eq!(window.state(at(505), 3), LagState::Ok, "there is something since a moment ago");
    assert_eq!(window.state(at(511), 3), LagState::Stop);
}

#[test]
fn a_reader_that_goes_on_after_a_stop_is_well_again() {
    let mut window = window(&[(0, 10, 5), (5, 20, 5)]);
    assert_eq!(window.state(at(100), 50), LagState::Stop);
    window.handle_commit(at(101), offset(60), 10);
    assert_eq!(window.state(at(102), 10), LagState::Warn, "it is further behind than before");
    window.handle_commit(at(106), offset(70), 4);
    assert_eq!(window.state(at(107), 4), LagState::Ok);
}

#[test]
fn a_rewind_is_forgotten_when_the_window_has_moved_past_it() {
    let mut window = window(&[(0, 100, 5), (2, 50, 55)]);
    let mut lag = 55;
    for step in 0..9 {
        assert_eq!(window.state(at(3 + step * 2), lag), LagState::Rewind, "step {step}");
        lag -= 5;
        window.handle_commit(at(4 + step * 2), offset(51 + step), lag);
    }
    assert_eq!(window.state(at(25), lag), LagState::Ok);
}

#[test]
fn commits_within_a_second_are_one_step_and_keep_their_least_lag() {
    let mut window = Window::new(&Arc::default()).unwrap();
    for n in 0..100 {
        window.handle_commit(millis(n * 10), offset(n), if n == 50 { 0 } else { 9 });
    }
    assert_eq!(window.len(), 1);
    assert_eq!(window.state(at(1), 9), LagState::Ok);
    // One that goes back is a step of its own, or it would be overlooked.
    window.handle_commit(millis(995), offset(3), 9);
    assert_eq!(window.len(), 2);
}

#[test]
fn a_window_of_quick_commits_is_seconds_long() {
    let mut window = Window::new(&Arc::default()).unwrap();
    for n in 0..1000 {
        window.handle_commit(millis(n * 20), offset(n), 5);
    }
    assert_eq!(window.len(), limits::LAG_WINDOW_COMMITS);
    assert_eq!(window.state(at(29), 5), LagState::Warn);
    assert_eq!(window.state(at(31), 5), LagState::Stop);
}

#[test]
fn no_more_windows_are_kept_than_the_limit() {
    let counted = Arc::new(());
    let kept: Vec<_> = std::iter::from_fn(|| Window::new(&counted)).collect();
    assert_eq!(kept.len(), limits::LAG_WINDOWS_MAX);
    drop(kept);
    assert!(Window::new(&counted).is_some());
}

/// The rules once more, over all commits ever made and without any bound.
fn naive(commits: &[(Monotonic, u64, u64)], now: Monotonic, lag: u64) -> LagState {
    let mut steps: Vec<(Monotonic, Monotonic, u64, u64)> = Vec::new();
    for (time, offset, of_commit) in commits {
        match steps.last_mut() {
            Some((first, last, seen, least)) if *offset >= *seen && time.since(*first) < STEP => {
                (*last, *seen, *least) = (*time, *offset, (*least).min(*of_commit));
            }
            _ => steps.push((*time, *time, *offset, *of_commit)),
        }
    }
    let steps = &steps[steps.len().saturating_sub(10)..];
    if steps.is_empty() || lag == 0 {
        return LagState::Ok;
    }
    let zero = commits.iter().filter(|(_, _, lag)| *lag == 0).map(|(time, ..)| *time).max();
    let last = steps[steps.len() - 1].1;
    let heard = zero.map_or(last, |zero| zero.max(last));
    if now.since(heard) > last.since(steps[0].0).max(Duration::from_secs(10)) {
        return LagState::Stop;
    }
    if steps.iter().any(|(.., lag)| *lag == 0) {
        return LagState::Ok;
    }
    let offsets: Vec<_> = steps.iter().map(|step| step.2).collect();
    let lags: Vec<_> = steps.iter().map(|step| step.3).collect();
    match () {
        () if !offsets.is_sorted() => LagState::Rewind,
        () if steps.len() < 3 => LagState::Ok,
        () if offsets.iter().all(|offset| *offset == offsets[0]) => LagState::Stall,
        () if lags.is_sorted() => LagState::Warn,
        () => LagState::Ok,
    }
}

proptest! {
    #[test]
    fn a_bounded_window_judges_as_all_commits_would(
        commits in prop::collection::vec((0..8_000_u64, 0..6_u64, 0..5_u64), 0..40),
        (silence, lag) in (0..60_000_u64, 0..4_u64),
        scale in 1..2_000_u64,
    ) {
        let mut window = Window::new(&Arc::default()).unwrap();
        let (mut time, mut base, mut all) = (0, 100, Vec::new());
        for (pause, step, lag) in commits {
            time += pause % scale;
            base += step;
            // Now and then one goes back.
            let committed = if step == 5 { base - 7 } else { base };
            window.handle_commit(millis(time), offset(committed), lag);
            all.push((millis(time), committed, lag));
            prop_assert!(window.len() <= limits::LAG_WINDOW_COMMITS);
        }
        let now = millis(time + silence);
        prop_assert_eq!(window.state(now, lag), naive(&all, now, lag));
    }
}

use super::*;
use futures_util::task::noop_waker;

fn ask(share: &mut Share, wanted: usize, needed: usize) -> Poll<usize> {
    share.poll_grow(&Context::from_waker(&noop_waker()), wanted, needed)
}

#[test]
fn shares_fit_together_and_are_given_back() {
    let budget = Budget::new(100);
    let (mut a, mut b) = (budget.share(), budget.share());
    assert_eq!(ask(&mut a, 60, 60), Poll::Ready(60));
    assert_eq!(ask(&mut b, 60, 40), Poll::Ready(40));
    assert!(budget.is_used_up());
    assert!(!a.try_grow(1));
    drop(b);
    assert_eq!(budget.used(), 60);
    a.shrink_to(10);
    assert!(a.try_grow(90));
    assert!(!a.try_grow(usize::MAX));
}

#[test]
fn who_needs_more_than_there_is_goes_on_alone() {
    let budget = Budget::new(100);
    let mut shares: Vec<_> = (0..4).map(|_| budget.share()).collect();
    for share in &mut shares {
        assert_eq!(ask(share, 25, 25), Poll::Ready(25));
    }
    assert_eq!(ask(&mut shares[0], 50, 500), Poll::Ready(500));
    for share in &mut shares[1..] {
        assert_eq!(ask(share, 50, 500), Poll::Pending);
    }
    // Its own next request waits as well: privilege is for one.
    assert_eq!(ask(&mut shares[0], 1, 1), Poll::Pending);
    shares[0].stop_waiting();
    shares[0].shrink_to(0);
    assert_eq!(ask(&mut shares[2], 50, 500), Poll::Pending, "it is not the first of the queue");
    assert_eq!(ask(&mut shares[1], 50, 500), Poll::Ready(500));
    assert_eq!(ask(&mut shares[2], 50, 500), Poll::Pending);
    drop(shares.remove(1));
    assert_eq!(ask(&mut shares[1], 50, 500), Poll::Ready(50), "there is room for a piece");
}

#[test]
fn one_that_goes_away_lets_the_next_have_its_turn() {
    let budget = Budget::new(10);
    let (mut a, mut b, mut c) = (budget.share(), budget.share(), budget.share());
    assert!(a.try_grow(10));
    assert_eq!(ask(&mut b, 5, 20), Poll::Ready(20));
    assert_eq!(ask(&mut c, 5, 20), Poll::Pending);
    let mut d = budget.share();
    assert_eq!(ask(&mut d, 1, 1), Poll::Pending);
    drop(b);
    drop(c);
    assert_eq!(ask(&mut d, 1, 1), Poll::Ready(1));
    drop((a, d));
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_could_not_wait_is_counted_all_the_same() {
    let budget = Budget::new(10);
    let mut forced = budget.share();
    forced.charge(50);
    let mut other = budget.share();
    assert_eq!(ask(&mut other, 5, 5), Poll::Ready(5), "it has the privilege");
    let mut third = budget.share();
    assert_eq!(ask(&mut third, 1, 1), Poll::Pending);
    forced.charge(0);
    assert_eq!(ask(&mut third, 1, 1), Poll::Ready(1));
}

/// Every mixture of big and small needs ends, and never holds more than allowed.
#[test]
fn no_mixture_of_needs_gets_stuck() {
    let budget = Budget::new(1000);
    // So many bytes each, in pieces of 64 that are held until all have come.
    let needs: Vec<usize> = (0..40).map(|n| 10 + (n * 7919) % 2500).collect();
    let largest = *needs.iter().max().unwrap();
    let mut open: Vec<_> = needs.iter().map(|need| (budget.share(), *need)).collect();
    let mut rounds = 0;
    while !open.is_empty() {
        for (share, need) in &mut open {
            let rest = *need - share.bytes();
            let _waits = ask(share, rest.min(64), rest);
        }
        assert!(budget.used() <= 1000 + largest, "{} are held", budget.used());
        open.retain(|(share, need)| share.bytes() < *need);
        rounds += 1;
        assert!(rounds < 10_000, "{} are stuck", open.len());
    }
    assert_eq!(budget.used(), 0);
}

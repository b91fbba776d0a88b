use super::*;
use proptest::prelude::*;
use std::time::Duration;
use tramline_broker::Place;

fn out(n: u64) -> Out {
    let token = LockToken { place: Place { lane: 0, offset: n }, sequence: n };
    Out { queue: 0, consumer: None, token, due: None }
}

fn settled(unacked: &mut Unacked, tag: u64, multiple: bool) -> Result<Vec<u64>, Refusal> {
    let mut settled = Vec::new();
    unacked.settle(tag, multiple, |_, out| settled.push(out.token.sequence))?;
    Ok(settled)
}

#[test]
fn each_number_is_settled_once() {
    let mut unacked = Unacked::default();
    for tag in [1, 2, 5, 6, 9] {
        unacked.push(tag, out(tag));
    }
    assert_eq!(settled(&mut unacked, 5, false), Ok(vec![5]));
    let refusal = Refusal::precondition("unknown delivery tag 5");
    assert_eq!(settled(&mut unacked, 5, false), Err(refusal.clone()));
    assert_eq!(settled(&mut unacked, 5, true), Err(refusal));
    assert_eq!(settled(&mut unacked, 4, false).unwrap_err().text, "unknown delivery tag 4");
    assert_eq!(settled(&mut unacked, 6, true), Ok(vec![1, 2, 6]));
    assert_eq!(unacked.len(), 1);
    assert_eq!(settled(&mut unacked, 0, true), Ok(vec![9]));
    assert_eq!(settled(&mut unacked, 0, true), Ok(vec![]), "none is fine");
    assert_eq!(settled(&mut unacked, 0, false).unwrap_err().text, "unknown delivery tag 0");
}

#[test]
fn gaps_behind_an_old_delivery_do_not_pile_up() {
    let mut unacked = Unacked::default();
    unacked.push(1, out(1));
    for tag in 2..100_000 {
        unacked.push(tag, out(tag));
        assert_eq!(settled(&mut unacked, tag, false), Ok(vec![tag]));
    }
    assert!(unacked.slots.len() <= 2048, "{} slots for one delivery", unacked.slots.len());
    assert_eq!(settled(&mut unacked, 1, false), Ok(vec![1]));
    assert_eq!((unacked.len(), unacked.late(Monotonic::default())), (0, None));
}

#[test]
fn what_is_put_back_is_out_again_in_its_place() {
    let mut unacked = Unacked::default();
    (1..=4).for_each(|tag| unacked.push(tag, out(tag)));
    settled(&mut unacked, 2, true).unwrap();
    settled(&mut unacked, 4, false).unwrap();
    unacked.put_back([(4, out(4)), (1, out(1))].into_iter());
    assert_eq!(unacked.len(), 3);
    assert_eq!(settled(&mut unacked, 0, true), Ok(vec![1, 3, 4]));
}

proptest! {
    #[test]
    fn a_channel_settles_what_a_naive_list_settles(
        steps in proptest::collection::vec((0u8..4, 0u64..40), 1..200),
    ) {
        let (mut unacked, mut naive) = (Unacked::default(), Vec::<u64>::new());
        let mut last = 0;
        for (step, tag) in steps {
            if step < 2 {
                last += 1 + u64::from(step);
                unacked.push(last, out(last));
                naive.push(last);
                continue;
            }
            let multiple = step == 3;
            let expected: Option<Vec<u64>> = if multiple && tag == 0 {
                Some(std::mem::take(&mut naive))
            } else if naive.contains(&tag) {
                let is_settled = |of: &u64| *of == tag || (multiple && *of < tag);
                let gone = naive.iter().copied().filter(is_settled).collect();
                naive.retain(|of| !is_settled(of));
                Some(gone)
            } else {
                None
            };
            prop_assert_eq!(settled(&mut unacked, tag, multiple).ok(), expected);
            prop_assert_eq!(unacked.len(), naive.len());
        }
    }
}

#[test]
fn the_one_that_is_due_first_is_late_until_it_is_settled() {
    let start = Monotonic::default();
    let at = |seconds| start.plus(Duration::from_secs(seconds));
    let due = |n, seconds| Out { due: Some(at(seconds)), ..out(n) };
    let mut unacked = Unacked::default();
    unacked.push(1, due(1, 30));
    unacked.push(2, due(2, 10));
    unacked.push(3, out(3));
    assert_eq!((unacked.poll_due(), unacked.late(at(9))), (Some(at(10)), None));
    assert_eq!(unacked.late(at(10)), Some(due(2, 10)));
    unacked.settle(2, false, |_, _| {}).unwrap();
    assert_eq!((unacked.late(at(10)), unacked.poll_due()), (None, Some(at(30))));
    assert_eq!(unacked.late(at(31)), Some(due(1, 30)));
    unacked.settle(0, true, |_, _| {}).unwrap();
    assert_eq!((unacked.late(at(31)), unacked.poll_due()), (None, None));
    unacked.put_back([(1, due(1, 40))].into_iter());
    assert_eq!(unacked.poll_due(), Some(at(40)));
}

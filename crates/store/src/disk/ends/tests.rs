use super::*;

fn log(id: u64) -> LogId {
    LogId(id)
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn told(ends: &Ends, entries_max: usize) -> (u64, Vec<(u64, u64, u32, bool)>) {
    let mut buf = AlignedBuf::default();
    let n = ends.encode(&mut buf, entries_max);
    let told = Told::decode(&buf).unwrap();
    let list = told
        .ends()
        .map(|end| (end.log.0, end.next.get(), end.touched, end.in_file_before))
        .collect::<Vec<_>>();
    assert_eq!(list.len(), usize::try_from(n).unwrap());
    (told.from, list)
}

fn touch(ends: &mut Ends, id: u64, next: u64, group: u64) {
    ends.touch(log(id), at(next), group);
}

#[test]
fn the_last_touched_come_first_and_a_cut_list_says_from_where_on_it_is_whole() {
    let mut ends = Ends::default();
    ends.begin(7, 6, 1);
    for group in 1..=4 {
        touch(&mut ends, group, group * 10, group);
    }
    touch(&mut ends, 1, 15, 5);
    ends.touch(log(2), Offset::ZERO, 5);
    let all = vec![(2, 20, 2, false), (1, 15, 2, false), (4, 40, 1, false), (3, 30, 1, false)];
    assert_eq!(told(&ends, 9), (0, all.clone()));
    assert_eq!(told(&ends, 3), (4, all[..3].to_vec()));
    assert_eq!(told(&ends, 0), (6, vec![]));
}

#[test]
fn the_next_file_tells_the_one_before_and_the_one_after_it_does_not() {
    let mut ends = Ends::default();
    ends.begin(1, 0, 1);
    touch(&mut ends, 1, 10, 1);
    touch(&mut ends, 2, 20, 2);
    ends.begin(3, 1, 3);
    assert!(ends.is_first(3));
    touch(&mut ends, 2, 25, 3);
    assert_eq!(told(&ends, 9), (1, vec![(2, 25, 1, false), (1, 10, 1, true)]));
    assert_eq!((ends.touched(log(1), 1), ends.touched(log(1), 3)), (1, 0));
    ends.begin(4, 3, 4);
    assert_eq!(told(&ends, 9), (3, vec![(2, 25, 1, true)]));
}

#[test]
fn a_deleted_log_is_not_told_and_one_of_its_name_counts_anew() {
    let mut ends = Ends::default();
    ends.begin(1, 0, 1);
    touch(&mut ends, 1, 10, 1);
    ends.forget(log(1));
    assert_eq!(told(&ends, 9), (0, vec![]));
    touch(&mut ends, 1, 2, 2);
    assert_eq!(told(&ends, 9), (0, vec![(1, 2, 1, false)]));
}

#[test]
fn after_damage_every_log_is_told_those_that_lost_something_first() {
    let mut ends = Ends::default();
    ends.begin(5, 4, 20);
    touch(&mut ends, 1, 10, 20);
    let logs = [(log(1), at(12)), (log(2), at(5)), (log(3), at(9))];
    ends.tell_all(logs.into_iter(), 20, |id| id == log(3));
    ends.begin(6, 5, 21);
    let all = vec![(3, 9, 0, true), (1, 12, 1, true), (2, 5, 0, true)];
    assert_eq!(told(&ends, 9), (0, all));
}

#[test]
fn what_is_recent_stays_small() {
    let mut ends = Ends::default();
    ends.begin(1, 0, 1);
    for group in 1..100_000 {
        touch(&mut ends, group % 3, group, group);
    }
    assert!(ends.recent.len() <= STALE_MIN + 7, "{}", ends.recent.len());
}

use super::*;
use tramline_record::Attributes;

fn batch(producer_id: i64, epoch: i16, first: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_length: 0,
        leader_epoch: 0,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id,
        producer_epoch: epoch,
        base_sequence: first,
        record_count: count,
    }
}

fn send(producers: &mut Producers, header: &BatchHeader, base: u64) -> Result<Verdict, Error> {
    let verdict = producers.check(header)?;
    if verdict == Verdict::Next {
        let base = Offset::new(base).expect("small");
        producers.record(&Entry::of(header, base, Timestamp::from_millis(1)));
    }
    Ok(verdict)
}

#[test]
fn the_last_five_batches_are_recognised_with_their_offsets() {
    let mut producers = Producers::default();
    for n in 0..7 {
        assert_eq!(
            send(&mut producers, &batch(9, 0, n * 10, 10), 100 + n as u64),
            Ok(Verdict::Next)
        );
    }
    for n in 2..7 {
        let again = producers.check(&batch(9, 0, n * 10, 10));
        assert_eq!(again, Ok(Verdict::Duplicate(Offset::new(100 + n as u64).unwrap())));
    }
    assert!(matches!(
        producers.check(&batch(9, 0, 10, 10)),
        Err(Error::OutOfOrderSequence { expected: 70, .. })
    ));
}

#[test]
fn a_gap_and_an_old_epoch_are_refused_and_a_new_epoch_starts_at_zero() {
    let mut producers = Producers::default();
    assert_eq!(send(&mut producers, &batch(1, 3, 42, 1), 0), Ok(Verdict::Next), "unknown id");
    assert!(matches!(
        producers.check(&batch(1, 3, 44, 1)),
        Err(Error::OutOfOrderSequence { expected: 43, .. })
    ));
    assert!(matches!(
        producers.check(&batch(1, 2, 43, 1)),
        Err(Error::InvalidProducerEpoch { current: 3, .. })
    ));
    assert!(producers.check(&batch(1, 4, 43, 1)).is_err());
    assert_eq!(send(&mut producers, &batch(1, 4, 0, 1), 1), Ok(Verdict::Next));
}

#[test]
fn sequences_wrap_after_the_largest() {
    let mut producers = Producers::default();
    send(&mut producers, &batch(1, 0, i32::MAX - 1, 2), 0).unwrap();
    assert_eq!(send(&mut producers, &batch(1, 0, 0, 5), 2), Ok(Verdict::Next));
    let mut producers = Producers::default();
    send(&mut producers, &batch(1, 0, i32::MAX, 3), 0).unwrap();
    assert_eq!(send(&mut producers, &batch(1, 0, 2, 1), 3), Ok(Verdict::Next));
}

#[test]
fn checkpoint_and_deltas_bring_the_same_state_back() {
    let mut producers = Producers::default();
    for n in 0..8 {
        send(&mut producers, &batch(n % 3, 0, i32::try_from(n).unwrap() / 3, 1), n as u64).unwrap();
    }
    let mut recovered = Producers::default();
    recovered.replay(&producers.encode_checkpoint());
    let mut delta = Vec::new();
    let header = batch(7, 1, 0, 4);
    Entry::of(&header, Offset::new(20).unwrap(), Timestamp::from_millis(5)).encode_into(&mut delta);
    recovered.replay(&delta);
    send(&mut producers, &header, 20).unwrap();
    for id in [0, 1, 2, 7] {
        let (left, right) = (&producers.by_id[&id], &recovered.by_id[&id]);
        assert_eq!((left.epoch, &left.batches), (right.epoch, &right.batches));
    }
}

#[test]
fn the_number_of_producers_is_bounded_and_the_idle_expire() {
    let mut producers = Producers::default();
    for id in 0..limits::PRODUCERS_PER_PARTITION_MAX as i64 + 10 {
        let at = Timestamp::from_millis(id);
        producers.record(&Entry::of(&batch(id, 0, 0, 1), Offset::ZERO, at));
    }
    assert_eq!(producers.by_id.len(), limits::PRODUCERS_PER_PARTITION_MAX);
    assert!(!producers.by_id.contains_key(&0));
    producers.expire(Timestamp::from_millis(10_000));
    assert_eq!(producers.by_id.len(), 10);
}

#[test]
fn a_doubted_producer_is_told_once_and_goes_on_in_a_new_epoch() {
    let mut producers = Producers::default();
    send(&mut producers, &batch(9, 0, 0, 10), 100).unwrap();
    producers.doubt(10);
    assert_eq!(
        producers.check(&batch(9, 0, 0, 10)),
        Ok(Verdict::Duplicate(Offset::new(100).unwrap()))
    );
    for _ in 0..2 {
        assert!(producers.is_doubtful(&batch(9, 0, 10, 10)), "it may be a retry of what is lost");
    }
    assert!(!producers.is_doubtful(&batch(9, 1, 0, 10)));
    assert!(!producers.is_doubtful(&batch(10, 0, 0, 10)), "its id is new");
    assert!(producers.is_doubtful(&batch(3, 5, 0, 10)), "it is not known any more");
    assert!(!producers.is_doubtful(&batch(3, 6, 0, 10)));
}

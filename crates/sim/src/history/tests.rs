use super::*;

#[test]
fn a_history_reads_as_it_was_written() {
    let text = concat!(
        r#"{"at":1,"client":"p","op":1,"event":"send","topic":"t","partition":0,"value":"v"}"#,
        "\n",
        r#"{"at":2,"client":"p","op":1,"event":"send_ok","partition":0,"offset":7}"#,
        "\n",
        r#"{"at":3,"client":"c","op":0,"event":"poll_ok","records":[["t",0,7,"v"]]}"#,
        "\n",
        r#"{"at":4,"client":"c","op":0,"event":"ends_ok","start":0,"next":8}"#,
        "\n",
    );
    let events = parse(text).unwrap();
    assert_eq!(events.len(), 4);
    let written: String =
        events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    assert_eq!(written, text);
}

#[test]
fn fields_with_a_default_may_be_left_out() {
    let text = "{\"client\":\"p\",\"op\":1,\"event\":\"send\",\"topic\":\"t\",\"value\":\"v\"}\n";
    let [event] = &parse(text).unwrap()[..] else { panic!("one event") };
    assert_eq!(event.at, 0);
    assert!(matches!(event.step, Step::Send { partition: None, .. }));
}

#[test]
fn a_torn_last_line_is_skipped_and_any_other_is_an_error() {
    let line = r#"{"client":"p","op":1,"event":"poll"}"#;
    assert_eq!(parse(&format!("{line}\n{}", &line[..9])).unwrap().len(), 1);
    assert_eq!(parse(&format!("{line}\n{line}")).unwrap().len(), 2);
    let error = parse(&format!("{}\n{line}\n", &line[..9])).unwrap_err();
    assert!(error.to_string().starts_with("line 1 is no event"), "{error}");
}

#[test]
fn histories_are_merged_by_time() {
    let event = |at, client: &str| Event { at, client: client.to_owned(), op: 0, step: Step::Ok };
    let merged = merge(vec![vec![event(1, "a"), event(4, "a")], vec![event(2, "b")]]);
    assert_eq!(merged.iter().map(|event| event.at).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_ledger_holds_an_event_before_the_next_one() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let recorder = Recorder::with_ledger(Box::new(path.reopen().unwrap()));
    let op = recorder.invoke(1, "p", Step::Poll);
    assert_eq!(parse(&std::fs::read_to_string(path.path()).unwrap()).unwrap().len(), 1);
    recorder.complete(2, "p", op, Step::PollOk { records: Vec::new() });
    let ledger = parse(&std::fs::read_to_string(path.path()).unwrap()).unwrap();
    assert_eq!(ledger, recorder.take());
}

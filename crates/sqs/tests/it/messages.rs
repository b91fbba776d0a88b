//! Messages as their clients see them while time passes.

use crate::server::Server;
use serde_json::json;
use std::time::Duration;
use tramline_sqs::Options;

fn send(server: &Server, queue: &str, bodies: &[&str]) {
    for body in bodies {
        let mut message = json!({ "QueueUrl": queue, "MessageBody": body });
        if queue.ends_with(".fifo") {
            message["MessageGroupId"] = json!(body);
        }
        server.done("SendMessage", &message);
    }
}

#[test]
fn above_so_many_in_flight_a_standard_queue_refuses_and_a_fifo_queue_gives_nothing() {
    let server = Server::start_with(Options { in_flight_max: 3, ..Options::default() });
    for (name, refusal) in [("q", Some("OverLimit")), ("q.fifo", None)] {
        let queue = server.create(name);
        send(&server, &queue, &["a", "b", "c", "d"]);
        let first = server.done("ReceiveMessage", &json!({ "QueueUrl": queue }));
        assert_eq!(server.receive(&queue).len(), 3, "it is looked at before a receive");
        send(&server, &queue, &["e"]);
        let over = server.json("ReceiveMessage", &json!({ "QueueUrl": queue }));
        match refusal {
            Some(shape) => assert_eq!(over.error(), (403, shape.to_owned())),
            None => assert_eq!((over.status, over.text.as_str()), (200, "{}")),
        }
        let handle = &first["Messages"][0]["ReceiptHandle"];
        server.done("DeleteMessage", &json!({ "QueueUrl": queue, "ReceiptHandle": handle }));
        server.memory.clock.advance(Duration::from_secs(11));
        server.eventually(|| server.queue(name).counts().locked == 0);
        assert_eq!(server.receive(&queue).len(), 4);
    }
}

#[test]
fn a_fifo_queue_says_that_an_expired_handle_deletes_nothing() {
    let server = Server::start();
    let queue = server.create("q.fifo");
    send(&server, &queue, &["a", "b"]);
    let old = server.receive(&queue);
    server.memory.clock.advance(Duration::from_secs(11));
    let delete = |handle: &str| {
        server.json("DeleteMessage", &json!({ "QueueUrl": queue, "ReceiptHandle": handle }))
    };
    let refused = delete(&old[0].1);
    assert_eq!(refused.error(), (400, "InvalidParameterValueException".to_owned()));
    assert!(refused.text.contains("Reason: The receipt handle has expired."), "{}", refused.text);
    let new = server.receive(&queue);
    assert_eq!(new.len(), 2, "nothing was deleted");
    assert_eq!(delete(&old[0].1).status, 400, "somebody else has it");
    // A repeated deletion is none that failed, whoever repeats it.
    for handle in [&new[0].1, &new[0].1, &old[0].1] {
        assert_eq!(delete(handle).status, 200);
    }
    let entries = json!([
        { "Id": "old", "ReceiptHandle": old[1].1 },
        { "Id": "new", "ReceiptHandle": new[1].1 },
    ]);
    let batch = json!({ "QueueUrl": queue, "Entries": entries });
    // What the one handle does not delete, the other does.
    let deleted = server.done("DeleteMessageBatch", &batch);
    assert_eq!(deleted["Failed"], json!([]));
    server.memory.clock.advance(Duration::from_secs(11));
    assert_eq!(server.receive(&queue), []);
}

#[test]
fn a_standard_queue_takes_the_last_handle_after_its_time() {
    let server = Server::start();
    let queue = server.create("q");
    send(&server, &queue, &["a"]);
    let old = server.receive(&queue);
    server.memory.clock.advance(Duration::from_secs(11));
    let body = json!({ "QueueUrl": queue, "ReceiptHandle": old[0].1 });
    server.done("DeleteMessage", &body);
    assert_eq!(server.receive(&queue), []);
}

#[test]
fn the_time_of_the_first_receive_is_known_to_the_second_one_whatever_the_first_asked() {
    let server = Server::start();
    let queue = server.create("q");
    send(&server, &queue, &["a"]);
    server.memory.clock.advance(Duration::from_secs(5));
    assert_eq!(server.receive(&queue).len(), 1);
    server.memory.clock.advance(Duration::from_secs(11));
    let body = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
    let again = server.done("ReceiveMessage", &body);
    let at = |name: &str| -> i64 {
        let text = again["Messages"][0]["Attributes"][name].as_str().unwrap();
        text.parse().unwrap()
    };
    assert_eq!(at("ApproximateFirstReceiveTimestamp") - at("SentTimestamp"), 5_000);
}

#[test]
fn an_attempt_is_over_when_the_visibility_of_its_messages_was_changed() {
    let server = Server::start();
    let queue = server.create("q.fifo");
    send(&server, &queue, &["a", "b"]);
    let attempt = |id: &str| {
        let body = json!({
            "QueueUrl": queue, "MaxNumberOfMessages": 1, "ReceiveRequestAttemptId": id,
        });
        let answer = server.done("ReceiveMessage", &body);
        answer["Messages"][0]["ReceiptHandle"].as_str().map(str::to_owned)
    };
    let (one, other) = (attempt("one").unwrap(), attempt("other").unwrap());
    assert_eq!(attempt("one").as_ref(), Some(&one));
    let change = json!({ "QueueUrl": queue, "ReceiptHandle": one, "VisibilityTimeout": 60 });
    server.done("ChangeMessageVisibility", &change);
    assert_eq!(attempt("one"), None, "it is in flight, and not given again");
    assert_eq!(attempt("other"), Some(other));
}

//! What no client of good will sends.

use crate::server::{Server, request};
use serde_json::json;
use tramline_sqs::Options;
use tramline_types::limits::{REQUEST_READ_MAX, SQS_BODY_BYTES_MAX};

const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\n\
                    x-amz-target: AmazonSQS.ListQueues\r\n";

/// It is there for others, whatever happened before.
fn assert_well(server: &Server) {
    assert_eq!(server.json("ListQueues", &json!({})).status, 200);
}

#[test]
fn a_body_above_the_limit_is_refused_however_it_comes() {
    let server = Server::start();
    let too_much = " ".repeat(SQS_BODY_BYTES_MAX + 1);
    let mut plain = server.connect();
    // Longer than what is sent, so that the answer is not for the end of the body.
    plain.send(format!("{HEAD}content-length: {}\r\n\r\n", too_much.len() + 10).as_bytes());
    plain.send(too_much.as_bytes());
    let refusal = (413, "RequestEntityTooLargeException".to_owned());
    assert_eq!(plain.answer().error(), refusal);

    let mut plain = server.connect();
    plain.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes());
    plain.send(format!("{:x}\r\n{too_much}\r\n", too_much.len()).as_bytes());
    assert_eq!(plain.answer().error(), refusal);
    assert_well(&server);
}

#[test]
fn a_body_at_the_limit_is_read() {
    let server = Server::start();
    let body = " ".repeat(SQS_BODY_BYTES_MAX - 2) + "{}";
    let mut plain = server.connect();
    plain.send(format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    assert_eq!(plain.answer().status, 200);
}

#[test]
fn a_body_may_come_in_chunks_of_a_byte() {
    let server = Server::start();
    let queue = server.create("q");
    let mut plain = server.connect();
    let head = HEAD.replace("ListQueues", "SendMessage");
    plain.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
    let body = json!({ "QueueUrl": queue, "MessageBody": "ä" }).to_string();
    for byte in body.as_bytes() {
        plain.send(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    plain.send(b"0\r\n\r\n");
    assert_eq!(plain.answer().status, 200);
    assert_eq!(server.receive(&queue)[0].0, "ä");
}

#[test]
fn chunks_that_are_none_end_the_connection() {
    let server = Server::start();
    for bad in ["zz\r\n", "ffffffffffffffffff\r\n", "-1\r\n{}", "2\r\n{}x\r\n"] {
        let mut plain = server.connect();
        plain.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n{bad}").as_bytes());
        assert_eq!(plain.answer().status, 400, "{bad:?}");
        assert_eq!(plain.rest(), b"", "{bad:?}");
    }
    assert_well(&server);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up_after_its_time() {
    let server = Server::start();
    let mut plain = server.connect();
    plain.send(format!("{HEAD}content-length: 1000\r\n\r\n{{").as_bytes());
    let (answer, passed) = server.while_time_passes(|| plain.answer());
    assert_eq!(answer.error(), (408, "RequestTimeoutException".to_owned()));
    assert!(passed >= REQUEST_READ_MAX, "after {passed:?}");
    assert_eq!(plain.rest(), b"");
    assert_well(&server);
}

#[test]
fn half_a_request_does_nothing() {
    let server = Server::start();
    let queue = server.create("q");
    let whole = request("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "b" }));
    for at in [whole.len() - 1, whole.len() - 20, 100, 10, 1] {
        let mut plain = server.connect();
        plain.send(&whole[..at]);
        plain.end();
        // Refused or not, it is over.
        let answer = plain.rest();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{at}");
    }
    assert_eq!(server.receive(&queue), []);
    assert_well(&server);
}

#[test]
fn heads_have_a_limit_in_bytes_and_in_lines() {
    let server = Server::start();
    let mut long = format!("{HEAD}x-bomb: ");
    long += &"x".repeat(64 * 1024 - long.len());
    let lines: String = (0..1_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for bomb in [long, format!("{HEAD}{lines}\r\n")] {
        let mut plain = server.connect();
        plain.send(bomb.as_bytes());
        assert_eq!(plain.answer().status, 431);
        assert_eq!(plain.rest(), b"");
    }
    assert_well(&server);
}

#[test]
fn what_is_no_http_is_refused() {
    let server = Server::start();
    for bad in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"AMQP\x00\x00\x09\x01\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"\r\n \r\n\r\n",
    ] {
        let mut plain = server.connect();
        plain.send(bad);
        plain.end();
        assert!(!plain.rest().starts_with(b"HTTP/1.1 200"));
    }
    assert_well(&server);
}

#[test]
fn requests_behind_each_other_are_answered_in_order() {
    let server = Server::start();
    let queue = server.create("q");
    let send = request("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "b" }));
    let receive = request("ReceiveMessage", &json!({ "QueueUrl": queue }));
    let bad = request("NoSuchAction", &json!({}));
    let mut plain = server.connect();
    plain.send(&[&send[..], &bad, &receive].concat());
    assert!(plain.answer().text.contains("MD5OfMessageBody"));
    assert_eq!(plain.answer().error(), (400, "UnknownOperationException".to_owned()));
    assert!(plain.answer().text.contains("ReceiptHandle"));
}

#[test]
fn characters_that_xml_has_not_are_refused_and_nothing_is_sent() {
    let server = Server::start();
    let queue = server.create("q");
    let json = |body: &str| {
        let body = format!("{{\"QueueUrl\":\"{queue}\",\"MessageBody\":\"{body}\"}}");
        let mut plain = server.connect();
        let head = HEAD.replace("ListQueues", "SendMessage");
        plain.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        plain.answer().error()
    };
    for bad in ["a\\u0000b", "\\u000b", "\\u001f", "\\ufffe", "\\uffff"] {
        assert_eq!(json(bad), (400, "InvalidMessageContents".to_owned()), "{bad}");
    }
    for bad in ["\\ud800", "\\udc00\\ud800", "\u{0}"] {
        assert_eq!(json(bad), (400, "SerializationException".to_owned()), "{bad:?}");
    }
    for bad in ["%00", "a%0B", "%EF%BF%BE"] {
        let mut plain = server.connect();
        let target = format!("/000000000000/q?Action=SendMessage&MessageBody={bad}");
        plain.send(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        let answer = plain.answer();
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text.contains("<Code>InvalidMessageContents</Code>"), "{}", answer.text);
    }
    assert_eq!(server.receive(&queue), []);
}

#[test]
fn who_has_no_key_is_refused_before_a_body_is_read() {
    let keys = [("AKIDEXAMPLE".to_owned(), "secret".to_owned())].into_iter().collect();
    let server = Server::start_with(Options { keys, ..Options::default() });
    let mut plain = server.connect();
    // Nothing of the body is ever sent.
    plain.send(format!("{HEAD}content-length: 8000000\r\n\r\n").as_bytes());
    let answer = plain.answer();
    assert_eq!(answer.error(), (403, "MissingAuthenticationTokenException".to_owned()));
    assert!(answer.head.contains("x-amzn-query-error: missingauthenticationtoken;sender"));
}

#[test]
fn a_long_poll_whose_client_is_gone_takes_no_message() {
    let server = Server::start();
    let queue = server.create("q");
    let mut plain = server.connect();
    let before = server.sleepers();
    plain.send(&request("ReceiveMessage", &json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 })));
    server.eventually(|| server.memory.clock.sleepers() == before + 1);
    drop(plain);
    server.eventually(|| server.memory.clock.sleepers() == before);
    server.done("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "b" }));
    assert_eq!(server.receive(&queue).len(), 1);
}

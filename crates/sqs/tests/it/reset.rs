//! A reset for tests.

use crate::server::{Answer, Server};
use serde_json::json;
use tramline_sqs::{Declared, Options};

fn reset(server: &Server, method: &str, headers: &str) -> Answer {
    let mut plain = server.connect();
    let head = format!("{method} /_tramline/reset HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    plain.send(head.as_bytes());
    plain.answer()
}

fn key_of(account: &str) -> String {
    format!(
        "authorization: AWS4-HMAC-SHA256 Credential={account}/20261122/us-east-1/sqs/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    )
}

#[test]
fn it_is_refused_where_it_is_not_allowed() {
    let server = Server::start();
    server.create("q");
    let answer = reset(&server, "POST", "");
    assert_eq!(answer.status, 403);
    assert!(answer.text.contains("sqs.allow_reset"), "{}", answer.text);
    assert!(server.done("ListQueues", &json!({}))["QueueUrls"].is_array());
}

#[test]
fn everything_of_an_account_goes_and_the_queues_of_the_configuration_are_back() {
    let queues = [("declared".to_owned(), Declared::default())].into_iter().collect();
    let server = Server::start_with(Options { allow_reset: true, queues, ..Options::default() });
    let names = || {
        let answer = server.done("ListQueues", &json!({}));
        let urls = answer["QueueUrls"].as_array().cloned().unwrap_or_default();
        let name = |url: &serde_json::Value| {
            url.as_str().and_then(|url| url.rsplit('/').next()).unwrap().to_owned()
        };
        urls.iter().map(name).collect::<Vec<_>>()
    };
    let declared = "http://localhost/000000000000/declared";
    for _ in 0..2 {
        let queue = server.create("q");
        for queue in [queue.as_str(), declared] {
            server.done("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "b" }));
        }
        // The other account's queues, of which there are none, go first.
        assert_eq!(reset(&server, "POST", &key_of("111122223333")).text, "{\"deleted\":0}");
        assert_eq!(names(), ["declared", "q"]);
        let answer = reset(&server, "POST", "");
        assert_eq!((answer.status, answer.text.as_str()), (200, "{\"deleted\":2}"));
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        assert_eq!(names(), ["declared"]);
        assert_eq!(server.receive(declared), []);
    }
    assert_eq!(reset(&server, "GET", "").status, 400);
    // A name that was deleted before is free as well.
    let queue = server.create("again");
    server.done("DeleteQueue", &json!({ "QueueUrl": queue }));
    let again = json!({ "QueueName": "again" });
    assert_eq!(server.json("CreateQueue", &again).error().1, "QueueDeletedRecently");
    reset(&server, "POST", "");
    server.done("CreateQueue", &again);
}

#[test]
fn a_page_of_another_origin_cannot_ask_for_it() {
    let server = Server::start_with(Options { allow_reset: true, ..Options::default() });
    server.create("q");
    assert_eq!(reset(&server, "POST", "origin: http://evil.example\r\n").status, 403);
    assert_eq!(reset(&server, "POST", "sec-fetch-site: cross-site\r\n").status, 403);
    assert!(server.done("ListQueues", &json!({}))["QueueUrls"].is_array());
}

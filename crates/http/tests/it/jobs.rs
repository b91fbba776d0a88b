//! Jobs over HTTP: their events, their tokens, their pages.

use crate::server::{Answer, Event, Server};
use serde_json::{Value, json};

fn start() -> Server {
    let server = Server::start();
    let queue = json!({ "name": "q", "settings": { "track": true } });
    assert_eq!(server.json("POST", "/v1/queues", &queue).status, 201);
    server
}

fn put(server: &Server, id: &str) {
    let message = json!({ "value": id, "headers": { "job-id": id } });
    let answer = server.json("POST", "/v1/queues/q/messages", &json!({ "messages": [message] }));
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let answer = server.json("POST", path, body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn receive(server: &Server) -> Value {
    let answer = post(server, "/v1/queues/q/receive", &json!({ "lock_ms": 60_000 }));
    answer.body["messages"][0]["token"].clone()
}

fn settle(server: &Server, token: &Value, outcome: &str) {
    let settles = json!({ "settles": [{ "token": token, "outcome": outcome }] });
    post(server, "/v1/queues/q/settle", &settles);
}

#[test]
fn events_begin_with_the_state_tell_every_change_and_end_with_the_job() {
    let server = start();
    put(&server, "a");
    let watch = || server.request("GET", "/v1/jobs/a").header("accept", "text/event-stream");
    let mut events = watch().events();
    let mut next = || {
        let event = events.next().expect("not over");
        (event.data["state"].as_str().unwrap().to_owned(), event.data["attempts"].clone(), event.id)
    };
    let (state, attempts, _) = next();
    assert_eq!((state.as_str(), attempts), ("queued", json!(0)));
    let token = receive(&server);
    assert_eq!(next().0, "processing");
    settle(&server, &token, "release");
    assert_eq!(next().0, "queued");
    let token = receive(&server);
    let (state, attempts, _) = next();
    assert_eq!((state.as_str(), attempts), ("processing", json!(2)));
    settle(&server, &token, "accept");
    let (state, _, id) = next();
    assert_eq!(state, "done");
    assert!(events.next().is_none(), "it is over, and so are its events");
    let again = watch().header("last-event-id", &id).send(b"");
    assert_eq!(again.status, 204, "which tells a browser not to come back");
    let mut events = watch().events();
    assert_eq!(
        events.next().unwrap().data["state"],
        "done",
        "who comes for the first time is told"
    );
    assert!(events.next().is_none());
    let unknown = server.request("GET", "/v1/jobs/b").header("accept", "text/event-stream");
    assert_eq!(unknown.send(b"").status, 404);
}

#[test]
fn events_of_a_parent_go_on_until_what_follows_it_is_over() {
    let server = start();
    let after = json!({ "name": "after", "settings": { "track": true } });
    assert_eq!(server.json("POST", "/v1/queues", &after).status, 201);
    let follow = json!({ "track": true, "on_done": ["after"] });
    post(&server, "/v1/queues/q/track", &follow);
    put(&server, "a");
    let watch = || server.request("GET", "/v1/jobs/a").header("accept", "text/event-stream");
    let mut events = watch().events();
    let done = |event: &Event| event.data["children"]["done"].clone();
    let token = receive(&server);
    settle(&server, &token, "accept");
    let last = loop {
        let event = events.next().expect("it goes on");
        if event.data["state"] == "done" {
            break event;
        }
    };
    assert_eq!(last.data["children"]["ids"], json!(["a/after"]), "{last:?}");
    assert_eq!(done(&last), 0);
    // Who loses the connection here comes back for the rest.
    let mut again = watch().header("last-event-id", &last.id).events();
    assert_eq!(done(&again.next().unwrap()), 0);
    post(&server, "/v1/queues/after/receive", &json!({ "accept": true }));
    for events in [&mut events, &mut again] {
        let mut last = None;
        while let Some(event) = events.next() {
            last = Some(event);
        }
        let last = last.expect("the child's end is told");
        assert_eq!(done(&last), 1);
        assert_eq!(watch().header("last-event-id", &last.id).send(b"").status, 204);
    }
}

#[test]
fn events_of_all_jobs_are_those_of_a_queue() {
    let server = start();
    let other = json!({ "name": "other", "settings": { "track": true } });
    assert_eq!(server.json("POST", "/v1/queues", &other).status, 201);
    let watch = server.request("GET", "/v1/jobs?queue=q&state=done");
    let mut events = watch.header("accept", "text/event-stream").events();
    let message = json!({ "value": "x", "headers": { "job-id": "x" } });
    post(&server, "/v1/queues/other/messages", &json!({ "messages": [message] }));
    put(&server, "a");
    let event = events.next().unwrap();
    assert_eq!((&event.data["id"], &event.data["state"]), (&json!("a"), &json!("queued")));
    post(&server, "/v1/jobs/a/cancel", &json!({}));
    assert_eq!(events.next().unwrap().data["state"], "cancelled", "the state is the reader's");
}

#[test]
fn a_token_is_for_one_job() {
    let server = start();
    put(&server, "a");
    put(&server, "b");
    let token = post(&server, "/v1/jobs/a/token", &json!({})).body["token"].clone();
    let get = |id: &str| server.get(&format!("/v1/jobs/{id}?token={}", token.as_str().unwrap()));
    assert_eq!(get("a").status, 200);
    assert_eq!(get("b").status, 403);
    server.memory.clock.advance(std::time::Duration::from_secs(3601));
    assert_eq!(get("a").status, 403);
}

#[test]
fn pages_run_nothing_but_their_own_files() {
    let server = Server::start();
    let page = server.get("/jobs/anything%2Fat%20all");
    assert_eq!(page.status, 200, "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (at, _) in page.text.match_indices("/assets/") {
        let path = page.text[at..].split('"').next().unwrap();
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/assets/job-status.js").status, 200);
    assert_eq!(server.get("/assets/..%2Findex.html").status, 404);
    assert_eq!(server.get("/assets/none.js").status, 404);
}

#[test]
fn progress_comes_as_a_message_on_a_channel() {
    let server = start();
    put(&server, "a");
    let say = |percent: f64| {
        let body = json!({ "percent": percent }).to_string();
        server.request("POST", "/v1/broadcast/$jobs/a/progress").send(body.as_bytes())
    };
    assert_eq!(say(1.0).status, 409, "nobody works on it");
    assert_eq!(server.request("POST", "/v1/broadcast/$jobs/b/progress").send(b"{}").error().0, 404);
    receive(&server);
    let answer = say(40.0);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(server.get("/v1/jobs/a").body["progress"]["percent"], 40.0);
    assert_eq!(say(140.0).status, 400);
}

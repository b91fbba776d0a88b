//! Configuration push over HTTP: conditions, waiting, following, roll-outs, adoption.

use crate::server::{Answer, Event, Events, Server};
use serde_json::{Value, json};

fn put(server: &Server, key: &str, value: &str) -> u64 {
    let answer = server.request("PUT", &format!("/v1/config/{key}")).send(value.as_bytes());
    revision(&answer)
}

fn revision(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["revision"].as_u64().unwrap()
}

fn tag(answer: &Answer) -> &str {
    answer.headers["etag"].to_str().unwrap()
}

/// The next event that is no heartbeat, with what it says in short.
fn next(events: &mut Events) -> (String, String, Value) {
    loop {
        let event: Event = events.next().expect("the stream goes on");
        if !event.name.is_empty() {
            let what = match event.data["key"].as_str() {
                Some(key) => format!("{} {key}", event.name),
                None => event.name,
            };
            return (what, event.id, event.data);
        }
    }
}

#[test]
fn a_value_comes_back_as_it_was_put_with_its_revision_as_entity_tag() {
    let server = Server::start();
    let call = server.request("PUT", "/v1/config/app/web/page").header("content-type", "text/html");
    let answer = call.send(b"<b>\xc3\xa4</b>");
    assert_eq!((answer.status, tag(&answer)), (200, "\"1\""));
    let answer = server.get("/v1/config/app%2Fweb%2Fpage");
    assert_eq!((answer.text.as_str(), tag(&answer)), ("<b>ä</b>", "\"1\""));
    assert_eq!(answer.headers["content-type"], "text/html");
    assert_eq!(answer.headers["content-security-policy"], "default-src 'none'; sandbox");
    let call = server.request("PUT", "/v1/config/x");
    call.header("content-type", "application/x-www-form-urlencoded").send(b"by curl");
    let answer = server.get("/v1/config/x");
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    for known in ["\"1\"", "W/\"1\"", "\"9\", \"1\"", "*"] {
        let call = server.request("GET", "/v1/config/app/web/page").header("if-none-match", known);
        let answer = call.send(b"");
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
    }
    let call = server.request("GET", "/v1/config/app/web/page").header("if-none-match", "\"9\"");
    assert_eq!(call.send(b"").status, 200);
}

#[test]
fn a_change_is_refused_where_the_key_is_not_as_expected() {
    let server = Server::start();
    let change = |method: &str, header: (&str, &str)| {
        server.request(method, "/v1/config/k").header(header.0, header.1).send(b"v")
    };
    let nothing = change("PUT", ("if-match", "*"));
    assert_eq!(nothing.error(), (412, "FAILED_PRECONDITION", "key `k` has no value"));
    assert_eq!(revision(&change("PUT", ("if-none-match", "*"))), 1);
    assert_eq!(change("PUT", ("if-none-match", "*")).error().0, 412);
    assert_eq!(revision(&change("PUT", ("if-match", "\"1\""))), 2);
    let stale = change("PUT", ("if-match", "\"1\""));
    assert_eq!(stale.error(), (412, "FAILED_PRECONDITION", "key `k` is at revision 2"));
    assert_eq!(change("DELETE", ("if-match", "\"1\"")).status, 412);
    assert_eq!(revision(&change("DELETE", ("if-match", "\"2\""))), 3);
    let gone = server.get("/v1/config/k");
    assert_eq!((gone.error().0, tag(&gone)), (404, "\"3\""));
    assert_eq!(revision(&change("PUT", ("if-none-match", "*"))), 4);
    assert_eq!(change("PUT", ("if-match", "soon")).status, 400);
}

#[test]
fn earlier_values_are_kept_and_come_back_as_a_new_revision() {
    let server = Server::start();
    for n in 1..=15 {
        put(&server, "k", &format!("value {n}"));
    }
    let history = server.get("/v1/config-history/k").body;
    let revisions: Vec<u64> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["revision"].as_u64().unwrap())
        .collect();
    assert_eq!(revisions, (5..=15).rev().collect::<Vec<u64>>(), "the newest and ten before it");
    assert_eq!(server.get("/v1/config/k?revision=7").text, "value 7");
    assert_eq!(server.get("/v1/config/k?revision=4").status, 404);
    let back = server.json("POST", "/v1/config-rollback/k", &json!({ "revision": 7 }));
    assert_eq!(revision(&back), 16);
    assert_eq!(server.get("/v1/config/k").text, "value 7");
}

#[test]
fn who_waits_is_answered_by_the_change_and_by_no_other_key() {
    let server = Server::start();
    put(&server, "k", "old");
    let waiting = || server.get("/v1/config/k?after=1&wait=30s");
    let answer = server.while_waiting(waiting, || {
        put(&server, "other", "x");
        put(&server, "k", "new");
    });
    assert_eq!((answer.status, answer.text.as_str(), tag(&answer)), (200, "new", "\"3\""));
    let path = "/v1/config?scope=app/&after=3&wait=30s";
    let answer = server.while_waiting(
        || server.get(path),
        || {
            put(&server, "app/x", "1");
        },
    );
    assert_eq!(answer.body["changes"][0]["key"], "app/x");
    assert_eq!((&answer.body["revision"], &answer.body["resync"]), (&json!(4), &json!(false)));
    let answer = server.while_waiting(
        || server.get("/v1/config/k?after=3&wait=30s"),
        || drop(server.request("DELETE", "/v1/config/k").send(b"")),
    );
    assert_eq!((answer.status, tag(&answer)), (404, "\"5\""));
    let answer = server.while_time_passes(|| server.get("/v1/config/app/x?after=4&wait=5s"));
    assert_eq!((answer.status, tag(&answer)), (304, "\"4\""));
    assert_eq!(server.get("/v1/config/k?wait=soon").status, 400);
}

#[test]
fn a_follower_gets_all_values_then_every_change_and_goes_on_behind_its_last_event() {
    let server = Server::start();
    put(&server, "app/a", "1");
    put(&server, "web/a", "1");
    put(&server, "app/b", "1");
    let mut events = server.request("GET", "/v1/config-watch?scope=app/").events();
    assert_eq!(next(&mut events).0, "put app/a");
    let (what, id, data) = next(&mut events);
    assert_eq!((what.as_str(), id.as_str(), &data["value"]), ("put app/b", "", &json!("1")));
    let (what, id, _) = next(&mut events);
    assert_eq!(what, "synced");
    assert!(id.starts_with("3@"), "{id}");
    put(&server, "web/a", "2");
    let both = json!({ "changes": [
        { "key": "app/a", "value": "2" },
        { "key": "app/b", "delete": true },
    ] });
    server.json("POST", "/v1/config", &both);
    let (what, none, data) = next(&mut events);
    assert_eq!((what.as_str(), none.as_str(), &data["revision"]), ("put app/a", "", &json!(5)));
    let (what, id, _) = next(&mut events);
    assert_eq!(what, "delete app/b");
    assert!(id.starts_with("5@"), "the last event of the revision: {id}");
    drop(events);
    put(&server, "app/c", "1");
    put(&server, "app/a", "3");
    put(&server, "app/a", "4");
    let call = server.request("GET", "/v1/config-watch?scope=app/").header("last-event-id", &id);
    let mut events = call.events();
    let told: Vec<String> = (0..3).map(|_| next(&mut events).0).collect();
    assert_eq!(told, ["put app/c", "put app/a", "synced"]);
}

#[test]
fn a_follower_that_knows_another_data_directory_or_a_later_revision_starts_over() {
    let server = Server::start();
    put(&server, "k", "1");
    for id in ["1@elsewher", "7"] {
        let call = server.request("GET", "/v1/config-watch").header("last-event-id", id);
        let mut events = call.events();
        let told: Vec<String> = (0..3).map(|_| next(&mut events).0).collect();
        assert_eq!(told, ["resync", "put k", "synced"], "{id}");
    }
    let none = server.request("GET", "/v1/config-watch").header("last-event-id", "");
    assert_eq!(next(&mut none.events()).0, "put k", "who has no id yet begins");
    let call = server.request("GET", "/v1/config-watch").header("last-event-id", "x");
    assert_eq!(call.send(b"").status, 400);
    assert_eq!(server.get("/v1/config?after=9").body["resync"], true);
}

#[test]
fn a_value_in_a_roll_out_goes_to_its_share_and_taken_back_to_nobody() {
    let server = Server::start();
    put(&server, "k", "old");
    // Their places are 8401 and 6739 of 10,000.
    let of = |client: &str| server.get(&format!("/v1/config/k?client={client}"));
    let call = server.request("PUT", "/v1/config/k?rollout=70").send(b"new");
    assert_eq!(revision(&call), 2);
    let stable = of("web-1");
    assert_eq!((stable.text.as_str(), tag(&stable)), ("old", "\"1\""));
    assert_eq!(stable.headers["config-rollout"], "revision=2; percent=70");
    assert_eq!(of("web-2").text, "new");
    assert_eq!(server.get("/v1/config/k").text, "old", "nobody in particular");
    let watch = |client: &str| {
        let mut events =
            server.request("GET", &format!("/v1/config-watch?scope=k&client={client}")).events();
        let value = next(&mut events).2["value"].clone();
        assert_eq!(next(&mut events).0, "synced");
        (events, value)
    };
    let (mut one, value) = watch("web-1");
    assert_eq!(value, "old");
    let (mut two, value) = watch("web-2");
    assert_eq!(value, "new");
    let more = server.json("POST", "/v1/config-rollout/k", &json!({ "percent": 85 }));
    assert_eq!(revision(&more), 3);
    assert_eq!(next(&mut one).2["value"], "new");
    assert_eq!(next(&mut two).2["revision"], 3);
    let back = server.json("POST", "/v1/config-rollout/k", &json!({ "percent": 0 }));
    assert_eq!(revision(&back), 4);
    for events in [&mut one, &mut two] {
        let (_, id, data) = next(events);
        assert!(id.starts_with("4@"), "{id}");
        assert_eq!((&data["value"], &data["revision"]), (&json!("old"), &json!(1)));
    }
    let everybody = server.json("POST", "/v1/config-rollout/k", &json!({ "percent": 100 }));
    assert_eq!(revision(&everybody), 5);
    assert_eq!(server.get("/v1/config/k").text, "new");
    assert_eq!(server.request("PUT", "/v1/config/k?rollout=101").send(b"x").status, 400);
}

#[test]
fn the_view_of_adoption_tells_who_has_what() {
    let server = Server::start();
    put(&server, "app/k", "1");
    put(&server, "app/k", "2");
    let confirm = |client: &str, scope: &str, revision: u64| {
        let body = json!({ "scope": scope, "client": client, "revision": revision });
        server.json("POST", "/v1/config-adoption", &body).status
    };
    assert_eq!(confirm("a", "app/k", 2), 204);
    assert_eq!(confirm("b", "app/", 1), 204);
    assert_eq!(confirm("c", "app/", 3), 400, "there is no such revision");
    assert_eq!(confirm("", "app/", 1), 400);
    let mut events = server.request("GET", "/v1/config-watch?scope=app/k&client=d").events();
    next(&mut events);
    let view = server.get("/v1/config-adoption/app/k").body;
    assert_eq!(view["by_revision"], json!({ "0": 1, "1": 1, "2": 1 }), "{view}");
    assert_eq!((&view["subscribers"], &view["adopted"]), (&json!(3), &json!(1)));
    let behind: Vec<(&Value, &Value, &Value)> = view["behind"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (&of["client"], &of["revision"], &of["watching"]))
        .collect();
    let wanted = [("b", 1, false), ("d", 0, true)].map(|(a, b, c)| (json!(a), json!(b), json!(c)));
    assert_eq!(behind, wanted.each_ref().map(|(a, b, c)| (a, b, c)));
    // To come back behind a revision says that it was taken over.
    drop(events);
    let path = "/v1/config-watch?scope=app/k&client=d";
    let mut events = server.request("GET", path).header("last-event-id", "2").events();
    assert_eq!(next(&mut events).0, "synced");
    assert_eq!(server.get("/v1/config-adoption/app/k").body["adopted"], 2);
}

#[test]
fn a_value_that_does_not_fit_its_schema_is_refused_by_the_narrowest_rule() {
    let server = Server::start();
    let rule = |scope: &str, schema: Value| {
        let path = format!("/v1/config-rules?scope={scope}");
        server.json("PUT", &path, &json!({ "schema": schema })).status
    };
    assert_eq!(rule("app/", json!({ "type": "object" })), 204);
    assert_eq!(rule("app/limit", json!({ "type": "integer", "maximum": 10 })), 204);
    let put = |key: &str, value: &str| {
        server.request("PUT", &format!("/v1/config/{key}")).send(value.as_bytes())
    };
    assert_eq!(put("app/limit", "7").status, 200);
    let refused = put("app/limit", "11");
    let expected = "key `app/limit`: the value does not fit the schema of `app/limit`: \
                    it is above 10";
    assert_eq!(refused.error(), (422, "FAILED_PRECONDITION", expected));
    assert_eq!(put("app/other", "7").status, 422);
    assert_eq!(put("app/other", "{}").status, 200);
    assert_eq!(put("web/x", "no json").status, 200);
    for unchecked in [json!({ "unevaluatedItems": false }), json!({ "$ref": "https://a.example" })]
    {
        assert_eq!(rule("web/", unchecked), 400, "nothing stays unchecked");
    }
}

#[test]
fn values_keys_and_requests_have_limits() {
    let server = Server::start();
    // Refused by its length alone: the client waits for that before it sends the body.
    let large = server.request("PUT", "/v1/config/k").header("expect", "100-continue");
    let large = large.send(&vec![b'x'; (1 << 20) + 1]);
    assert_eq!(large.error().0, 413);
    let long = format!("/v1/config/{}", "k".repeat(513));
    assert_eq!(server.request("PUT", &long).send(b"v").error().0, 400);
    for wrong in ["/v1/config/a//b", "/v1/config/a/%2e%2e/b", "/v1/config/a/"] {
        assert_eq!(server.request("PUT", wrong).send(b"v").status, 400, "{wrong}");
    }
    let changes: Vec<Value> =
        (0..1001).map(|n| json!({ "key": format!("k{n}"), "value": "v" })).collect();
    let answer = server.json("POST", "/v1/config", &json!({ "changes": changes }));
    assert_eq!(answer.error().0, 429);
}

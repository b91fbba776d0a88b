//! Consumer groups: members, lag, and moving offsets.

use crate::server::Server;
use serde_json::{Value, json};
use std::time::Duration;
use tramline_broker::{FirstJoin, GroupPhase, Join, LeaderReturn, MemberRef, Sync};
use tramline_types::GroupId;

/// Two partitions with five and three messages.
fn server() -> Server {
    let server = Server::start();
    server.create("t", 2);
    for (partition, count) in [(0, 5), (1, 3)] {
        let message = json!({ "value": "x", "partition": partition });
        server.publish("t", &vec![message; count].into());
    }
    server
}

fn reset(server: &Server, body: &Value) -> Value {
    let answer = server.json("POST", "/v1/groups/g/offsets", body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[test]
fn offsets_move_and_lag_follows() {
    let server = server();
    let moved = reset(&server, &json!({ "topic": "t", "to": "earliest" }));
    let first = json!({ "topic": "t", "partition": 0, "before": null, "after": 0 });
    assert_eq!(moved["offsets"][0], first);
    let group = server.get("/v1/groups/g").body;
    assert_eq!((&group["state"], &group["lag"]), (&json!("empty"), &json!(8)));

    reset(&server, &json!({ "topic": "t", "offset": 2, "partitions": [0] }));
    let group = server.get("/v1/groups/g").body;
    assert_eq!((&group["offsets"][0]["committed"], &group["lag"]), (&json!(2), &json!(6)));

    // Every topic that it has offsets for.
    let moved = reset(&server, &json!({ "to": "latest" }));
    let places: Vec<_> = moved["offsets"].as_array().unwrap().iter().map(|m| &m["after"]).collect();
    assert_eq!(places, [5, 3]);
    assert_eq!(server.get("/v1/groups/g").body["lag"], 0);
}

#[test]
fn a_dry_run_moves_nothing() {
    let server = server();
    reset(&server, &json!({ "topic": "t", "to": "latest" }));
    let moved = reset(&server, &json!({ "to": "earliest", "dry_run": true }));
    assert_eq!(moved["dry_run"], true);
    assert_eq!(
        (&moved["offsets"][0]["before"], &moved["offsets"][0]["after"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(server.get("/v1/groups/g").body["lag"], 0);
}

#[test]
fn a_group_whose_name_needs_escaping_is_found() {
    let server = server();
    let path = "/v1/groups/a%2Fb%20%C3%A4/offsets";
    let body = json!({ "topic": "t", "to": "latest" });
    assert_eq!(server.json("POST", path, &body).status, 200);
    assert_eq!(server.get("/v1/groups").body["groups"][0]["group"], "a/b ä");
    assert_eq!(server.get("/v1/groups/a%2Fb%20%C3%A4").status, 200);
    assert_eq!(server.request("DELETE", "/v1/groups/a%2Fb%20%C3%A4").send(b"").status, 204);
    assert_eq!(server.get("/v1/groups").body, json!({ "groups": [] }));
}

/// Joins as the only member, takes both partitions, and gives the member's id.
fn join(server: &Server) -> String {
    let broker = server.memory.broker.clone();
    let group = GroupId::parse("g").unwrap();
    let join = Join {
        group: group.clone(),
        member: MemberRef::dynamic(""),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), b"m".to_vec().into())],
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        first_join: FirstJoin::Admitted,
        leader_return: LeaderReturn::Follows,
    };
    let clock = server.memory.clock.clone();
    server.runtime.block_on(async move {
        let joining = tokio::spawn({
            let broker = broker.clone();
            async move { broker.groups().join(join).await }
        });
        while broker.groups().describe(&group).phase != GroupPhase::PreparingRebalance {
            tokio::task::yield_now().await;
        }
        // The first rebalance waits for more members on the broker's clock.
        clock.advance(Duration::from_secs(3));
        let joined = joining.await.unwrap().map_err(|refused| refused.error).unwrap();
        let assignment: &[u8] =
            b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";
        let sync = Sync {
            group,
            member: MemberRef { member_id: joined.member_id.clone(), instance_id: None },
            generation: joined.generation,
            protocol_type: None,
            protocol: None,
            assignments: vec![(joined.member_id.clone(), assignment.to_vec().into())],
        };
        broker.groups().sync(sync).await.unwrap();
        joined.member_id.to_string()
    })
}

#[test]
fn members_are_shown_with_what_they_read_and_protect_their_offsets() {
    let server = server();
    let member = join(&server);
    let group = server.get("/v1/groups/g").body;
    assert_eq!((&group["state"], &group["protocol"]), (&json!("stable"), &json!("range")));
    let expected = json!([{
        "member_id": member, "instance_id": null, "client_id": "client",
        "client_host": "/127.0.0.1", "assignment": [{ "topic": "t", "partitions": [0, 1] }],
    }]);
    assert_eq!(group["members"], expected);
    let body = json!({ "topic": "t", "to": "latest" });
    let answer = server.json("POST", "/v1/groups/g/offsets", &body);
    assert_eq!(answer.error(), (409, "FAILED_PRECONDITION", "group `g` has members"));
    let answer = server.request("DELETE", "/v1/groups/g").send(b"");
    assert_eq!(answer.error().0, 409);
}

#[test]
fn lag_is_told_in_messages_seconds_and_by_the_movement_of_commits() {
    let server = Server::start();
    server.create("t", 2);
    for (value, timestamp) in [("a", 1_000), ("b", 5_000), ("c", 65_500)] {
        let message = json!([{ "value": value, "timestamp": timestamp, "partition": 0 }]);
        server.publish("t", &message);
    }
    reset(&server, &json!({ "topic": "t", "offset": 1, "partitions": [0] }));
    let lag = server.get("/v1/groups/g/lag").body;
    assert_eq!((&lag["lag"], &lag["lag_seconds"]), (&json!(2), &json!(60.5)));
    let expected = json!({
        "topic": "t", "partition": 0, "client_id": null, "committed": 1,
        "committed_at": 1_700_000_000_000_i64, "log_start": 0, "high_watermark": 3, "lag": 2,
        "lag_seconds": 60.5, "lag_state": "OK", "commits": 1,
    });
    assert_eq!(lag["partitions"], json!([expected]));
    server.memory.clock.advance(Duration::from_secs(11));
    for path in ["/v1/groups/g/lag", "/v1/groups/g"] {
        let stopped = server.get(path).body;
        assert_eq!((&stopped["lag_state"], &stopped["lag"]), (&json!("STOP"), &json!(2)), "{path}");
    }
}

#[test]
fn what_is_read_without_a_commit_is_shown_with_its_reader() {
    let server = server();
    reset(&server, &json!({ "topic": "t", "to": "earliest", "partitions": [1] }));
    join(&server);
    let lag = server.get("/v1/groups/g/lag").body;
    assert_eq!((&lag["members"], &lag["lag"]), (&json!(1), &json!(3)));
    let of = |number: usize| {
        let of = &lag["partitions"][number];
        (of["partition"].clone(), of["client_id"].clone(), of["committed"].clone())
    };
    assert_eq!(of(0), (json!(0), json!("client"), Value::Null));
    assert_eq!(of(1), (json!(1), json!("client"), json!(0)));
}

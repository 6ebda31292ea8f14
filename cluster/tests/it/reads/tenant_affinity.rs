//! Tenants: each reads its replica group, dedicated groups serve nobody else, and a group that is down is replaced.

use cluster::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::{
    failures::failover::{faulty, metric, set_faults, wait_for_state},
    support::{TestCluster, guarded_cluster_with},
};
use node::test_client::Client;

/// Queries whose plans are looked at; each takes its turn from its words.
const QUERIES: usize = 24;

/// Three groups of one node each, the last one dedicated.
fn three_groups(options: &mut ClusterOptions, mode: &str) {
    faulty(options);
    options.nodes = 3;
    options.groups = 3;
    options.replication_factor = 1;
    let arguments = ["--tenant-affinity", mode, "--tenant-dedicated-groups", "2"];
    options.gateway_arguments.extend(arguments.map(str::to_owned));
}

fn films(client: &Client) {
    let films = (0..30).map(|id| json!({"id": id, "title": format!("film {id}")}));
    client.done("POST", "/indexes/films/documents?primaryKey=id", &films.collect());
}

/// Sends a request for a tenant; gives status and answer.
fn ask(client: &Client, tenant: Option<&str>, path: &str, body: &Value) -> (u16, Value) {
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(tenant.map(|tenant| ("X-Miroir-Tenant", tenant)));
    let (status, answer) = client.raw("POST", path, &headers, body.to_string().as_bytes()).unwrap();
    (status, serde_json::from_slice(&answer).unwrap())
}

fn explain(client: &Client, tenant: Option<&str>, query: usize) -> Value {
    let body = json!({"q": format!("film {query}")});
    let (status, explained) = ask(client, tenant, "/indexes/films/explain?execute=true", &body);
    assert_eq!(status, 200, "{explained}");
    explained
}

/// The groups that the queries of a tenant read, ascending; plan and execution agree.
fn groups(client: &Client, tenant: Option<&str>) -> Vec<u64> {
    let mut groups = Vec::new();
    for query in 0..QUERIES {
        let explained = explain(client, tenant, query);
        let group = explained["plan"]["group"]["id"].as_u64().unwrap();
        let done = &explained["execution"];
        // A node that is late under load makes another one be asked as well.
        let as_planned = done["retries"] == 0 && done["hedges"] == 0;
        for leg in done["legs"].as_array().unwrap().iter().filter(|_| as_planned) {
            assert_eq!(leg["node"], format!("n{group}"), "{explained}");
        }
        groups.push(group);
    }
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[test]
fn a_tenant_reads_its_group_and_a_dedicated_group_serves_nobody_else() {
    let mut cluster = TestCluster::start(|options| three_groups(options, "header"));
    films(&cluster.client);
    let (status, set) = cluster.client.call("PUT", "/_miroir/tenants/acme", &json!({"group": 2}));
    assert_eq!((status, set), (200, json!({"tenant": "acme", "group": 2})));
    assert_eq!(groups(&cluster.client, Some("acme")), [2]);
    assert_eq!(groups(&cluster.client, None), [0, 1], "turns leave the dedicated group out");
    let mut hashed = Vec::new();
    for number in 0..12 {
        let of = groups(&cluster.client, Some(&format!("tenant-{number}")));
        assert_eq!(of.len(), 1, "a tenant has one group");
        hashed.extend(of);
    }
    assert!(hashed.contains(&0) && hashed.contains(&1) && !hashed.contains(&2), "{hashed:?}");
    let plan = &explain(&cluster.client, Some("acme"), 1)["plan"];
    assert_eq!(plan["group"], json!({"id": 2, "reason": "tenant"}));
    assert_eq!(plan["tenant"], json!({"name": "acme", "group": 2, "source": "table"}));
    let plan = &explain(&cluster.client, None, 1)["plan"];
    assert_eq!((&plan["tenant"], &plan["group"]["reason"]), (&Value::Null, &json!("turn")));
    let many = json!({"queries": [{"indexUid": "films", "q": "film"}, {"indexUid": "films"}]});
    assert_eq!(ask(&cluster.client, Some("acme"), "/multi-search", &many).0, 200);
    // The table is there after a restart.
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let table = json!({"results": [{"tenant": "acme", "group": 2}], "keys": []});
    assert_eq!(cluster.client.read("/_miroir/tenants"), table);
    assert_eq!(groups(&cluster.client, Some("acme")), [2]);
}

#[test]
fn a_group_that_is_down_is_replaced_and_counted_but_never_by_one_of_others() {
    let mut cluster = TestCluster::start(|options| three_groups(options, "explicit"));
    films(&cluster.client);
    assert_eq!(cluster.client.call("PUT", "/_miroir/tenants/acme", &json!({"group": 2})).0, 200);
    assert_eq!(cluster.client.call("PUT", "/_miroir/tenants/other", &json!({"group": 0})).0, 200);
    assert_eq!(metric(&cluster, "miroir_tenant_failovers_total"), 0.0);
    cluster.cluster.kill_node(2).unwrap();
    wait_for_state(&cluster, 2, "down");
    let explained = explain(&cluster.client, Some("acme"), 0);
    assert_eq!(explained["plan"]["group"]["reason"], "failover", "{explained}");
    assert_eq!(groups(&cluster.client, Some("acme")).iter().find(|group| **group == 2), None);
    assert!(metric(&cluster, "miroir_tenant_failovers_total") >= 1.0);
    // An operator is told of it.
    let warned = explained["warnings"].as_array().unwrap().iter();
    assert_eq!(warned.filter(|warning| warning["code"] == "tenantGroupMissed").count(), 1, "{explained}");
    cluster.cluster.start_node(2).unwrap();
    wait_for_state(&cluster, 2, "healthy");
    for node in [0, 1] {
        cluster.cluster.kill_node(node).unwrap();
        wait_for_state(&cluster, node, "down");
    }
    let search = json!({"q": "film"});
    let status = |tenant| ask(&cluster.client, tenant, "/indexes/films/search", &search).0;
    assert_eq!(status(Some("acme")), 200);
    assert_eq!((status(None), status(Some("other")), status(Some("unknown"))), (503, 503, 503));
    assert_eq!(cluster.client.get("/indexes/films/documents/1").0, 503);
}

#[test]
fn the_group_of_a_sessions_write_wins() {
    let cluster = TestCluster::start(|options| {
        three_groups(options, "header");
        options.gateway_arguments.extend(["--session-mode", "route_pin"].map(str::to_owned));
    });
    films(&cluster.client);
    assert_eq!(cluster.client.call("PUT", "/_miroir/tenants/acme", &json!({"group": 1})).0, 200);
    // No node ends the write, so that the session stays pinned.
    for node in 0..3 {
        set_faults(&cluster, node, &json!({"stall_tasks": true}));
    }
    let headers = [("Content-Type", "application/json"), ("X-Miroir-Session", "me")];
    let written =
        cluster.client.raw("POST", "/indexes/films/documents", &headers, b"[{\"id\": 99}]").unwrap();
    assert_eq!(written.0, 202);
    let explained = |headers: &[(&str, &str)]| {
        let (_, answer) = cluster.client.raw("POST", "/indexes/films/explain", headers, b"{}").unwrap();
        let answer = serde_json::from_slice::<Value>(&answer).unwrap();
        (answer["plan"]["group"].clone(), answer["plan"]["tenant"]["name"].clone())
    };
    let json = ("Content-Type", "application/json");
    let (session, tenant) = (("X-Miroir-Session", "me"), ("X-Miroir-Tenant", "acme"));
    assert_eq!(explained(&[json, tenant]), (json!({"id": 1, "reason": "tenant"}), json!("acme")));
    assert_eq!(explained(&[json, session, tenant]), (json!({"id": 0, "reason": "session"}), json!("acme")));
    for node in 0..3 {
        set_faults(&cluster, node, &json!({"stall_tasks": false}));
    }
}

#[test]
fn keys_belong_to_tenants_and_others_may_be_refused() {
    let arguments = ["--tenant-affinity", "api-key", "--tenant-fallback", "reject"];
    let (cluster, master) = guarded_cluster_with("the-key-of-the-clients", |options| {
        options.nodes = 2;
        options.groups = 2;
        options.gateway_arguments.extend(arguments.map(str::to_owned));
    });
    films(&master);
    let make = |name: &str| {
        let body = json!({"name": name, "actions": ["search"], "indexes": ["films"], "expiresAt": null});
        let (_, made) = master.call("POST", "/keys", &body);
        let client = Client::new(cluster.cluster.url()).with_key(made["key"].as_str().unwrap());
        (made["uid"].as_str().unwrap().to_owned(), client)
    };
    let ((known, client), (_, stranger)) = (make("known"), make("stranger"));
    assert_eq!(master.call("PUT", "/_miroir/tenants/acme", &json!({"group": 1})).0, 200);
    let key = format!("/_miroir/tenants/keys/{known}");
    let (status, given) = master.call("PUT", &key, &json!({"tenant": "acme"}));
    assert_eq!((status, &given["tenant"]), (200, &json!("acme")));
    assert_eq!(groups(&client, None), [1]);
    assert_eq!(groups(&client, Some("other")), [1], "the header says nothing in this mode");
    let search = |client: &Client| client.call("POST", "/indexes/films/search", &json!({}));
    let (status, refused) = search(&stranger);
    assert_eq!((status, &refused["code"]), (403, &json!("miroir_tenant_unknown")), "{refused}");
    assert_eq!(master.call("DELETE", &key, &Value::Null).0, 204);
    assert_eq!(search(&client).0, 403);
    assert!(metric_with(&cluster, "source=\"rejected\"") >= 2.0);
}

/// The sum of the tenants' reads with a label.
fn metric_with(cluster: &TestCluster, label: &str) -> f64 {
    let key = [("Authorization", "Bearer the-key-of-the-clients")];
    let (_, text) = cluster.client.raw("GET", "/_miroir/metrics", &key, b"").unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines =
        text.lines().filter(|line| line.starts_with("miroir_tenant_reads_total{") && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn what_is_wrong_about_tenants_is_said_and_changes_nothing() {
    let cluster = TestCluster::start(|options| three_groups(options, "header"));
    films(&cluster.client);
    let client = &cluster.client;
    assert_eq!(client.call("PUT", "/_miroir/tenants/acme", &json!({"group": 1})).0, 200);
    let before = client.read("/_miroir/tenants");
    let long = format!("/_miroir/tenants/{}", "a".repeat(129));
    let unknown_key = "/_miroir/tenants/keys/6f8d5b3e-0000-4000-8000-000000000000";
    for (method, path, body, status, code, words) in [
        ("PUT", "/_miroir/tenants/acme", json!({"group": 3}), 400, "bad_request", "no group 3, only 0, 1, 2"),
        ("PUT", "/_miroir/tenants/acme", json!({"group": "1"}), 400, "bad_request", "`.group`"),
        ("PUT", "/_miroir/tenants/acme", json!({}), 400, "bad_request", "Missing field `group`"),
        ("PUT", "/_miroir/tenants/acme", json!({"group": 1, "x": 2}), 400, "bad_request", "`x`"),
        ("PUT", "/_miroir/tenants/acme", json!([1]), 400, "bad_request", "an object"),
        ("PUT", "/_miroir/tenants/a%20b", json!({"group": 1}), 400, "bad_request", "in the path"),
        ("PUT", &long, json!({"group": 1}), 400, "bad_request", "1 to 128"),
        ("DELETE", "/_miroir/tenants/other", Value::Null, 404, "miroir_tenant_not_found", "`other`"),
        ("PUT", "/_miroir/tenants/keys/x", json!({"tenant": "acme"}), 400, "bad_request", "`x`"),
        ("PUT", unknown_key, json!({"tenant": "acme"}), 404, "api_key_not_found", "6f8d5b3e"),
        ("PUT", unknown_key, json!({"tenant": 1}), 400, "bad_request", "`.tenant`"),
        ("DELETE", unknown_key, Value::Null, 404, "miroir_tenant_not_found", "6f8d5b3e"),
    ] {
        let (found, refused) = client.call(method, path, &body);
        assert_eq!(
            (found, refused["code"].as_str()),
            (status, Some(code)),
            "{method} {path} {body}: {refused}"
        );
        assert!(refused["message"].as_str().unwrap().contains(words), "{method} {path} {body}: {refused}");
    }
    for name in ["a b", "", "a/b"] {
        let (status, refused) = ask(client, Some(name), "/indexes/films/search", &json!({}));
        assert_eq!((status, refused["code"].as_str()), (400, Some("bad_request")), "{name:?}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains("`X-Miroir-Tenant`"), "{refused}");
    }
    assert_eq!(client.read("/_miroir/tenants"), before);
    assert_eq!(client.call("DELETE", "/_miroir/tenants/acme", &Value::Null).0, 204);
    assert_eq!(client.read("/_miroir/tenants")["results"], json!([]));
}

//! Lists of documents are those of one node: by id, filtered and sorted.
//! Invariant: sorts have no ties. A node without sorts (v1.15) refuses them, and so does the cluster.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster, load_cities};
use node::test_client::Client;

#[test]
fn lists_are_those_of_one_node() {
    let (cluster, single) =
        (TestCluster::start(|options| options.replication_factor = 2), SingleNode::start());
    load_cities(&single.client);
    load_cities(&cluster.client);
    let some = some_ids(&single.client);
    for body in [
        json!({"ids": some}),
        json!({"ids": [some[0], some[1], "nope"], "fields": ["name"]}),
        json!({"ids": some, "filter": "population > 1000000", "fields": ["id", "population"]}),
        json!({"ids": []}),
        json!({"filter": "country = Japan AND population > 500000", "limit": 1000}),
    ] {
        same(&single, &cluster, "POST", "/indexes/cities/documents/fetch", &body, false);
    }
    let ids = some.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    for query in [format!("ids={ids}"), format!("ids={ids}&fields=*"), format!("ids={ids}&fields=name,id")] {
        same(&single, &cluster, "GET", &format!("/indexes/cities/documents?{query}"), &Value::Null, false);
    }
    for body in [
        json!({"sort": ["population:desc", "name:asc"], "limit": 30}),
        json!({"sort": ["population:asc", "name:desc"], "offset": 40, "limit": 10, "fields": ["id", "country"]}),
        json!({"sort": ["_geoPoint(48.8, 2.3):asc"], "limit": 10, "filter": "country = France"}),
        json!({"sort": ["_geoPoint(48.8, 2.3):desc"], "limit": 10, "fields": ["name"], "filter": "country = Japan"}),
        json!({"sort": ["nope:asc"]}),
        json!({"sort": ["population"]}),
        json!({"sort": 7}),
        json!({"ids": [{}]}),
    ] {
        same(&single, &cluster, "POST", "/indexes/cities/documents/fetch", &body, true);
    }
    for query in ["sort=population:desc,name:asc&limit=5", "sort=population", "ids=a%20b"] {
        same(&single, &cluster, "GET", &format!("/indexes/cities/documents?{query}"), &Value::Null, true);
    }
}

/// Nodes before v1.37 have no such route, so the cluster has none either.
#[test]
fn fields_are_those_of_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for client in [&single.client, &cluster.client] {
        load_cities(client);
        client.done(
            "PATCH",
            "/indexes/cities/settings",
            &json!({"displayedAttributes": ["id", "name", "_geo"]}),
        );
    }
    for body in [
        json!({}),
        json!({"offset": 2, "limit": 3}),
        json!({"filter": {"displayed": false}}),
        json!({"filter": {"displayed": true, "sortable": true}}),
        json!({"filter": {"attributePatterns": ["*o*"]}}),
        json!({"filter": {"nope": 1}}),
        json!({"limit": "a"}),
    ] {
        same(&single, &cluster, "POST", "/indexes/cities/fields", &body, true);
    }
    same(&single, &cluster, "POST", "/indexes/nope/fields", &json!({}), true);
}

fn some_ids(client: &Client) -> Vec<Value> {
    let page = client.read("/indexes/cities/documents?offset=700&limit=9&fields=id");
    page["results"].as_array().unwrap().iter().map(|document| document["id"].clone()).collect()
}

/// Checks that both return the same documents, in the same order if they are sorted.
fn same(single: &SingleNode, cluster: &TestCluster, method: &str, path: &str, body: &Value, sorted: bool) {
    let ask = |client: &Client| {
        let (status, mut answer) = client.call(method, path, body);
        if let Some(results) = answer["results"].as_array_mut().filter(|_| !sorted) {
            results.sort_by_key(Value::to_string);
        }
        (status, answer)
    };
    assert_eq!(ask(&cluster.client), ask(&single.client), "{method} {path} {body}");
}

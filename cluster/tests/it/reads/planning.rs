//! Plans narrowed by the filter: a query for documents by key asks only the nodes that hold them, and loses no hit.

use serde_json::{Value, json};

use crate::{failures::failover::metric, support::TestCluster};

const DOCUMENTS: usize = 60;

fn ids(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"].as_array().unwrap();
    let mut ids = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect::<Vec<_>>();
    ids.sort_unstable();
    ids
}

#[test]
fn a_filter_on_the_key_asks_the_nodes_of_these_keys() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    let index = json!({"uid": "parts", "primaryKey": "id"});
    assert_eq!(client.done("POST", "/indexes", &index)["status"], "succeeded");
    let settings = json!({"filterableAttributes": ["id", "even"], "sortableAttributes": ["number"]});
    client.done("PATCH", "/indexes/parts/settings", &settings);
    let part =
        |number: usize| json!({"id": number.to_string(), "number": number, "even": number.is_multiple_of(2)});
    let parts = (0..DOCUMENTS).map(part).collect::<Vec<_>>().into();
    client.done("POST", "/indexes/parts/documents", &parts);
    let narrowed = || metric(&cluster, "miroir_narrowed_plans_total");
    let legs = || metric(&cluster, "miroir_scatter_fan_out_size_sum");
    for number in 0..DOCUMENTS {
        let before = legs();
        let query =
            json!({"q": "", "filter": format!("id = {number} AND even = {}", number.is_multiple_of(2))});
        let answer = client.search("parts", &query);
        assert_eq!(ids(&answer), [number.to_string()]);
        assert_eq!(answer["estimatedTotalHits"], 1);
        assert!(legs() - before == 1.0, "one key is on one node");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let all = DOCUMENTS as f64;
    assert!(narrowed() == all);
    let some =
        client.search("parts", &json!({"filter": ["id IN [3, '4', 59, 99]"], "sort": ["number:desc"]}));
    let in_order = some["hits"].as_array().unwrap().iter().map(|hit| &hit["number"]).collect::<Vec<_>>();
    assert_eq!(in_order, [59, 4, 3]);
    assert_eq!(client.search("parts", &json!({"filter": "id = 99"}))["hits"], json!([]));
    assert!(narrowed() == all + 2.0);
    let facets = json!({"filter": "id = 3", "facets": ["even"]});
    assert_eq!(client.search("parts", &facets)["facetDistribution"], json!({"even": {"false": 1}}));
    assert!(narrowed() == all + 2.0, "facets are asked of everybody");
    // From now on two keys may match the same filter.
    client.done("POST", "/indexes/parts/documents", &json!([{"id": "PART"}, {"id": "part"}]));
    assert_eq!(ids(&client.search("parts", &json!({"filter": "id = 5"}))), ["5"]);
    assert_eq!(ids(&client.search("parts", &json!({"filter": "id = Part"}))), ["PART", "part"]);
    assert!(narrowed() == all + 2.0);
}

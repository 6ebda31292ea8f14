//! Vectors: stored exactly, searched, combined with words, and neighbours.

use serde_json::{Value, json};

use crate::client::{TestNode, ids};

fn vector_node() -> TestNode {
    let node = TestNode::start();
    let embedders = json!({ "own": { "source": "userProvided", "dimensions": 2 } });
    node.client.done("PATCH", "/indexes/v/settings", &json!({ "embedders": embedders }));
    let documents = json!([
        { "id": 1, "title": "east", "_vectors": { "own": [1.0, 0.0] } },
        { "id": 2, "title": "north", "_vectors": { "own": [0.0, 1.0] } },
        { "id": 3, "title": "north east", "_vectors": { "own": [0.70710677, 0.70710677] } },
        { "id": 4, "title": "nowhere", "_vectors": { "own": null } }
    ]);
    node.client.done("POST", "/indexes/v/documents", &documents);
    node
}

#[test]
fn vectors_come_back_as_they_were() {
    let node = vector_node();
    let fetched =
        node.client.post("/indexes/v/documents/fetch", &json!({ "ids": [3], "retrieveVectors": true }));
    let vectors = &fetched["results"][0]["_vectors"]["own"];
    assert_eq!(vectors["regenerate"], false);
    let embedding: Vec<f32> = serde_json::from_value(vectors["embeddings"][0].clone()).unwrap();
    assert_eq!(embedding, [std::f32::consts::FRAC_1_SQRT_2; 2]);
    assert!(node.client.read("/indexes/v/documents/3").get("_vectors").is_none());
    let stats = node.client.read("/indexes/v/stats");
    assert_eq!((&stats["numberOfEmbeddings"], &stats["numberOfEmbeddedDocuments"]), (&json!(3), &json!(3)));
}

#[test]
fn vectors_are_searched_alone_and_with_words() {
    let node = vector_node();
    let query = |ratio: f64| {
        json!({ "q": "north", "vector": [1.0, 0.1], "showRankingScore": true,
                "hybrid": { "embedder": "own", "semanticRatio": ratio } })
    };
    let semantic = node.client.search("v", &query(1.0));
    // Documents without a vector come last, as in the engine of v1.15.
    assert_eq!(ids(&semantic), [1, 3, 2, 4]);
    assert_eq!(semantic["hits"][3]["_rankingScore"], 0.0);
    assert_eq!(semantic["semanticHitCount"], 4);
    assert_eq!(ids(&node.client.search("v", &query(0.0))), [2, 3]);
    let mut hybrid = ids(&node.client.search("v", &query(0.5)));
    hybrid.sort_unstable();
    assert_eq!(hybrid, [1, 2, 3, 4]);
    let (status, error) = node.client.call(
        "POST",
        "/indexes/v/search",
        &json!({ "vector": [1.0], "hybrid": { "embedder": "own" } }),
    );
    assert_eq!((status, &error["code"]), (400, &json!("invalid_vector_dimensions")));
    let (_, error) =
        node.client.call("POST", "/indexes/v/search", &json!({ "q": "x", "hybrid": { "embedder": "nope" } }));
    assert_eq!(error["code"], "invalid_search_embedder");
}

#[test]
fn neighbours_are_found() {
    let node = vector_node();
    let similar = |body: Value| node.client.call("POST", "/indexes/v/similar", &body);
    let (status, answer) = similar(json!({ "id": 1, "embedder": "own", "showRankingScore": true }));
    assert_eq!((status, ids(&answer)), (200, vec![3, 2]), "{answer}");
    assert_eq!(answer["id"], "1");
    assert!(answer["hits"][0]["_rankingScore"].as_f64().unwrap() > 0.8);
    assert_eq!(ids(&node.client.read("/indexes/v/similar?id=1&embedder=own&limit=1")), [3]);
    for (body, code) in [
        (json!({ "id": 77, "embedder": "own" }), "not_found_similar_id"),
        (json!({ "id": 1, "embedder": "nope" }), "invalid_similar_embedder"),
        (json!({ "id": [], "embedder": "own" }), "invalid_similar_id"),
    ] {
        assert_eq!(similar(body).1["code"], code);
    }
}

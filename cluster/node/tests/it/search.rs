//! Searching: pages, filters, sorts, facets, formatting, scores.

use serde_json::{Value, json};

use crate::client::{film_node, ids};

#[test]
fn a_search_answers_with_meilisearchs_fields_in_its_order() {
    let node = film_node();
    let answer = node.client.search("films", &json!({ "q": "matrix" }));
    let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["hits", "query", "processingTimeMs", "limit", "offset", "estimatedTotalHits"]);
    assert_eq!(ids(&answer), [1, 2]);
    assert_eq!(answer["estimatedTotalHits"], 2);
    let hit: Vec<&String> = answer["hits"][0].as_object().unwrap().keys().collect();
    assert_eq!(hit, ["id", "title", "year", "genres", "rating", "director", "_geo"]);
}

#[test]
fn pages_count_and_windows_estimate() {
    let node = film_node();
    let check = |query: Value, expected: &[i64], totals: Value| {
        let answer = node.client.search("films", &query);
        assert_eq!(ids(&answer), expected, "{query}");
        for (field, value) in totals.as_object().unwrap() {
            assert_eq!(&answer[field], value, "{query}: {field}");
        }
    };
    let total = json!({ "totalHits": 5, "totalPages": 3, "page": 2, "hitsPerPage": 2 });
    check(json!({ "page": 2, "hitsPerPage": 2 }), &[3, 4], total);
    check(json!({ "page": 0 }), &[], json!({ "totalHits": 5, "page": 0, "hitsPerPage": 20 }));
    check(json!({ "hitsPerPage": 0 }), &[], json!({ "totalHits": 5, "totalPages": 0 }));
    check(json!({ "offset": 4, "limit": 9 }), &[5], json!({ "offset": 4, "limit": 9 }));
    node.client.done("PATCH", "/indexes/films/settings", &json!({ "pagination": { "maxTotalHits": 3 } }));
    check(json!({ "limit": 10 }), &[1, 2, 3], json!({ "estimatedTotalHits": 3, "limit": 10 }));
}

#[test]
fn filters_sorts_and_distinct_select() {
    let node = film_node();
    let check = |query: Value, expected: &[i64]| {
        assert_eq!(ids(&node.client.search("films", &query)), expected, "{query}");
    };
    check(json!({ "filter": "genres IN [horror, action] AND year < 2000" }), &[1, 4]);
    check(json!({ "filter": [["year = 1982", "year = 2011"]] }), &[3, 5]);
    check(json!({ "filter": "_geoRadius(45.47, 9.18, 1000)" }), &[1]);
    check(json!({ "sort": ["year:desc"] }), &[5, 2, 1, 3, 4]);
    check(json!({ "sort": ["_geoPoint(51.5, -0.12):asc"], "limit": 3 }), &[4, 2, 1]);
    check(json!({ "distinct": "director.name" }), &[1, 3, 5]);
    check(json!({ "q": "scott", "attributesToSearchOn": ["title"] }), &[]);
    check(json!({ "q": "matrix reloaded", "matchingStrategy": "all" }), &[2]);
    let near = node.client.search("films", &json!({ "sort": ["_geoPoint(51.5, -0.12):asc"], "limit": 1 }));
    assert_eq!(near["hits"][0]["_geoDistance"], 0);
}

#[test]
fn facets_count_all_candidates() {
    let node = film_node();
    let answer = node.client.search("films", &json!({ "facets": ["genres", "year"], "limit": 1 }));
    assert_eq!(answer["facetDistribution"]["genres"], json!({ "action": 2, "horror": 1, "scifi": 3 }));
    assert_eq!(answer["facetStats"], json!({ "year": { "min": 1979.0, "max": 2011.0 } }));
    let by_count =
        json!({ "faceting": { "sortFacetValuesBy": { "genres": "count" }, "maxValuesPerFacet": 2 } });
    node.client.done("PATCH", "/indexes/films/settings", &by_count);
    let answer = node.client.search("films", &json!({ "facets": ["genres"] }));
    let genres: Vec<&String> = answer["facetDistribution"]["genres"].as_object().unwrap().keys().collect();
    assert_eq!(genres, ["scifi", "action"]);
    let path = "/indexes/films/facet-search";
    let found = node.client.post(path, &json!({ "facetName": "genres", "facetQuery": "s" }));
    assert_eq!(found["facetHits"], json!([{ "value": "scifi", "count": 3 }]));
    assert_eq!(found["facetQuery"], "s");
    let (status, error) = node.client.call("POST", path, &json!({ "facetQuery": "s" }));
    assert_eq!((status, &error["code"]), (400, &json!("missing_facet_search_facet_name")));
    let (_, error) = node.client.call("POST", path, &json!({ "facetName": "rating" }));
    assert_eq!(error["code"], "invalid_facet_search_facet_name");
}

#[test]
fn hits_are_formatted() {
    let node = film_node();
    let answer = node.client.search(
        "films",
        &json!({
            "q": "matrix reloaded", "limit": 1, "attributesToRetrieve": ["id"],
            "attributesToHighlight": ["title", "year"], "attributesToCrop": ["title:1"],
            "highlightPreTag": "[", "highlightPostTag": "]", "cropMarker": "...", "showMatchesPosition": true
        }),
    );
    let hit = &answer["hits"][0];
    assert_eq!(hit["id"], 2);
    let formatted = hit["_formatted"].as_object().unwrap();
    assert_eq!(formatted.keys().collect::<Vec<_>>(), ["id", "title", "year"]);
    assert_eq!((&formatted["id"], &formatted["year"]), (&json!("2"), &json!("2003")));
    let title = formatted["title"].as_str().unwrap();
    assert!(title.contains("...") && title.contains('['), "{title}");
    let places = json!([{ "start": 4, "length": 6 }, { "start": 11, "length": 8 }]);
    assert_eq!(hit["_matchesPosition"]["title"], places);
    assert!(hit.get("title").is_none());
}

#[test]
fn scores_and_their_details_are_shown() {
    let node = film_node();
    let query = json!({ "q": "the matrix", "showRankingScore": true, "showRankingScoreDetails": true });
    let answer = node.client.search("films", &query);
    let hit = &answer["hits"][0];
    assert!(hit["_rankingScore"].as_f64().unwrap() > 0.9);
    let details = hit["_rankingScoreDetails"].as_object().unwrap();
    let rules = ["words", "typo", "proximity", "attribute", "exactness"];
    assert_eq!(details.keys().collect::<Vec<_>>(), rules);
    assert_eq!(details["words"]["matchingWords"], 2);
    assert_eq!(details["exactness"]["matchType"], "exactMatch");
    let strict = json!({ "q": "the matrix", "rankingScoreThreshold": 0.9999 });
    assert_eq!(ids(&node.client.search("films", &strict)), [1]);
}

#[test]
fn a_get_searches_like_a_post() {
    let node = film_node();
    let path = "/indexes/films/search?q=matrix&limit=5&filter=year%20%3E%202000&sort=year:desc,title:asc\
                &attributesToRetrieve=id,title&facets=genres&showRankingScore=true";
    let got = node.client.read(path);
    let mut posted = node.client.search(
        "films",
        &json!({
            "q": "matrix", "limit": 5, "filter": "year > 2000", "sort": ["year:desc", "title:asc"],
            "attributesToRetrieve": ["id", "title"], "facets": ["genres"], "showRankingScore": true
        }),
    );
    posted["processingTimeMs"] = got["processingTimeMs"].clone();
    assert_eq!(got, posted);
    assert_eq!(ids(&got), [2]);
}

#[test]
fn several_searches_go_in_one_request() {
    let node = film_node();
    let queries = json!({ "queries": [
        { "indexUid": "films", "q": "alien" }, { "indexUid": "films", "q": "blade", "limit": 1 }
    ]});
    let answer = node.client.post("/multi-search", &queries);
    assert_eq!(answer["results"][0]["indexUid"], "films");
    assert_eq!((ids(&answer["results"][0]), ids(&answer["results"][1])), (vec![4], vec![3]));
    let wrong = json!({ "queries": [{ "indexUid": "films" }, { "indexUid": "films", "limit": "x" }] });
    let (status, error) = node.client.call("POST", "/multi-search", &wrong);
    assert_eq!((status, &error["code"]), (400, &json!("invalid_search_limit")));
    assert!(error["message"].as_str().unwrap().contains("`.queries[1].limit`"));
    let missing = json!({ "queries": [{ "indexUid": "nope" }] });
    let (status, error) = node.client.call("POST", "/multi-search", &missing);
    assert_eq!(status, 400);
    assert_eq!(error["message"], "Inside `.queries[0]`: Index `nope` not found.");
}

#[test]
fn a_federation_ranks_hits_of_several_queries_together() {
    let node = film_node();
    node.client.done(
        "POST",
        "/indexes/books/documents",
        &json!([{ "id": 70, "title": "Matrix" }, { "id": 71, "title": "Alien" }]),
    );
    let federated = |queries: Value, federation: Value| {
        node.client.call("POST", "/multi-search", &json!({ "queries": queries, "federation": federation }))
    };
    let queries = json!([
        { "indexUid": "films", "q": "matrix", "federationOptions": { "weight": 0.5 } },
        { "indexUid": "books", "q": "matrix" },
        { "indexUid": "films", "q": "the matrix", "federationOptions": { "weight": 0.4 } }
    ]);
    let (status, answer) =
        federated(queries, json!({ "limit": 3, "facetsByIndex": { "films": ["genres"] } }));
    assert_eq!((status, ids(&answer)), (200, vec![70, 1, 2]), "{answer}");
    assert_eq!(answer["hits"][0]["_federation"]["indexUid"], "books");
    assert_eq!(answer["hits"][0]["_federation"]["queriesPosition"], 1);
    assert_eq!(answer["estimatedTotalHits"], 3);
    assert_eq!(answer["facetsByIndex"]["films"]["distribution"]["genres"]["action"], 2);
    let facets = json!({ "facetsByIndex": { "films": ["genres", "year"] }, "mergeFacets": { "maxValuesPerFacet": 2 } });
    let (_, answer) = federated(json!([{ "indexUid": "films" }]), facets);
    assert_eq!(answer["facetDistribution"]["genres"], json!({ "action": 2, "horror": 1 }));
    assert_eq!(answer["facetStats"]["year"], json!({ "min": 1979.0, "max": 2011.0 }));
    assert!(answer.get("facetsByIndex").is_none());
    let (status, error) = federated(json!([{ "indexUid": "films", "limit": 3 }]), json!({}));
    assert_eq!((status, &error["code"]), (400, &json!("invalid_multi_search_query_pagination")));
    let (status, error) = federated(json!([{ "indexUid": "nope" }]), json!({}));
    assert_eq!((status, &error["code"]), (400, &json!("index_not_found")));
}

#[test]
fn contains_needs_its_feature() {
    let node = film_node();
    let query = json!({ "filter": "genres CONTAINS cif" });
    let (status, error) = node.client.call("POST", "/indexes/films/search", &query);
    assert_eq!((status, &error["code"]), (400, &json!("feature_not_enabled")));
    node.client.call("PATCH", "/experimental-features", &json!({ "containsFilter": true }));
    assert_eq!(ids(&node.client.search("films", &query)), [1, 3, 4]);
}

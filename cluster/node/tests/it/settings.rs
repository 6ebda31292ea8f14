//! Settings: defaults, changes, resets, and each one alone.

use serde_json::{Value, json};

use crate::client::{TestNode, film_node};

fn defaults() -> Value {
    json!({
        "displayedAttributes": ["*"], "searchableAttributes": ["*"], "filterableAttributes": [],
        "sortableAttributes": [],
        "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness"],
        "stopWords": [], "nonSeparatorTokens": [], "separatorTokens": [], "dictionary": [], "synonyms": {},
        "distinctAttribute": null, "proximityPrecision": "byWord",
        "typoTolerance": {
            "enabled": true, "minWordSizeForTypos": { "oneTypo": 5, "twoTypos": 9 }, "disableOnWords": [],
            "disableOnAttributes": [], "disableOnNumbers": false
        },
        "faceting": { "maxValuesPerFacet": 100, "sortFacetValuesBy": { "*": "alpha" } },
        "pagination": { "maxTotalHits": 1000 }, "embedders": {}, "searchCutoffMs": null,
        "localizedAttributes": null, "facetSearch": true, "prefixSearch": "indexingTime"
    })
}

fn changed() -> Value {
    json!({
        "displayedAttributes": ["id", "title"], "searchableAttributes": ["title"],
        "filterableAttributes": ["year", { "attributePatterns": ["genre*"], "features": {
            "facetSearch": false, "filter": { "equality": true, "comparison": false } } }],
        "sortableAttributes": ["title", "year"], "rankingRules": ["words", "year:desc", "sort"],
        "stopWords": ["a", "the"], "nonSeparatorTokens": ["#"], "separatorTokens": ["|"],
        "dictionary": ["J. R. R."], "synonyms": { "film": ["movie"] }, "distinctAttribute": "title",
        "proximityPrecision": "byAttribute",
        "typoTolerance": {
            "enabled": false, "minWordSizeForTypos": { "oneTypo": 4, "twoTypos": 8 },
            "disableOnWords": ["matrix"], "disableOnAttributes": ["title"], "disableOnNumbers": true
        },
        "faceting": { "maxValuesPerFacet": 7, "sortFacetValuesBy": { "*": "alpha", "year": "count" } },
        "pagination": { "maxTotalHits": 50 },
        "embedders": { "own": { "source": "userProvided", "dimensions": 2 } }, "searchCutoffMs": 700,
        "localizedAttributes": [{ "attributePatterns": ["title_*"], "locales": ["fra"] }],
        "facetSearch": false, "prefixSearch": "disabled"
    })
}

#[test]
fn the_whole_is_set_shown_and_reset() {
    let node = TestNode::start();
    let client = &node.client;
    client.done("POST", "/indexes", &json!({ "uid": "a" }));
    assert_eq!(client.read("/indexes/a/settings"), defaults());
    let task = client.done("PATCH", "/indexes/a/settings", &changed());
    assert_eq!((&task["type"], &task["details"]), (&json!("settingsUpdate"), &changed()));
    assert_eq!(client.read("/indexes/a/settings"), changed());
    client.done("PATCH", "/indexes/a/settings", &json!({ "stopWords": null, "typoTolerance": null }));
    let partly = client.read("/indexes/a/settings");
    assert_eq!(partly["stopWords"], json!([]));
    assert_eq!(partly["typoTolerance"], defaults()["typoTolerance"]);
    assert_eq!(partly["rankingRules"], changed()["rankingRules"]);
    client.done("DELETE", "/indexes/a/settings", &json!(null));
    assert_eq!(client.read("/indexes/a/settings"), defaults());
}

#[test]
fn each_view_reads_changes_and_resets_its_field() {
    let node = TestNode::start();
    let client = &node.client;
    client.done("POST", "/indexes", &json!({ "uid": "a" }));
    let patched = ["typoTolerance", "faceting", "pagination", "embedders"];
    for (field, value) in changed().as_object().unwrap() {
        let mut path = String::from("/indexes/a/settings/");
        for letter in field.chars() {
            if letter.is_ascii_uppercase() {
                path.push('-');
            }
            path.push(letter.to_ascii_lowercase());
        }
        let method = if patched.contains(&field.as_str()) { "PATCH" } else { "PUT" };
        client.done(method, &path, value);
        assert_eq!(&client.read(&path), value, "{field}");
        let task = client.done("DELETE", &path, &json!(null));
        let attributes = ["displayedAttributes", "searchableAttributes"].contains(&field.as_str());
        assert_eq!(task["details"][field], if attributes { json!(["*"]) } else { Value::Null });
        assert_eq!(client.read(&path), defaults()[field], "{field}");
    }
}

#[test]
fn wrong_settings_are_refused_with_their_code() {
    let node = film_node();
    for (path, method, body, code, text) in [
        (
            "",
            "PATCH",
            json!({ "rankingRules": ["nope"] }),
            "invalid_settings_ranking_rules",
            "Invalid value at `.rankingRules[0]`: `nope` ranking rule is invalid. Valid ranking rules are words, \
             typo, sort, proximity, attribute, exactness and custom ranking rules.",
        ),
        (
            "/stop-words",
            "PUT",
            json!("the"),
            "invalid_settings_stop_words",
            "Invalid value type: expected an array, but found a string: `\"the\"`",
        ),
        (
            "/stop-words",
            "PUT",
            json!([1]),
            "invalid_settings_stop_words",
            "Invalid value type at `[0]`: expected a string, but found a positive integer: `1`",
        ),
        (
            "",
            "PATCH",
            json!({ "pagination": { "maxTotalHits": "x" } }),
            "invalid_settings_pagination",
            "Invalid value type at `.pagination.maxTotalHits`: expected a positive integer, but found a string: \
             `\"x\"`",
        ),
    ] {
        let (status, error) = node.client.call(method, &format!("/indexes/films/settings{path}"), &body);
        assert_eq!((status, &error["code"], &error["message"]), (400, &json!(code), &json!(text)));
    }
    assert_eq!(node.client.get("/indexes/nope/settings").1["code"], "index_not_found");
    let task = node.client.write("DELETE", "/indexes/nope/settings/stop-words", &json!(null));
    assert_eq!(task["error"]["code"], "index_not_found");
}

#[test]
fn fields_stay_searchable_when_they_lose_their_facets() {
    let node = film_node();
    let client = &node.client;
    for (setting, value) in [
        ("filterableAttributes", json!(["title"])),
        ("sortableAttributes", json!(["title"])),
        ("distinctAttribute", json!("title")),
        ("rankingRules", json!(["words", "title:asc"])),
    ] {
        client.done("PATCH", "/indexes/films/settings", &json!({ setting: value }));
        client.done("PATCH", "/indexes/films/settings", &json!({ setting: null }));
        let found = crate::client::ids(&client.search("films", &json!({ "q": "matr" })));
        assert_eq!(found, [1, 2], "after {setting}");
    }
    assert_eq!(client.read("/indexes/films/settings/prefix-search"), "indexingTime");
}

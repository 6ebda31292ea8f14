//! What legs are asked, for what clients send.
//! Invariant: each test states requests and the bodies that come of them.

use super::*;
use crate::api::{index_rules::IndexRules, search::facet_search::FacetSearchRequest};

fn rules(settings: Value) -> IndexRules {
    IndexRules::from_settings(&settings)
}

#[test]
fn legs_are_asked_from_the_start_with_details() {
    let check = |body: &str, details: bool, filter: Option<&str>, expected: &str| {
        let request = SearchRequest::parse(body.as_bytes()).ok().unwrap();
        let rules = rules(Value::Null);
        let needs = LegNeeds { hits: request.hits_wanted(&rules), merged: details, plain: false };
        let prefix = request.leg_prefix(&rules, needs);
        assert_eq!(String::from_utf8(request.leg_body(&prefix, filter)).unwrap(), expected, "{body}");
    };
    check("{}", false, None, r#"{"offset":0,"limit":20}"#);
    check(
        r#"{"q":"a\"b","offset":5,"limit":10,"filter":"x = 1","sort":["a:asc"]}"#,
        true,
        Some("s IN [1]"),
        r#"{"offset":0,"limit":15,"showRankingScoreDetails":true,"q":"a\"b","sort":["a:asc"],"filter":["x = 1","s IN [1]"]}"#,
    );
    check(
        r#"{"page":3,"hitsPerPage":4,"filter":[]}"#,
        true,
        Some("s"),
        r#"{"page":1,"hitsPerPage":12,"showRankingScoreDetails":true,"filter":["s"]}"#,
    );
    check(r#"{"limit":5000,"offset":3}"#, false, None, r#"{"offset":0,"limit":1000}"#);
    check(r#"{"filter":null,"limit":1}"#, false, None, r#"{"offset":0,"limit":1}"#);
}

#[test]
fn tenants_search_within_their_rules() {
    let mut request = SearchRequest::parse(br#"{"filter":"a = 1","filter":"b = 2"}"#).ok().unwrap();
    request.restrict(Some(r#""t = 1""#.to_owned()));
    assert_eq!(request.leg_body(b"{", Some("s")), br#"{"filter":["b = 2","t = 1","s"]}"#);
    let mut request = FacetSearchRequest::parse(br#"{"facetName":"f"}"#).ok().unwrap();
    request.restrict(Some(r#""t = 1""#.to_owned()));
    assert_eq!(request.leg_body(None), br#"{"facetName":"f","filter":"t = 1"}"#);
}

#[test]
fn what_is_hidden_is_not_asked_for() {
    let rules = rules(serde_json::json!({"displayedAttributes": ["title", "a.b"]}));
    let check = |body: &str, expected: &str| {
        let request = SearchRequest::parse(body.as_bytes()).ok().unwrap();
        let needs = LegNeeds { hits: 20, merged: false, plain: false };
        let prefix = String::from_utf8(request.leg_prefix(&rules, needs)).unwrap();
        assert_eq!(prefix, format!(r#"{{"offset":0,"limit":20,{expected}"#), "{body}");
    };
    check("{}", r#""attributesToRetrieve":["title","a.b"]"#);
    check(r#"{"attributesToRetrieve":["*"]}"#, r#""attributesToRetrieve":["title","a.b"]"#);
    check(r#"{"attributesToRetrieve":["title.x","secret","a","a.b"]}"#, r#""attributesToRetrieve":["a.b"]"#);
    check(
        r#"{"attributesToCrop":["*:5"],"attributesToHighlight":["secret"]}"#,
        r#""attributesToRetrieve":["title","a.b"],"attributesToHighlight":[],"attributesToCrop":["title:5","a.b:5"]"#,
    );
}

#[test]
fn matches_in_hidden_attributes_are_taken_out() {
    let rules = rules(serde_json::json!({"displayedAttributes": ["title", "a.b"]}));
    let answer = r#"{"hits":[{"title":"x","_matchesPosition":{"title":[],"secret":[],"a.b":[],"a.c":[]}}]}"#;
    let check = |body: &str, expected: &str| {
        let mut found = answer.as_bytes().to_vec();
        SearchRequest::parse(body.as_bytes()).ok().unwrap().hide_positions(&rules, &mut found);
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    };
    check("{}", answer);
    check(
        r#"{"showMatchesPosition":true}"#,
        r#"{"hits":[{"title":"x","_matchesPosition":{"title":[],"a.b":[]}}]}"#,
    );
}

#[test]
fn what_is_not_understood_is_left_to_a_node() {
    for body in [
        "",
        "[]",
        "{",
        r#"{"limit":-1}"#,
        r#"{"limit":"a"}"#,
        r#"{"filter":7}"#,
        r#"{"page":1.5}"#,
        r#"{"hybrid":{}}"#,
    ] {
        assert!(SearchRequest::parse(body.as_bytes()).is_err(), "{body}");
    }
}

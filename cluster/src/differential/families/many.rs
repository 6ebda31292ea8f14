//! Several searches in one request: separate, and merged into one list.

use serde_json::{Value, json};

use crate::differential::corpus::{GOODS, NOTES, THINGS};
use crate::differential::families::{Asker, facets, order, pages, text, vectors};
use crate::differential::question::Question;

/// Members that a query of a federation must not have.
const PAGING: [&str; 4] = ["limit", "offset", "page", "hitsPerPage"];

fn query(asker: &mut Asker<'_>) -> Value {
    let kinds: [fn(&mut Asker<'_>) -> Question; 8] = [
        text::keyword,
        text::prefix,
        order::number,
        facets::facets,
        pages::pages,
        vectors::vector,
        text::custom_rules,
        text::phrase,
    ];
    let question = asker.one_of(&kinds)(asker);
    let question = question.with("indexUid", json!(question.index));
    question.body.unwrap_or_default()
}

pub(super) fn multi_search(asker: &mut Asker<'_>) -> Question {
    let queries = (0..asker.random.usize(1..=4)).map(|_| query(asker)).collect::<Vec<_>>();
    Question::whole("POST", "/multi-search", Some(json!({"queries": queries})))
}

pub(super) fn federated(asker: &mut Asker<'_>) -> Question {
    let mut queries = Vec::new();
    for _ in 0..asker.random.usize(1..=4) {
        let mut query = query(asker);
        if let Value::Object(members) = &mut query {
            for member in PAGING.iter().chain(&["facets"]) {
                members.shift_remove(*member);
            }
        }
        if asker.random.bool() {
            query["federationOptions"] = json!({"weight": asker.one_of(&[0.0, 0.25, 0.9, 1.0, 2.0])});
        }
        queries.push(query);
    }
    let mut federation = json!({});
    if asker.random.bool() {
        federation["limit"] = json!(asker.random.u8(..50));
        federation["offset"] = json!(asker.random.u8(..20));
    }
    if asker.once_in(3) {
        federation["facetsByIndex"] = json!({(THINGS): ["category"], (GOODS): ["colour"]});
    }
    Question::whole("POST", "/multi-search", Some(json!({"federation": federation, "queries": queries})))
}

/// Merged facets of several indexes, and pages.
pub(super) fn federated_facets(asker: &mut Asker<'_>) -> Question {
    let mut federation = json!({
        "facetsByIndex": {(THINGS): ["category", "bucket"], (NOTES): ["year"]},
        "mergeFacets": {"maxValuesPerFacet": asker.random.u8(1..20)},
    });
    if asker.random.bool() {
        federation["page"] = json!(asker.random.u8(1..4));
        federation["hitsPerPage"] = json!(asker.random.u8(1..10));
    }
    let common = asker.common();
    let queries = json!([{"indexUid": THINGS, "q": common}, {"indexUid": NOTES, "q": common}]);
    Question::whole("POST", "/multi-search", Some(json!({"federation": federation, "queries": queries})))
}

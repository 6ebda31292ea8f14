//! Which parts of a hit are shown, and how: attributes, highlights, crops, match positions, scores.

use serde_json::{Value, json};

use crate::differential::corpus::{GOODS, NOTES, THINGS};
use crate::differential::families::{Asker, facets, filters, order, pages};
use crate::differential::question::Question;

const ATTRIBUTES: &[&str] = &[
    "title",
    "text",
    "tags",
    "maker",
    "maker.name",
    "parts.name",
    "_geo",
    "empty",
    "nope",
    "words",
    "ti*",
    "*",
];

/// A search whose order does not depend on words.
fn sure(asker: &mut Asker<'_>) -> Value {
    let mut body = json!({"sort": ["id:desc"], "limit": 8});
    if asker.random.bool() {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    body
}

pub(super) fn retrieve(asker: &mut Asker<'_>) -> Question {
    let mut body = sure(asker);
    if asker.once_in(8) {
        body["attributesToRetrieve"] = json!([]);
    } else {
        body["attributesToRetrieve"] = json!(asker.some_of(ATTRIBUTES, 4));
    }
    if asker.once_in(3) {
        body["retrieveVectors"] = json!(true);
    }
    if asker.once_in(4) {
        body["attributesToHighlight"] = json!(asker.some_of(ATTRIBUTES, 2));
    }
    Question::search(THINGS, body)
}

pub(super) fn formatted(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({"q": asker.loose_text()});
    if asker.random.bool() {
        body["attributesToHighlight"] = json!(asker.some_of(ATTRIBUTES, 3));
    }
    if asker.random.bool() || body["attributesToHighlight"].is_null() {
        let crops = ["text", "title:3", "*:5", "maker.name:1", "text:0", "tags:2"];
        body["attributesToCrop"] = json!(asker.some_of(&crops, 2));
    }
    if asker.random.bool() {
        body["cropLength"] = json!(asker.one_of(&[0, 1, 3, 10, 100]));
    }
    if asker.once_in(3) {
        body["cropMarker"] = json!(asker.one_of(&["", "[…]", "..."]));
    }
    if asker.once_in(3) {
        body["highlightPreTag"] = json!("<b class=\"x\">");
        body["highlightPostTag"] = json!(asker.one_of(&["</b>", ""]));
    }
    if asker.once_in(4) {
        body["attributesToRetrieve"] = json!(asker.some_of(ATTRIBUTES, 3));
    }
    let index = asker.one_of(&[THINGS, THINGS, NOTES]);
    Question::search(index, body)
}

pub(super) fn positions(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({"q": asker.loose_text(), "showMatchesPosition": true});
    if asker.once_in(3) {
        body["attributesToRetrieve"] = json!(asker.some_of(ATTRIBUTES, 3));
    }
    if asker.once_in(3) {
        body["attributesToHighlight"] = json!(["*"]);
    }
    let index = asker.one_of(&[THINGS, NOTES, GOODS]);
    Question::search(index, body)
}

/// Sorts and filters may use attributes that the index hides, but hits never show them.
pub(super) fn displayed(asker: &mut Asker<'_>) -> Question {
    let attributes = ["sku", "name", "stock", "colour", "*", "brand"];
    let mut body = json!({"sort": [asker.one_of(&["stock:asc", "stock:desc"]), "brand:asc"], "limit": 10});
    if asker.random.bool() {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if asker.random.bool() {
        body["attributesToRetrieve"] = json!(asker.some_of(&attributes, 3));
    }
    if asker.random.bool() {
        body["attributesToHighlight"] = json!(asker.some_of(&attributes, 3));
    }
    if asker.once_in(3) {
        body["attributesToCrop"] = json!(asker.some_of(&attributes, 2));
    }
    if asker.random.bool() {
        body["showMatchesPosition"] = json!(true);
    }
    if asker.once_in(3) {
        body["showRankingScoreDetails"] = json!(true);
    }
    if asker.once_in(4) {
        body["facets"] = json!(["colour", "stock"]);
    }
    Question::search(GOODS, body)
}

pub(super) fn scores(asker: &mut Asker<'_>) -> Question {
    let index = asker.one_of(&[THINGS, THINGS, NOTES]);
    let body =
        json!({"q": asker.loose_text(), "showRankingScore": true, "attributesToRetrieve": ["id", "key"]});
    Question::search(index, body)
}

pub(super) fn score_details(asker: &mut Asker<'_>) -> Question {
    let mut question = scores(asker).with("showRankingScoreDetails", json!(true));
    if question.index == THINGS && asker.random.bool() {
        let sort = order::several(asker).member("sort").clone();
        question = question.with("sort", sort);
    }
    question
}

/// The same queries as a query string.
pub(super) fn search_get(asker: &mut Asker<'_>) -> Question {
    let mut query = vec![("q".to_owned(), asker.loose_text())];
    let mut add = |name: &str, value: String| query.push((name.to_owned(), value));
    if asker.random.bool() {
        add("limit", asker.random.u8(..30).to_string());
    }
    if asker.once_in(3) {
        add("offset", asker.random.u8(..10).to_string());
    }
    if asker.once_in(3) {
        add("filter", filters::condition(asker));
    }
    if asker.once_in(3) {
        add(
            "sort",
            asker.one_of(&["price:asc", "price:desc,title:asc", "_geoPoint(48.85,2.35):asc"]).to_owned(),
        );
    }
    if asker.once_in(3) {
        add("facets", asker.one_of(&["category", "category,flag", "tags"]).to_owned());
    }
    if asker.once_in(3) {
        add("attributesToRetrieve", asker.one_of(&["id", "id,title", "*"]).to_owned());
    }
    if asker.once_in(3) {
        add("attributesToHighlight", "title,text".to_owned());
        add("showMatchesPosition", "true".to_owned());
    }
    if asker.once_in(4) {
        add("matchingStrategy", asker.one_of(&["all", "last"]).to_owned());
    }
    Question::get(THINGS, "search", query)
}

/// A search with parameters of all kinds.
pub(super) fn everything(asker: &mut Asker<'_>) -> Question {
    let mut question = Question::search(THINGS, json!({"q": asker.loose_text()}));
    let parts: [fn(&mut Asker<'_>) -> Question; 8] = [
        filters::filter,
        facets::facets,
        order::several,
        order::geo,
        pages::pages,
        pages::offsets,
        formatted,
        retrieve,
    ];
    for part in asker.some_of(&parts, 4) {
        let Some(Value::Object(members)) = part(asker).body else { continue };
        for (name, value) in members {
            if question.member(&name).is_null() {
                question = question.with(&name, value);
            }
        }
    }
    question
}

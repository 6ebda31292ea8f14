//! Queries over the small corpora that are difficult for a cluster.

use serde_json::{Value, json};

use crate::differential::corpus::NEEDLE;
use crate::differential::families::Asker;
use crate::differential::question::Question;

pub(super) fn adversarial(asker: &mut Asker<'_>) -> Question {
    let index = asker.one_of(&["lopsided", "void", "lone", "alike", "flat", "counted", "deep"]);
    let facets: &[&str] = match index {
        "flat" | "counted" => &["values", "more"],
        _ => &["kind", "size"],
    };
    if asker.once_in(5) && index != "deep" {
        let facet = asker.one_of(facets);
        if facet != "size" {
            let mut body = json!({"facetName": facet});
            if asker.random.bool() {
                body["facetQuery"] = json!(asker.one_of(&["value", "value 00", "0", "n", "x"]));
            }
            return Question::post(index, "facet-search", body);
        }
    }
    let mut body = json!({});
    if asker.random.bool() {
        body["q"] = json!(asker.one_of(&[NEEDLE, "needl", "hay", "same needle", "nothing", "value"]));
    }
    if asker.random.bool() {
        body["facets"] = json!(asker.some_of(facets, 2));
    }
    if index != "counted" && asker.random.bool() {
        body["sort"] = json!([asker.one_of(&["size:asc", "size:desc", "kind:asc", "kind:desc"])]);
    }
    if index != "counted" && asker.once_in(3) {
        body["filter"] = condition(asker);
    }
    match asker.random.u8(..4) {
        0 => {
            body["page"] = json!(asker.random.u8(1..4));
            body["hitsPerPage"] = json!(asker.random.u8(1..20));
        }
        1 => {
            body["offset"] = json!(asker.random.u8(..30));
            body["limit"] = json!(asker.random.u8(..40));
        }
        _ => {}
    }
    if asker.once_in(5) {
        body["attributesToHighlight"] = json!(["*"]);
        body["showMatchesPosition"] = json!(true);
    }
    if asker.once_in(5) {
        body["attributesToRetrieve"] = json!(["id", "nest.in", "kind"]);
    }
    Question::search(index, body)
}

fn condition(asker: &mut Asker<'_>) -> Value {
    let conditions = [
        "size = 1",
        "size != 1",
        "kind = needle",
        "kind EXISTS",
        "size > 2 OR kind = same",
        "values = \"value 0007\"",
    ];
    json!(asker.one_of(&conditions))
}

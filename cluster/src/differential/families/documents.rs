//! Documents, single and in lists, and the information about an index.

use serde_json::json;

use crate::differential::corpus::{GOODS, NOTES, THINGS, VARIANTS};
use crate::differential::families::{Asker, filters};
use crate::differential::question::Question;

/// The primary keys of the queried indexes.
const KEYS: [(&str, &str); 4] = [(THINGS, "id"), (NOTES, "key"), (GOODS, "sku"), (VARIANTS, "id")];

pub(super) fn get(asker: &mut Asker<'_>) -> Question {
    let (index, key) = asker.one_of(&KEYS);
    let mut query = Vec::new();
    if asker.random.bool() {
        query.push(("fields".to_owned(), asker.one_of(&["id", "title,key", "*", "sku,nope", ""]).to_owned()));
    }
    if asker.once_in(3) {
        query.push(("retrieveVectors".to_owned(), asker.one_of(&["true", "false"]).to_owned()));
    }
    if asker.random.bool() {
        let id = asker.document(index).map_or_else(|| json!("nope"), |document| document[key].clone());
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        return Question::get(index, &format!("documents/{id}"), query);
    }
    query.push(("offset".to_owned(), asker.random.u16(..300).to_string()));
    if asker.random.bool() {
        query.push(("limit".to_owned(), asker.random.u8(..60).to_string()));
    }
    if index == THINGS && asker.once_in(3) {
        query.push(("filter".to_owned(), filters::condition(asker)));
    }
    Question::get(index, "documents", query)
}

pub(super) fn fetch(asker: &mut Asker<'_>) -> Question {
    let (index, key) = asker.one_of(&KEYS);
    let mut body = json!({});
    if asker.random.bool() {
        body["offset"] = json!(asker.random.u16(..200));
    }
    if asker.random.bool() {
        body["limit"] = json!(asker.one_of(&[0, 1, 5, 100, 1_000]));
    }
    if index == THINGS && asker.random.bool() {
        body["filter"] = filters::any_filter(asker);
    }
    if asker.once_in(3) {
        let ids = (0..asker.random.usize(..6)).filter_map(|_| asker.document(index)).collect::<Vec<_>>();
        let mut ids = ids.into_iter().map(|document| document[key].clone()).collect::<Vec<_>>();
        ids.push(json!("not-there"));
        body["ids"] = json!(ids);
    }
    if asker.once_in(3) {
        body["fields"] = json!(asker.some_of(&["id", "title", "maker", "maker.name", "key", "name"], 3));
    }
    if asker.once_in(4) {
        body["retrieveVectors"] = json!(true);
    }
    Question::post(index, "documents/fetch", body)
}

pub(super) fn sorted(asker: &mut Asker<'_>) -> Question {
    let question = crate::differential::families::order::several(asker);
    let body = json!({"sort": question.member("sort"), "limit": asker.random.u8(1..80), "offset": asker.random.u8(..80)});
    Question::post(THINGS, "documents/fetch", body)
}

pub(super) fn stats(asker: &mut Asker<'_>) -> Question {
    let uids = asker.corpus.indexes.iter().map(|index| index.uid).collect::<Vec<_>>();
    let uid = asker.one_of(&uids);
    match asker.random.u8(..4) {
        0 => Question::get(uid, "", Vec::new()),
        1 => Question::get(uid, "settings", Vec::new()),
        2 => Question::whole("GET", "/stats", None),
        _ => Question::get(uid, "stats", Vec::new()),
    }
}

pub(super) fn fields(asker: &mut Asker<'_>) -> Question {
    let index = asker.one_of(&[THINGS, NOTES, GOODS]);
    let filters = [
        json!({}),
        json!({"limit": 3, "offset": 2}),
        json!({"filter": {"searchable": true}}),
        json!({"filter": {"attributePatterns": ["m*", "title"]}}),
        json!({"filter": {"displayed": false}}),
        json!({"filter": {"filterable": true, "sortable": false}}),
    ];
    Question::post(index, "fields", asker.one_of(&filters))
}

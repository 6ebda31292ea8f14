//! Shards that know different fields, words and spellings answer as one node that knows all of them.
//! Invariant: every question is asked of clusters with one and with two copies, and of one node with the same documents.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

/// Clusters of three nodes with one and with two copies, and one node.
struct Three {
    clusters: [TestCluster; 2],
    single: SingleNode,
    /// The questions whose answers differ.
    differences: RefCell<Vec<String>>,
}

impl Three {
    fn start() -> Self {
        let start = |copies| {
            TestCluster::start(|options| {
                options.no_sync = true;
                options.replication_factor = copies;
            })
        };
        Self { clusters: [start(1), start(2)], single: SingleNode::start(), differences: RefCell::default() }
    }

    fn clients(&self) -> [&Client; 3] {
        [&self.single.client, &self.clusters[0].client, &self.clusters[1].client]
    }

    fn load(&self, uid: &str, settings: &Value, documents: &Value) {
        for client in self.clients() {
            client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
            client.done("PATCH", &format!("/indexes/{uid}/settings"), settings);
            client.done("POST", &format!("/indexes/{uid}/documents"), documents);
        }
    }

    /// Asks all, and notes where they differ.
    fn ask(&self, path: &str, body: &Value) {
        let [expected, one_copy, two_copies] = self.clients().map(|client| {
            let (status, mut answer) = client.call("POST", path, body);
            clean(&mut answer);
            (status, answer)
        });
        for (copies, found) in [(1, one_copy), (2, two_copies)] {
            if found != expected {
                let question = format!("{copies} copies: {path} {body}");
                let texts = [&found, &expected].map(|(status, answer)| format!("{status} {answer}"));
                self.differences.borrow_mut().push(format!("{question}\n{}\n{}", texts[0], texts[1]));
            }
        }
    }

    fn agree(self) {
        let differences = self.differences.into_inner();
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
    }
}

fn clean(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.remove("processingTimeMs");
        members.remove("requestUid");
        members.values_mut().for_each(clean);
    }
    value.as_array_mut().into_iter().flatten().for_each(clean);
}

/// Titles that are texts, numbers, lists, or objects with different languages.
fn titles() -> Value {
    json!([
        {"id": 1, "title": "night of the fox"},
        {"id": 2, "title": {"fr": "la nuit du fox", "de": "fox nacht"}},
        {"id": 3, "title": {"en": "the fox night", "n": 3}},
        {"id": 4, "title": ["fox one", {"fr": "fox deux", "de": "fox zwei"}, 7]},
        {"id": 5, "title": {"de": null}, "other": "fox"},
        {"id": 6, "title": [], "other": "fox"},
        {"id": 7, "title": {}, "other": "fox"},
        {"id": 8, "title": 12, "other": "fox"},
        {"id": 9, "other": "fox", "only": "one fox"},
        {"id": 10, "title": {"en": "fox x"}, "other": {"deep": {"er": "fox", "n": [1, 2.50]}}},
        {"id": 12, "title": {"fr": {"x": "fox under"}}, "other": "fox"},
        {"id": 13, "title": "fox", "other": "y"},
        {"id": 14, "title": "fox b", "other": "y"},
        {"id": 15, "title": ["fox c", ["fox d"]], "other": "y"},
        {"id": 16, "title": {"en": "fox e", "de": "fox f"}, "other": "y"},
    ])
}

#[test]
fn fields_that_few_shards_know_are_given_and_marked_as_by_one_node() {
    let three = Three::start();
    for (uid, settings) in [
        ("all", json!({})),
        ("some", json!({"searchableAttributes": ["title", "other"]})),
        ("shown", json!({"displayedAttributes": ["id", "title.de", "title", "title.fr"]})),
        ("inner", json!({"displayedAttributes": ["id", "title.de", "other"]})),
    ] {
        three.load(uid, &settings, &titles());
        for query in [
            json!({}),
            json!({"attributesToRetrieve": ["title.de"]}),
            json!({"attributesToRetrieve": ["title.fr.x"]}),
            json!({"attributesToRetrieve": ["title.nope"]}),
            json!({"attributesToRetrieve": ["title.de", "title"]}),
            json!({"attributesToRetrieve": ["*", "title.de"]}),
            json!({"attributesToRetrieve": ["id", "other.deep", "other.deep.er"]}),
            json!({"attributesToHighlight": ["title.fr"]}),
            json!({"attributesToHighlight": ["only"]}),
            json!({"attributesToHighlight": ["nope"]}),
            json!({"attributesToHighlight": ["nope", "title.nope"]}),
            json!({"attributesToHighlight": ["title"]}),
            json!({"attributesToHighlight": ["title.fr", "title.de"], "attributesToRetrieve": ["id", "title.en"]}),
            json!({"attributesToHighlight": ["title.fr"], "attributesToRetrieve": ["id"]}),
            json!({"attributesToHighlight": ["title.fr"], "attributesToRetrieve": ["title.de"]}),
            json!({"attributesToHighlight": ["other.deep.er"], "attributesToRetrieve": ["id", "other"]}),
            json!({"attributesToCrop": ["title.fr:1"]}),
            json!({"attributesToCrop": ["title.fr"], "cropLength": 1, "attributesToHighlight": ["title.fr"]}),
            json!({"attributesToCrop": ["*:1"], "attributesToHighlight": ["*"]}),
            json!({"attributesToHighlight": ["*", "title.fr"], "attributesToRetrieve": ["id", "title.fr"]}),
            json!({"attributesToSearchOn": ["title.fr"]}),
            json!({"facets": ["title.fr"]}),
            json!({"filter": "id = 9", "attributesToHighlight": ["title.fr"]}),
        ] {
            let mut body = query;
            body["q"] = json!("fox");
            three.ask(&format!("/indexes/{uid}/search"), &body);
            body["indexUid"] = json!(uid);
            three.ask("/multi-search", &json!({"queries": [body]}));
            if body["facets"].is_null() {
                three.ask("/multi-search", &json!({"queries": [body], "federation": {}}));
            }
        }
        for fields in [json!(["title.de"]), json!(["title.fr", "id"]), json!(["title.nope"])] {
            three.ask(&format!("/indexes/{uid}/documents/fetch"), &json!({"fields": fields}));
        }
    }
    three.agree();
}

#[test]
fn facet_searches_spell_values_as_the_first_document_does() {
    let three = Three::start();
    let documents = (1..30).map(|id| {
        let color = if id % 2 == 0 { "Red" } else { "red" };
        json!({"id": id, "c": color, "d": "Blue"})
    });
    three.load("spelt", &json!({"filterableAttributes": ["c", "d"]}), &documents.collect::<Value>());
    let check = || {
        for query in [
            json!({"facetName": "c"}),
            json!({"facetName": "c", "facetQuery": "r"}),
            json!({"facetName": "d"}),
            json!({"facetName": "d", "facetQuery": "bl"}),
        ] {
            three.ask("/indexes/spelt/facet-search", &query);
        }
        three.ask("/indexes/spelt/search", &json!({"facets": ["c", "d"], "limit": 0}));
    };
    check();
    for changed in [
        json!([{"id": 1, "c": "RED", "d": "BLUE"}]),
        json!([{"id": 2, "c": "rED", "d": "BLue"}]),
        json!([{"id": 3, "c": "RED", "d": "bLUE"}, {"id": 1, "c": "green", "d": "x"}]),
    ] {
        for client in three.clients() {
            client.done("PUT", "/indexes/spelt/documents", &changed);
        }
        check();
    }
    three.agree();
}

/// Documents come in another order than their keys', some go and others take their numbers, and one node stops between
/// two pages.
#[test]
fn pages_of_documents_fit_together_whichever_copies_answer() {
    let mut cluster = TestCluster::start(|options| options.replication_factor = 2);
    let client = Client::new(cluster.cluster.url());
    client.done("POST", "/indexes", &json!({"uid": "paged", "primaryKey": "id"}));
    client.done("PATCH", "/indexes/paged/settings", &json!({"filterableAttributes": ["even"]}));
    for numbers in [1..30, 30..41] {
        let documents = numbers.map(|number| json!({"id": key(number), "even": number % 2}));
        client.done("POST", "/indexes/paged/documents", &documents.collect::<Value>());
        client.done("POST", "/indexes/paged/documents/delete-batch", &json!([3, 5, 8, 13, 21]));
    }
    let again = json!([{"id": 21}, {"id": 8, "even": 1}, {"id": 3}]);
    client.done("POST", "/indexes/paged/documents", &again);
    let read = |path: &str, body: &Value| {
        let (status, page) = match body.is_null() {
            true => client.get(path),
            false => client.call("POST", path, body),
        };
        assert_eq!(status, 200, "{page}");
        page
    };
    let ids = |page: &Value| {
        let documents = page["results"].as_array().unwrap().iter();
        documents.map(|document| document["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let page_of =
        |offset: usize| read(&format!("/indexes/paged/documents?offset={offset}&limit=7"), &Value::Null);
    let filtered_of = |offset: usize| {
        let body = json!({"offset": offset, "limit": 3, "filter": "even = 1", "fields": ["even", "id"]});
        read("/indexes/paged/documents/fetch", &body)
    };
    let wanted = (1..41).filter(|id| ![5, 13].contains(id)).collect::<Vec<i64>>();
    let (mut seen, mut filtered) = (Vec::new(), Vec::new());
    for (number, offset) in (0..42).step_by(7).enumerate() {
        if number == 2 {
            cluster.cluster.kill_node(1).unwrap();
        }
        let page = page_of(offset);
        assert_eq!(
            (page["total"].as_u64(), page["offset"].as_u64()),
            (Some(38), Some(offset as u64)),
            "{page}"
        );
        seen.extend(ids(&page));
        filtered.extend(ids(&filtered_of(offset / 7 * 3)));
    }
    assert_eq!(seen, wanted);
    let odd = |id: &i64| {
        (1..41).any(|number| i64::from(key(number)) == *id && number % 2 == 1) && ![3, 21].contains(id)
    };
    let expected = wanted.iter().copied().filter(|id| odd(id) || *id == 8).take(18).collect::<Vec<_>>();
    assert_eq!(filtered, expected);
    let whole = read("/indexes/paged/documents?limit=100", &Value::Null);
    assert_eq!(ids(&whole), wanted);
}

fn key(number: u32) -> u32 {
    number * 37 % 41
}

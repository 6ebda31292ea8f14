//! Federated searches: one list from several queries, each document once, with totals and facets of all.

use merge::{
    ExtraFields, FacetOrder, FacetRules, FederatedIndex, FederatedQuery, FederationSpec, Paging,
    federated_totals, federation,
};
use serde_json::{Value, json};

fn rules() -> FacetRules {
    FacetRules { values_max: 3, default_order: FacetOrder::Alpha, ..FacetRules::default() }
}

/// A query's answer: each hit has an id, a score and the value of a sort that follows the relevancy rules.
fn answer(hits: &[(u64, f64, f64)]) -> Vec<u8> {
    let hits = hits.iter().map(|(id, score, year)| {
        json!({"id": id, "title": format!("t{id}"), "group": id % 3, "_rankingScore": score, "_rankingScoreDetails": {
            "words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 1.0},
            "proximity": {"order": 1, "score": score},
            "year:asc": {"order": 2, "value": year},
        }})
    });
    let hits = hits.collect::<Vec<_>>();
    json!({"hits": hits, "query": "", "estimatedTotalHits": 99}).to_string().into_bytes()
}

fn totals(uid: &str, total: u64, facets: &Value) -> Vec<u8> {
    let mut body = json!({"hits": [], "estimatedTotalHits": total, "requestUid": "r"});
    if !facets.is_null() {
        body["facetsByIndex"] = json!({uid: facets});
    }
    body.to_string().into_bytes()
}

struct Case<'a> {
    paging: Paging,
    primary_key: Option<&'a str>,
    weights: [f64; 2],
    /// The index of each query.
    indexes: [usize; 2],
    distinct: Option<&'a str>,
    merge_facets: Option<Option<usize>>,
    extra: Option<ExtraFields<'a>>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            paging: Paging::Offset { offset: 0, limit: 10 },
            primary_key: Some("id"),
            weights: [1.0, 1.0],
            indexes: [0, 0],
            distinct: None,
            merge_facets: None,
            extra: None,
        }
    }
}

impl Case<'_> {
    fn run(&self, answers: &[Vec<u8>; 2], totals: &[Vec<u8>]) -> Value {
        let rules = rules();
        let index =
            |uid| FederatedIndex { uid, primary_key: self.primary_key, facets: &rules, hits_total_max: 1000 };
        let query = |at: usize| FederatedQuery {
            index: self.indexes[at],
            weight: self.weights[at],
            show_ranking_score: at == 1,
            show_ranking_score_details: false,
            extra: self.extra.as_ref(),
            displayed: None,
        };
        let indexes = [index("a"), index("b")];
        let spec = FederationSpec {
            scores_end_at_sorts: false,
            paging: self.paging,
            indexes: &indexes[..totals.len()],
            queries: &[query(0), query(1)],
            distinct: self.distinct,
            merge_facets: self.merge_facets,
            processing_time_ms: 1,
        };
        let answers = answers.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let totals = totals.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let mut out = Vec::new();
        federation(&answers, &totals, &spec, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }
}

fn order(answer: &Value) -> Vec<(u64, u64)> {
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.map(|hit| (hit["id"].as_u64().unwrap(), hit["_federation"]["queriesPosition"].as_u64().unwrap()))
        .collect()
}

#[test]
fn queries_of_one_index_give_each_document_once() {
    let answers =
        [answer(&[(1, 0.9, 1.0), (2, 0.5, 1.0), (3, 0.5, 2.0)]), answer(&[(2, 0.8, 1.0), (4, 0.5, 1.5)])];
    let found = Case::default().run(&answers, &[totals("a", 7, &Value::Null)]);
    assert_eq!(order(&found), [(1, 0), (2, 1), (4, 1), (3, 0)]);
    assert_eq!(
        found["hits"][1],
        json!({"id": 2, "title": "t2", "group": 2, "_rankingScore": 0.8,
               "_federation": {"indexUid": "a", "queriesPosition": 1, "weightedRankingScore": 0.8}})
    );
    assert_eq!(found["estimatedTotalHits"], 7);
    assert_eq!(found["requestUid"], "r");
    assert!(found["hits"][0].get("_rankingScore").is_none());
}

#[test]
fn weights_and_positions_decide() {
    let answers = [answer(&[(1, 0.6, 1.0)]), answer(&[(1, 0.6, 1.0), (5, 0.3, 1.0)])];
    let two = [totals("a", 1, &Value::Null), totals("b", 2, &Value::Null)];
    let equal = Case { indexes: [0, 1], ..Case::default() };
    let found = equal.run(&answers, &two);
    // The same key in two indexes belongs to two documents.
    assert_eq!(order(&found), [(1, 0), (1, 1), (5, 1)]);
    assert_eq!(found["estimatedTotalHits"], 3);
    let weighted = Case { indexes: [0, 1], weights: [0.25, 1.0], ..Case::default() }.run(&answers, &two);
    assert_eq!(order(&weighted), [(1, 1), (5, 1), (1, 0)]);
    assert_eq!(weighted["hits"][2]["_federation"]["weightedRankingScore"], 0.15);
}

#[test]
fn pages_are_cut_out_of_the_whole() {
    let answers = [answer(&[(1, 0.9, 1.0), (2, 0.5, 1.0)]), answer(&[(3, 0.8, 1.0), (4, 0.4, 1.5)])];
    let of = [totals("a", 5, &Value::Null)];
    let offset =
        Case { paging: Paging::Offset { offset: 1, limit: 2 }, ..Case::default() }.run(&answers, &of);
    assert_eq!(order(&offset), [(3, 1), (2, 0)]);
    assert_eq!((&offset["offset"], &offset["limit"]), (&json!(1), &json!(2)));
    let page =
        Case { paging: Paging::Page { page: 2, hits_per_page: 3 }, ..Case::default() }.run(&answers, &of);
    assert_eq!(order(&page), [(4, 1)]);
    assert_eq!((&page["totalHits"], &page["totalPages"], &page["page"]), (&json!(5), &json!(2), &json!(2)));
    let none =
        Case { paging: Paging::Page { page: 0, hits_per_page: 3 }, ..Case::default() }.run(&answers, &of);
    assert!(order(&none).is_empty());
}

#[test]
fn distinct_holds_over_all_queries() {
    let answers = [answer(&[(1, 0.9, 1.0), (2, 0.5, 1.0)]), answer(&[(4, 0.8, 1.0), (3, 0.4, 1.5)])];
    let case = Case { distinct: Some("group"), indexes: [0, 1], ..Case::default() };
    let found = case.run(&answers, &[totals("a", 2, &Value::Null), totals("b", 2, &Value::Null)]);
    assert_eq!(order(&found), [(1, 0), (2, 0), (3, 1)]);
    assert_eq!(found["estimatedTotalHits"], 3);
    // The total of numbered pages counts the list, whatever nodes count where they know one query each.
    let paging = Paging::Page { page: 2, hits_per_page: 2 };
    let case = Case { distinct: Some("group"), indexes: [0, 1], paging, ..Case::default() };
    let found = case.run(&answers, &[totals("a", 9, &Value::Null), totals("b", 9, &Value::Null)]);
    assert_eq!(order(&found), [(3, 1)]);
    assert_eq!((&found["totalHits"], &found["totalPages"]), (&json!(3), &json!(2)));
}

#[test]
fn what_the_gateway_asked_for_is_cut_out() {
    let answers = [answer(&[(1, 0.9, 1.0)]), answer(&[])];
    let extra = Some(ExtraFields {
        members: vec!["id".into()],
        retrieved: vec!["title".into()],
        formatted: Vec::new(),
    });
    let found = Case { extra, ..Case::default() }.run(&answers, &[totals("a", 1, &Value::Null)]);
    assert_eq!(
        found["hits"][0],
        json!({"title": "t1", "group": 1, "_federation": {"indexUid": "a", "queriesPosition": 0, "weightedRankingScore": 0.9}})
    );
}

#[test]
fn facets_stay_by_index_or_are_merged() {
    let answers = [answer(&[]), answer(&[])];
    let facets = [
        json!({"distribution": {"c": {"x": 2, "y": 5}}, "stats": {"n": {"min": 1.0, "max": 4.0}}}),
        json!({"distribution": {"c": {"x": 1, "a": 7}, "d": {}}, "stats": {"n": {"min": 0.5, "max": 2.0}}}),
    ];
    let of = [totals("a", 7, &facets[0]), totals("b", 8, &facets[1])];
    let case = |merge_facets| Case { indexes: [0, 1], merge_facets, ..Case::default() };
    let apart = case(None).run(&answers, &of);
    assert_eq!(apart["facetsByIndex"], json!({"a": facets[0], "b": facets[1]}));
    let merged = case(Some(Some(2))).run(&answers, &of);
    assert_eq!(merged["facetDistribution"].to_string(), json!({"c": {"a": 7, "x": 3}, "d": {}}).to_string());
    assert_eq!(merged["facetStats"], json!({"n": {"min": 0.5, "max": 4.0}}));
    assert!(merged.get("facetsByIndex").is_none());
    let none = [totals("a", 1, &Value::Null), totals("b", 1, &Value::Null)];
    assert!(case(Some(None)).run(&answers, &none).get("facetDistribution").is_none());
}

#[test]
fn totals_of_legs_are_summed_and_their_facets_merged() {
    let leg = |total, facets: Value| totals("n", total, &facets);
    let legs = [
        leg(3, json!({"distribution": {"c": {"x": 2, "y": 1}, "_miroir_shard": {":": 1}}, "stats": {}})),
        leg(4, json!({"distribution": {"c": {"X": 1, "a": 2, "b": 1}}, "stats": {}})),
    ];
    let legs = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let mut out = Vec::new();
    federated_totals(&legs, &["n"], "a", &rules(), &mut out).unwrap();
    let merged: Value = serde_json::from_slice(&out).unwrap();
    let facets = json!({"a": {"distribution": {"c": {"a": 2, "b": 1, "x": 3}}, "stats": {}}});
    assert_eq!(
        merged,
        json!({"hits": [], "estimatedTotalHits": 7, "facetsByIndex": facets, "requestUid": "r"})
    );
    assert!(federated_totals(&[b"{}"], &["n"], "a", &rules(), &mut out).is_err());
}

#[test]
fn an_answer_without_details_is_a_fault() {
    let bare = br#"{"hits":[{"id":1}],"query":""}"#.as_slice();
    let rules = rules();
    let index = FederatedIndex { uid: "a", primary_key: None, facets: &rules, hits_total_max: 9 };
    let query = FederatedQuery {
        index: 0,
        weight: 1.0,
        show_ranking_score: false,
        show_ranking_score_details: false,
        extra: None,
        displayed: None,
    };
    let spec = FederationSpec {
        scores_end_at_sorts: false,
        paging: Paging::Offset { offset: 0, limit: 1 },
        indexes: &[index],
        queries: &[query],
        distinct: None,
        merge_facets: None,
        processing_time_ms: 0,
    };
    let mut out = b"kept".to_vec();
    let total = totals("a", 1, &Value::Null);
    assert!(federation(&[bare], &[&total], &spec, &mut out).is_err());
    assert_eq!(out, b"kept");
}

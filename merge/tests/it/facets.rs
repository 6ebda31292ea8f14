//! Facets and facet search: sums, orders and truncation as on one node.

use ahash::AHashMap;
use merge::{FacetOrder, FacetRules, Paging, SearchSpec};

use crate::search::{merged, spec};

/// Merges the facet members of two legs.
fn merge_facets(legs: [(&str, &str); 2], matched: u64, rules: &FacetRules) -> String {
    let legs = legs.map(|(distribution, stats)| {
        format!(
            r#"{{"hits":[],"query":"","estimatedTotalHits":{matched},"facetDistribution":{distribution},"facetStats":{stats}}}"#
        )
        .into_bytes()
    });
    let spec = SearchSpec {
        facets: Some(rules),
        hits_total_max: 9000,
        total_clipped: true,
        ..spec(Paging::Offset { offset: 0, limit: 0 })
    };
    let answer = merged(&legs, &spec).unwrap();
    answer[answer.find("\"facetDistribution\"").unwrap()..].to_owned()
}

fn rules(values_max: usize, default_order: FacetOrder) -> FacetRules {
    FacetRules { values_max, default_order, order_by_name: AHashMap::new() }
}

#[test]
fn values_are_summed_ordered_and_cut() {
    let legs = [
        (r#"{"b":{"Red":3,"blue":2},"a":{}}"#, "{}"),
        (r#"{"_miroir_shard":{"::":9},"b":{" red":1,"BLUE":1,"white":3},"c":{"x":1}}"#, "{}"),
    ];
    let alpha = merge_facets(legs, 5, &rules(2, FacetOrder::Alpha));
    assert_eq!(alpha, r#""facetDistribution":{"a":{},"b":{"blue":3,"Red":4},"c":{"x":1}},"facetStats":{}}"#);
    let count = merge_facets(legs, 5, &rules(9, FacetOrder::Count));
    assert_eq!(
        count,
        r#""facetDistribution":{"a":{},"b":{"Red":4,"white":3,"blue":3},"c":{"x":1}},"facetStats":{}}"#
    );
}

#[test]
fn numbers_come_first_as_text_or_by_value() {
    let stats = r#"{"n":{"min":1.0,"max":10.0},"_miroir_x":{"min":1.0,"max":1.0}}"#;
    let legs = [(r#"{"n":{"10":1,"9":1,"0":5,"a":1}}"#, stats), (r#"{"n":{"1":1,"2.5":1}}"#, stats)];
    let check = |matched: u64, order: FacetOrder, expected: &str| {
        let answer = merge_facets(legs, matched, &rules(9, order));
        let tail = r#","facetStats":{"n":{"min":1.0,"max":10.0}}}"#;
        assert_eq!(answer, format!(r#""facetDistribution":{{"n":{expected}}}{tail}"#));
    };
    // "0" lies outside the range of numbers, so it is a string.
    check(5, FacetOrder::Alpha, r#"{"1":1,"10":1,"2.5":1,"9":1,"0":5,"a":1}"#);
    check(1501, FacetOrder::Alpha, r#"{"1":1,"2.5":1,"9":1,"10":1,"0":5,"a":1}"#);
    check(5, FacetOrder::Count, r#"{"10":1,"9":1,"2.5":1,"1":1,"0":5,"a":1}"#);
}

#[test]
fn texts_behind_a_full_list_of_numbers_are_all_listed_where_values_are_counted_one_by_one() {
    let stats = r#"{"n":{"min":1.0,"max":3.0}}"#;
    let legs = [(r#"{"n":{"1":1,"2":1,"a":1,"b":1}}"#, stats), (r#"{"n":{"3":2,"c":2}}"#, stats)];
    let check = |values_max: usize, matched: u64, order: FacetOrder, expected: &str| {
        let answer = merge_facets(legs, matched, &rules(values_max, order));
        assert!(answer.starts_with(&format!(r#""facetDistribution":{{"n":{expected}}}"#)), "{answer}");
    };
    check(2, 5, FacetOrder::Alpha, r#"{"1":1,"2":1}"#);
    check(2, 5, FacetOrder::Count, r#"{"3":2,"2":1,"c":2,"b":1,"a":1}"#);
    check(2, 4000, FacetOrder::Alpha, r#"{"1":1,"2":1,"a":1,"b":1,"c":2}"#);
    check(3, 5, FacetOrder::Count, r#"{"3":2,"2":1,"1":1,"c":2,"b":1,"a":1}"#);
    check(4, 5, FacetOrder::Count, r#"{"3":2,"2":1,"1":1,"c":2}"#);
    check(0, 5, FacetOrder::Count, r#"{"3":2,"2":1,"1":1,"c":2,"b":1,"a":1}"#);
    check(0, 5, FacetOrder::Alpha, "{}");
}

#[test]
fn statistics_keep_the_extremes() {
    let legs = [
        ("{}", r#"{"b":{"min":-1.5,"max":2.0},"a":{"min":1.0,"max":1.0}}"#),
        ("{}", r#"{"b":{"min":-1.0,"max":1e30},"c":{"min":0.0,"max":0.0}}"#),
    ];
    assert_eq!(
        merge_facets(legs, 0, &rules(9, FacetOrder::Alpha)),
        r#""facetDistribution":{},"facetStats":{"a":{"min":1.0,"max":1.0},"b":{"min":-1.5,"max":1e30},"c":{"min":0.0,"max":0.0}}}"#
    );
}

#[test]
fn the_order_of_a_facet_is_its_own_then_the_stars() {
    let mut rules = rules(9, FacetOrder::Alpha);
    assert_eq!(rules.order("a"), FacetOrder::Alpha);
    rules.order_by_name.insert("*".into(), FacetOrder::Count);
    rules.order_by_name.insert("b".into(), FacetOrder::Alpha);
    assert_eq!((rules.order("a"), rules.order("b")), (FacetOrder::Count, FacetOrder::Alpha));
}

#[test]
fn facets_in_one_leg_only_are_refused() {
    let with =
        br#"{"hits":[],"query":"","estimatedTotalHits":0,"facetDistribution":{},"facetStats":{}}"#.to_vec();
    let without = br#"{"hits":[],"query":"","estimatedTotalHits":0}"#.to_vec();
    let broken = br#"{"hits":[],"query":"","estimatedTotalHits":0,"facetDistribution":{"a":{"x":-1}},"facetStats":{}}"#;
    let rules = rules(9, FacetOrder::Alpha);
    let spec = SearchSpec { facets: Some(&rules), ..spec(Paging::Offset { offset: 0, limit: 0 }) };
    assert!(merged(&[with.clone(), without.clone()], &spec).is_err());
    assert!(merged(&[with, broken.to_vec()], &spec).is_err());
    let none = merged(&[without.clone(), without], &spec).unwrap();
    assert!(!none.contains("facet"), "{none}");
}

#[test]
fn facet_search_sums_and_orders() {
    let check = |legs: &[&str], order: FacetOrder, values_max: usize, expected: &str| {
        let legs = legs.iter().map(|leg| leg.as_bytes()).collect::<Vec<_>>();
        let mut out = Vec::new();
        merge::facet_search(&legs, "f", (order, values_max), 4, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    let legs = [
        r#"{"facetHits":[{"value":"Action","count":2},{"value":"Évil","count":1}],"facetQuery":"a","processingTimeMs":1}"#,
        r#"{"facetHits":[{"value":"action","count":1},{"value":"q\"x","count":3},{"value":"Exit","count":1}],"facetQuery":"a","processingTimeMs":1}"#,
    ];
    let tail = r#""facetQuery":"a","processingTimeMs":4}"#;
    let hits = |hits: &str| format!(r#"{{"facetHits":[{hits}],{tail}"#);
    check(
        &legs,
        FacetOrder::Alpha,
        3,
        &hits(r#"{"value":"Action","count":3},{"value":"Évil","count":1},{"value":"Exit","count":1}"#),
    );
    check(
        &legs,
        FacetOrder::Count,
        4,
        &hits(
            r#"{"value":"q\"x","count":3},{"value":"Action","count":3},{"value":"Évil","count":1},{"value":"Exit","count":1}"#,
        ),
    );
    check(&legs[..1], FacetOrder::Alpha, 1, &hits(r#"{"value":"Action","count":2}"#));
    let unasked = [r#"{"facetHits":[],"facetQuery":null,"processingTimeMs":1}"#; 2];
    check(&unasked, FacetOrder::Count, 9, r#"{"facetHits":[],"facetQuery":null,"processingTimeMs":4}"#);
}

#[test]
fn values_are_counted_over_all_legs() {
    let leg = |total: u32, values: &str, stats: &str| {
        format!(
            r#"{{"hits":[],"totalHits":{total},"facetDistribution":{{"f":{values}}},"facetStats":{stats}}}"#
        )
    };
    let check = |legs: &[String], values_max: u64, expected: Option<(u64, u64, u64)>| {
        let legs = legs.iter().map(String::as_bytes).collect::<Vec<_>>();
        let counted = merge::count_values(&legs, "f", values_max).unwrap();
        let counted = counted.map(|counts| (counts.values, counts.occurrences, counts.hits));
        assert_eq!(counted, expected, "{values_max}");
    };
    let legs = [leg(9, r#"{"Red":3,"blue":1}"#, "{}"), leg(4, r#"{"red":2}"#, "{}")];
    check(&legs, 3, Some((2, 6, 13)));
    // The first leg may have more values.
    check(&legs, 2, None);
    // A number on one leg, a text on the other.
    let number = leg(1, r#"{"7":1}"#, r#"{"f":{"min":7.0,"max":7.0}}"#);
    check(&[number, leg(1, r#"{"7":1}"#, "{}")], 9, None);
    let absent = r#"{"hits":[],"totalHits":2,"facetDistribution":{},"facetStats":{}}"#.to_owned();
    check(&[absent, legs[1].clone()], 9, Some((1, 2, 6)));
    assert!(merge::count_values(&[b"[]"], "f", 9).is_err());
}

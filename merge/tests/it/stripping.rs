//! Reserved members are removed from hits wherever they are; all other bytes stay.

use merge::{Paging, SearchSpec};

use crate::search::{merged, spec};

/// Merges one hit over two legs, the second empty, and returns its text.
fn strip(hit: &str, score: bool, details: bool) -> String {
    let one = format!(r#"{{"hits":[{hit}],"query":"","estimatedTotalHits":1}}"#).into_bytes();
    let none = br#"{"hits":[],"query":"","estimatedTotalHits":0}"#.to_vec();
    let spec = SearchSpec {
        show_ranking_score: score,
        show_ranking_score_details: details,
        ..spec(Paging::Offset { offset: 0, limit: 1 })
    };
    let over_two = merged(&[one.clone(), none], &spec).unwrap();
    let cut = |answer: &str| {
        let end = answer.find("],\"query\":\"\"").unwrap();
        answer["{\"hits\":[".len()..end].to_owned()
    };
    let alone = merged(&[one], &spec).unwrap();
    assert_eq!(cut(&alone), cut(&over_two), "one leg strips as two do");
    cut(&over_two)
}

#[test]
fn hits_lose_what_the_client_did_not_ask_for() {
    let tail = r#""_rankingScore":0.25,"_rankingScoreDetails":{"words":{"order":0,"matchingWords":1}}"#;
    let score = r#""_rankingScore":0.25"#;
    let details = r#""_rankingScoreDetails":{"words":{"order":0,"matchingWords":1}}"#;
    let table = [
        (r#""id":1,"#, r#""id":1,"#),
        ("", ""),
        (r#""id":1,"_miroir_shard":":.:.:.::","a":[1,{"b":2}],"#, r#""id":1,"a":[1,{"b":2}],"#),
        (r#""_miroir_shard":":.:.:.::","id":1,"#, r#""id":1,"#),
        (r#""id":1,"_miroir_a":{"x":1},"_miroir_b":2,"t":"1","_miroir_c":null,"#, r#""id":1,"t":"1","#),
        (r#""_miroir_a":1,"#, ""),
        (r#""id":1,"t":"\"_miroir_x\":1,","#, r#""id":1,"t":"\"_miroir_x\":1,","#),
        (r#""id":"_miroir_x","n":{"_miroir_y":1},"#, r#""id":"_miroir_x","n":{"_miroir_y":1},"#),
        (
            r#""id":1,"_miroir_a":1,"_formatted":{"id":"1","_miroir_a":"1"},"#,
            r#""id":1,"_formatted":{"id":"1"},"#,
        ),
        (
            r#""id":1,"_formatted":{"_miroir_a":"1"},"_matchesPosition":{"_miroir_a":[{"start":0,"length":1}]},"#,
            r#""id":1,"_matchesPosition":{},"#,
        ),
        // A document's own fields of these names.
        (r#""id":1,"_rankingScore":"mine","#, r#""id":1,"_rankingScore":"mine","#),
        (
            r#""_rankingScore":5,"_miroir_a":1,"_rankingScoreDetails":[1],"#,
            r#""_rankingScore":5,"_rankingScoreDetails":[1],"#,
        ),
        (
            r#""n":{"_rankingScoreDetails":{},"_rankingScore":1},"#,
            r#""n":{"_rankingScoreDetails":{},"_rankingScore":1},"#,
        ),
    ];
    for (fields, kept) in table {
        let hit = format!("{{{fields}{tail}}}");
        assert_eq!(strip(&hit, true, true), format!("{{{kept}{tail}}}"), "{fields}");
        assert_eq!(strip(&hit, true, false), format!("{{{kept}{score}}}"), "{fields}");
        assert_eq!(strip(&hit, false, true), format!("{{{kept}{details}}}"), "{fields}");
        assert_eq!(strip(&hit, false, false), format!("{{{}}}", kept.trim_end_matches(',')), "{fields}");
    }
}

#[test]
fn a_documents_score_is_kept_where_legs_have_none() {
    let check = |hit: &str, shows_details: bool, expected: &str| {
        let one = format!(r#"{{"hits":[{hit}],"query":"","estimatedTotalHits":1}}"#).into_bytes();
        let none = br#"{"hits":[],"query":"","estimatedTotalHits":0}"#.to_vec();
        let spec = SearchSpec {
            scores_in_legs: false,
            show_ranking_score_details: shows_details,
            ..spec(Paging::Offset { offset: 0, limit: 1 })
        };
        let answer = merged(&[one, none], &spec).unwrap();
        assert!(answer.starts_with(&format!(r#"{{"hits":[{expected}],"#)), "{answer}");
    };
    let details = r#""_rankingScoreDetails":{"words":{"order":0,"matchingWords":1}}"#;
    for own in [
        r#""id":1,"_rankingScore":5"#,
        r#""_rankingScore":0.5"#,
        r#""_rankingScore":"x","_rankingScoreDetails":{}"#,
    ] {
        check(&format!("{{{own},{details}}}"), false, &format!("{{{own}}}"));
        check(&format!("{{{own},{details}}}"), true, &format!("{{{own},{details}}}"));
        check(&format!(r#"{{"_miroir_a":1,{own},{details}}}"#), false, &format!("{{{own}}}"));
    }
}

#[test]
fn rules_over_reserved_fields_leave_details_without_a_gap() {
    let hit = r#"{"id":1,"_rankingScoreDetails":{"words":{"order":0,"matchingWords":1,"score":1.0},"_miroir_updated_at:asc":{"order":1,"value":"::"},"a:asc":{"order":2,"value":3}}}"#;
    let kept = r#"{"id":1,"_rankingScoreDetails":{"words":{"order":0,"matchingWords":1,"score":1.0},"a:asc":{"order":1,"value":3}}}"#;
    assert_eq!(strip(hit, false, true), kept);
    assert_eq!(strip(hit, false, false), r#"{"id":1}"#);
}

#[test]
fn loose_json_and_members_after_the_details_are_merged_too() {
    let hit = r#"{ "id" : 1 , "_miroir_shard" : "::" , "a" : { "b" : 1 } , "_rankingScoreDetails" : { "words" : { "order" : 0 , "matchingWords" : 1 } } , "later" : 2 }"#;
    assert_eq!(strip(hit, false, false), r#"{ "id" : 1,"a" : { "b" : 1 },"later" : 2}"#);
    assert_eq!(
        strip(r#"{"_rankingScoreDetails":{},"later":2,"_miroir_x":1}"#, false, false),
        r#"{"later":2}"#
    );
}

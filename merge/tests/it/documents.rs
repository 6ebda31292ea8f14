//! Lists of documents joined by an order, and single documents stripped.

use merge::{ExtraFields, MergeError, Merged, SortField, documents};

fn joined(legs: &[&str], offset: usize, limit: usize) -> Result<(String, Merged), MergeError> {
    let legs = legs.iter().map(|leg| leg.as_bytes()).collect::<Vec<_>>();
    let mut out = Vec::new();
    let merged = documents(&legs, &[SortField::ascending("id")], None, offset, limit, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), merged))
}

const LEGS: [&str; 3] = [
    r#"{"results":[{"id":1,"_miroir_shard":"::","t":"a"},{"id":4}],"offset":0,"limit":9,"total":2}"#,
    r#"{"results":[],"offset":0,"limit":9,"total":0}"#,
    r#"{"results":[{"_miroir_shard":"::","id":2}],"offset":0,"limit":9,"total":5}"#,
];

#[test]
fn documents_are_joined_by_primary_key() {
    let check = |offset: usize, limit: usize, results: &str, hits: usize| {
        let (answer, merged) = joined(&LEGS, offset, limit).unwrap();
        assert_eq!(
            answer,
            format!(r#"{{"results":[{results}],"offset":{offset},"limit":{limit},"total":7}}"#)
        );
        assert_eq!(merged, Merged { hits, total: 7, ..Merged::default() });
    };
    check(0, 9, r#"{"id":1,"t":"a"},{"id":2},{"id":4}"#, 3);
    check(1, 1, r#"{"id":2}"#, 1);
    check(1, 2, r#"{"id":2},{"id":4}"#, 2);
    check(0, 0, "", 0);
    check(9, 9, "", 0);
    check(usize::MAX, usize::MAX, "", 0);
}

#[test]
fn legs_that_are_no_lists_are_refused() {
    let table = [
        (r#"{"results":{},"total":0}"#, "not an array"),
        (r#"{"results":[]}"#, "no member `total`"),
        (r#"{"results":[1],"total":1}"#, "not an object"),
        (r#"{"results":[],"total":-1}"#, "not a count"),
        (r#"{"results":[],"total":0}]"#, "bytes follow"),
        ("[]", "not valid JSON"),
    ];
    for (leg, expected) in table {
        let MergeError::Leg { leg: blamed, reason } = joined(&[LEGS[0], leg], 0, 9).unwrap_err() else {
            panic!("no leg is blamed")
        };
        assert!(blamed == 1 && reason.contains(expected), "{leg}: {reason}");
    }
}

#[test]
fn single_documents_are_stripped() {
    let strip = |raw: &str| {
        let mut out = Vec::new();
        merge::strip_document(raw.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let table = [
        (r#"{"id":1,"_miroir_shard":"::.","a":1.50}"#, r#"{"id":1,"a":1.50}"#),
        (r#"{"_miroir_a":1,"_miroir_b":2}"#, "{}"),
        (" {\"id\" : 1} ", "{\"id\" : 1}"),
        (r#"{"id":1,"n":{"_miroir_a":1}}"#, r#"{"id":1,"n":{"_miroir_a":1}}"#),
    ];
    for (raw, expected) in table {
        assert_eq!(strip(raw).unwrap(), expected);
    }
    for raw in ["", "1", "[]", "{", "{\"a\":}", "{} {}", "{\"a\":\"\u{1}\"}"] {
        assert!(strip(raw).is_err(), "{raw}");
    }
    assert!(merge::strip_document(b"{\"a\":\"\xff\"}", &mut Vec::new()).is_err());
}

#[test]
fn sorted_lists_are_merged_and_what_was_only_asked_for_is_cut_out() {
    let sort = ["price:desc", "name:asc"].map(|field| SortField::parse(field).unwrap());
    let leg = |documents: &[&str]| {
        let total = documents.len();
        format!(r#"{{"results":[{}],"offset":0,"limit":9,"total":{total}}}"#, documents.join(","))
    };
    let legs = [
        leg(&[
            r#"{"id":1,"_miroir_shard":":","price":9}"#,
            r#"{"id":2,"price":5,"name":"b"}"#,
            r#"{"id":3}"#,
        ]),
        leg(&[
            r#"{"id":4,"price":5,"name":"A"}"#,
            r#"{"id":5,"price":5,"name":"b"}"#,
            r#"{"id":6,"price":"x"}"#,
        ]),
    ];
    let legs = legs.iter().map(String::as_bytes).collect::<Vec<_>>();
    let extra = ExtraFields {
        members: vec!["price".into(), "name".into()],
        retrieved: vec!["id".into()],
        formatted: Vec::new(),
    };
    let check = |extra: Option<&ExtraFields<'_>>, offset: usize, limit: usize, expected: &str| {
        let mut out = Vec::new();
        documents(&legs, &sort, extra, offset, limit, &mut out).unwrap();
        let expected = format!(r#"{{"results":[{expected}],"offset":{offset},"limit":{limit},"total":6}}"#);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    check(Some(&extra), 0, 9, r#"{"id":1},{"id":4},{"id":2},{"id":5},{"id":6},{"id":3}"#);
    check(None, 1, 2, r#"{"id":4,"price":5,"name":"A"},{"id":2,"price":5,"name":"b"}"#);
    let mut out = Vec::new();
    assert!(documents(&[b"{}"], &sort, None, 0, 1, &mut out).is_err());
    assert!(documents(&[br#"{"results":[1],"total":1}"#], &sort, None, 0, 1, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_document_of_numbers_and_strings_stands_at_both() {
    let sort = ["a:asc", "id:asc"].map(|field| SortField::parse(field).unwrap());
    let legs = [
        r#"{"results":[{"id":1,"a":[7,"b"]},{"id":1,"a":[7,"b"]}],"offset":0,"limit":9,"total":1}"#,
        r#"{"results":[{"id":2,"a":8},{"id":3,"a":"a"},{"id":4,"a":"c"}],"offset":0,"limit":9,"total":3}"#,
    ];
    let mut out = Vec::new();
    documents(&legs.map(str::as_bytes), &sort, None, 0, 9, &mut out).unwrap();
    let answer = serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    let ids = answer["results"].as_array().unwrap().iter().map(|document| document["id"].as_u64().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 1, 4]);
}

/// Different keys that are equal as sort values: great integers as doubles, and strings with the same long start.
#[test]
fn keys_equal_as_sort_values_stand_in_one_order_whichever_leg_has_them() {
    let long = |end: &str| format!("\"{}{end}\"", "k".repeat(470));
    let numbers = ["9007199254740992", "9007199254740993", "18446744073709551614", "18446744073709551615"];
    for (first, second) in [
        (numbers[0].to_owned(), numbers[1].to_owned()),
        (numbers[2].to_owned(), numbers[3].to_owned()),
        (long("a"), long("b")),
    ] {
        for sort in [&["id:asc"][..], &["price:desc", "id:asc"]] {
            let sort = sort.iter().map(|field| SortField::parse(field).unwrap()).collect::<Vec<_>>();
            let leg = |id: &str| {
                format!(r#"{{"results":[{{"id":{id},"price":1}}],"offset":0,"limit":9,"total":1}}"#)
            };
            let merged = |ids: [&str; 2]| {
                let legs = ids.map(leg);
                let mut out = Vec::new();
                documents(&[legs[0].as_bytes(), legs[1].as_bytes()], &sort, None, 0, 9, &mut out).unwrap();
                String::from_utf8(out).unwrap()
            };
            let forward = merged([&first, &second]);
            assert_eq!(forward, merged([&second, &first]));
            assert!(forward.find(&first).unwrap() < forward.find(&second).unwrap(), "{forward}");
        }
    }
}

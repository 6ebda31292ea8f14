//! Tests of payloads, data-driven: one `check…` per boundary.
//!
//! Invariants: expected messages are written in full, as in Meilisearch v1.50.

use crate::api::documents::payload::*;
use bytes::Bytes;
use router::reserved::{encode_timestamp, shard_marker};
use router::{ShardSet, shard_of};

const CSV: PayloadFormat = PayloadFormat::Csv { delimiter: b',' };

fn parse_with(
    body: &str,
    format: PayloadFormat,
    primary_key: Option<&str>,
) -> Result<ParsedPayload, IngestError> {
    parse(
        Bytes::copy_from_slice(body.as_bytes()),
        format,
        ParseOptions { primary_key, expiry_allowed: false },
    )
}

fn check_documents(body: &str, format: PayloadFormat, primary_key: Option<&str>, expected: &[(&str, &str)]) {
    let payload = parse_with(body, format, primary_key).unwrap_or_else(|error| panic!("{body}: {error}"));
    let found: Vec<(&str, &str)> = payload.documents().map(|document| (document.id, document.raw)).collect();
    assert_eq!(found, expected, "{body}");
}

fn check_error(body: &str, format: PayloadFormat, primary_key: Option<&str>, code: &str, message: &str) {
    let Err(error) = parse_with(body, format, primary_key) else { panic!("{body}: was taken") };
    assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{body}");
    let failed_task = !matches!(code, "malformed_payload" | "missing_payload" | "miroir_reserved_field");
    assert_eq!(error.is_synchronous(), !failed_task, "{body}");
}

#[test]
fn json_is_cut_into_documents() {
    let deep = format!(r#"{{"id":1,"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, expected) in [
        (r#"[]"#, &[][..]),
        (" [ ] ", &[]),
        (r#"{"id":1}"#, &[("1", r#"{"id":1}"#)]),
        (" {\"id\" : 1 }\r\n", &[("1", r#"{"id" : 1 }"#)]),
        (r#"[{"id":1},{"id":"1"}]"#, &[("1", r#"{"id":1}"#), ("1", r#"{"id":"1"}"#)]),
        (
            "[\n {\"id\":1} ,\t{\"b\":{\"}\":[\"{\"]},\"id\":2}\n]",
            &[("1", r#"{"id":1}"#), ("2", r#"{"b":{"}":["{"]},"id":2}"#)],
        ),
        // As in Meilisearch, text after an array is ignored.
        (r#"[{"id":1}] x"#, &[("1", r#"{"id":1}"#)]),
        // The last of equal keys counts, whatever the others contain.
        (r#"[{"id":"not one","x":0,"id":7}]"#, &[("7", r#"{"id":"not one","x":0,"id":7}"#)]),
        (r#"[{"\u0069d":7}]"#, &[("7", r#"{"\u0069d":7}"#)]),
        (r#"[{"id":"\u0061b\u002dc"}]"#, &[("ab-c", r#"{"id":"\u0061b\u002dc"}"#)]),
        (
            r#"[{"naïve \"key\" 🦀":"é\n\ud83e\udd80","id":"x"}]"#,
            &[("x", r#"{"naïve \"key\" 🦀":"é\n\ud83e\udd80","id":"x"}"#)],
        ),
        (&deep, &[("1", &deep)]),
    ] {
        check_documents(body, PayloadFormat::Json, Some("id"), expected);
    }
}

#[test]
fn ndjson_is_cut_into_documents() {
    let two = [("1", r#"{"id":1}"#), ("2", r#"{"id":2}"#)];
    for (body, expected) in [
        ("{\"id\":1}\n{\"id\":2}", &two[..]),
        ("{\"id\":1}\r\n{\"id\":2}\r\n", &two),
        ("\n\n{\"id\":1}\n  \n\r\n{\"id\":2}\n\n", &two),
        // As in Meilisearch, white space is optional and lines do not matter.
        ("{\"id\":1}{\"id\":2}", &two),
        ("{\"id\":\n3}\n", &[("3", "{\"id\":\n3}")]),
        ("\n \r\n", &[]),
    ] {
        check_documents(body, PayloadFormat::Ndjson, Some("id"), expected);
    }
}

#[test]
fn csv_rows_become_documents() {
    for (body, expected) in [
        (
            "id,name\n1,a\n2,\"b \"\"c\"\"\"\n",
            &[("1", r#"{"id":"1","name":"a"}"#), ("2", r#"{"id":"2","name":"b \"c\""}"#)][..],
        ),
        (
            "id:number,b:boolean,s:string,o:other\r\n 7 ,true, x ,\r\n",
            &[("7", r#"{"id":7,"b":true,"s":" x ","o:other":null}"#)],
        ),
        ("id,a:number,b:boolean,c\nx,,,\n", &[("x", r#"{"id":"x","a":null,"b":null,"c":null}"#)]),
        (
            "id,a:number\nx,1.5\ny,-3\nz,1e400\n",
            &[("x", r#"{"id":"x","a":1.5}"#), ("y", r#"{"id":"y","a":-3}"#), ("z", r#"{"id":"z","a":null}"#)],
        ),
        // Only the last colon gives a type, and of equal names the last column counts.
        ("id,a:b:number,c,c:number\nx,1,2,3\n", &[("x", r#"{"id":"x","a:b":1,"c":3}"#)]),
        ("id,\"a\nb\"\n1,\"c\nd\"\n", &[("1", r#"{"id":"1","a\nb":"c\nd"}"#)]),
        ("id,name\n", &[]),
    ] {
        check_documents(body, CSV, Some("id"), expected);
    }
    check_documents(
        "id;x\n1;é\n",
        PayloadFormat::Csv { delimiter: b';' },
        None,
        &[("1", r#"{"id":"1","x":"é"}"#)],
    );
}

#[test]
fn identifiers() {
    let longest = format!("\"{}\"", "a".repeat(511));
    for (value, id) in [
        ("0", "0"),
        ("-3", "-3"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        (r#""1""#, "1"),
        (r#""01""#, "01"),
        (r#""a-Z_9""#, "a-Z_9"),
        (&longest, &"a".repeat(511)),
    ] {
        let document = format!(r#"{{"id":{value}}}"#);
        check_documents(&document, PayloadFormat::Json, Some("id"), &[(id, &document)]);
    }
    let too_long = format!("\"{}\"", "a".repeat(512));
    for (value, shown) in [
        ("1.0", "1.0"),
        ("-0", "-0.0"),
        ("1e2", "100.0"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("-9223372036854775809", "-9.223372036854776e+18"),
        (r#""""#, r#""""#),
        (r#""a b""#, r#""a b""#),
        (r#""é""#, r#""é""#),
        (r#""\u00e9""#, r#""é""#),
        (r#""a\n""#, r#""a\n""#),
        (r#""\ud800""#, r#""\ud800""#),
        ("true", "true"),
        ("null", "null"),
        ("[ 1 ]", "[1]"),
        (r#"{ "a": 1 }"#, r#"{"a":1}"#),
        (&too_long, &too_long),
    ] {
        let message = format!(
            "Document identifier `{shown}` is invalid. A document identifier can be of type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes."
        );
        let body = format!(r#"[{{"id":1}},{{"id":{value}}},{{"id":2}}]"#);
        check_error(&body, PayloadFormat::Json, Some("id"), "invalid_document_id", &message);
    }
}

#[test]
fn nested_primary_keys() {
    for body in [
        r#"{"a":{"b":{"id":5}}}"#,
        r#"{"a.b":{"id":5}}"#,
        r#"{"a":{"b.id":5}}"#,
        r#"{"a.b.id":5}"#,
        r#"{"x":{"b":{"id":6}},"a":{"c":1,"b":{"id":5,"x":[]}},"a.b":{"x":1}}"#,
        r#"{"a":7,"a.b":{"id":5}}"#,
        r#"{"":{"id":1},"a\u002eb":{"\u0069d":5}}"#,
        r#"{"a":{"b":{"id":6}},"a":{"b":{"id":5}}}"#,
    ] {
        check_documents(body, PayloadFormat::Json, Some("a.b.id"), &[("5", body)]);
    }
    for (body, shown) in [
        (r#"{"a": 7}"#, r#"{"a":7}"#),
        (r#"{"a":[{"b":{"id":5}}]}"#, r#"{"a":[{"b":{"id":5}}]}"#),
        (r#"{"id":5,"b":{"id":5}}"#, r#"{"id":5,"b":{"id":5}}"#),
        ("{}", "{}"),
    ] {
        let message = format!("Document doesn't have a `a.b.id` attribute: `{shown}`.");
        check_error(body, PayloadFormat::Json, Some("a.b.id"), "missing_document_id", &message);
    }
    for body in [
        r#"{"a.b.id":5,"a":{"b":{"id":5}}}"#,
        r#"{"a":{"b.id":1,"b":{"id":2}}}"#,
        r#"{"a":{"b":{"id":1,"id":2}}}"#,
    ] {
        let document = serde_json::from_str::<serde_json::Value>(body).unwrap();
        let message = format!("Document have too many matching `a.b.id` attribute: `{document}`.");
        check_error(body, PayloadFormat::Json, Some("a.b.id"), "invalid_document_id", &message);
    }
    let message = "Document have too many matching `id` attribute: `{\"id\":2}`.";
    check_error(r#"{"id":1,"id":2}"#, PayloadFormat::Ndjson, Some("id"), "invalid_document_id", message);
}

#[test]
fn primary_key_inference() {
    for (body, primary_key) in [
        (r#"[{"name":1,"id":5}]"#, "id"),
        (r#"[{"movieID":5,"ids":1}]"#, "movieID"),
        (r#"[{"Id":5,"Id":5}]"#, "Id"),
        (r#"[{"\u0069d":5}]"#, "id"),
        (r#"[{"a.id":5},{"a":{"id":6}, "other_id":1}]"#, "a.id"),
        (r#"{"acid":5}"#, "acid"),
    ] {
        let payload = parse_with(body, PayloadFormat::Json, None).unwrap();
        assert_eq!(payload.primary_key(), Some(primary_key), "{body}");
        assert_eq!(payload.documents().next().map(|document| document.id), Some("5"));
    }
    let none = "The primary key inference failed as the engine did not find any field ending with `id` in its name. Please specify the primary key manually using the `primaryKey` query parameter.";
    for body in ["{}", r#"[{"ids":1},{"id":1}]"#] {
        check_error(body, PayloadFormat::Json, None, "index_primary_key_no_candidate_found", none);
    }
    let several = "The primary key inference failed as the engine found 3 fields ending with `id` in their names: 'ID' and 'a_id'. Please specify the primary key manually using the `primaryKey` query parameter.";
    let body = r#"[{"id":1,"a_id":1,"ID":2}]"#;
    check_error(body, PayloadFormat::Json, None, "index_primary_key_multiple_candidates_found", several);
}

#[test]
fn no_documents_need_no_primary_key() {
    let comma = PayloadFormat::Csv { delimiter: b',' };
    for (body, format) in [("[]", PayloadFormat::Json), ("\n", PayloadFormat::Ndjson), ("name,year\n", comma)]
    {
        let payload = parse_with(body, format, None).unwrap();
        assert_eq!((payload.len(), payload.primary_key()), (0, None), "{body}");
    }
}

#[test]
fn one_bad_document_fails_all() {
    let body = r#"[{"id":1},{"name":"x"},{"id":"a b"},{"id":2}]"#;
    let error = parse_with(body, PayloadFormat::Json, Some("id")).unwrap_err();
    let problem = DocumentProblem::MissingDocumentId {
        primary_key: "id".to_owned(),
        document: r#"{"name":"x"}"#.to_owned(),
    };
    assert_eq!(error, IngestError::Task { problem, received: 4 });
}

#[test]
fn malformed_json() {
    for (body, message) in [
        (r#"[{"id":1},]"#, "trailing comma at line 1 column 11"),
        (r#"[{"id":1,}]"#, "key must be a string at line 1 column 10"),
        (r#"{"id":1,}"#, "trailing comma at line 1 column 9"),
        (r#"{"id":1}{"id":2}"#, "trailing characters at line 1 column 9"),
        (r#"[{"id":1}"#, "EOF while parsing a list at line 1 column 9"),
        (r#"[{"id":1"#, "EOF while parsing an object at line 1 column 8"),
        ("[{\"id\":\n01}]", "invalid number at line 2 column 2"),
        ("[{\"id\":1 \"a\":2}]", "expected `,` or `}` at line 1 column 10"),
        (
            "[{\"id\":\"a\nb\"}]",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 9",
        ),
        (r#"[{"id":1,"a":"\u12"}]"#, "invalid escape at line 1 column 20"),
        (r#"[{id:1}]"#, "key must be a string at line 1 column 3"),
        ("hello", "expected value at line 1 column 1"),
        ("  ", "EOF while parsing a value at line 1 column 2"),
        ("\"id\"", "data are neither an object nor a list of objects"),
        ("null", "data are neither an object nor a list of objects"),
        ("[1]", "data are neither an object nor a list of objects"),
        (r#"[{"id":1},[]]"#, "data are neither an object nor a list of objects"),
    ] {
        let message = format!(
            "The `json` payload provided is malformed. `Couldn't serialize document value: {message}`."
        );
        check_error(body, PayloadFormat::Json, Some("id"), "malformed_payload", &message);
    }
    check_error("", PayloadFormat::Json, None, "missing_payload", "A json payload is missing.");
    let invalid_text = Bytes::from_static(b"[{\"id\":\"\xff\"}]");
    let error = parse(invalid_text, PayloadFormat::Json, ParseOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The `json` payload provided is malformed. `Couldn't serialize document value: invalid unicode code point at line 1 column 9`."
    );
}

#[test]
fn malformed_ndjson_and_csv() {
    for (body, message) in [
        ("{\"id\":1}\n{id:1}", "key must be a string at line 2 column 2"),
        ("{\"id\":1}\n{\"id\":", "EOF while parsing a value at line 2 column 6"),
        ("[{\"id\":1}]", "data are neither an object nor a list of objects"),
        ("{\"id\":1},", "expected value at line 1 column 9"),
    ] {
        let message = format!(
            "The `ndjson` payload provided is malformed. `Couldn't serialize document value: {message}`."
        );
        check_error(body, PayloadFormat::Ndjson, Some("id"), "malformed_payload", &message);
    }
    for (body, message) in [
        ("id:number\n\ndoggo\n", "Error parsing number \"doggo\" at line 1: invalid float literal"),
        (
            "id:boolean\nfalse\n doggo\n",
            "Error parsing boolean \" doggo\" at line 2: provided string was not `true` or `false`",
        ),
        (
            "id,a\n1,2,3\n",
            "CSV error: record 1 (line: 2, byte: 5): found record with 3 fields, but the previous record has 2 fields",
        ),
    ] {
        let message = format!("The `csv` payload provided is malformed: `{message}`.");
        check_error(body, CSV, Some("id"), "malformed_payload", &message);
    }
    check_error("", CSV, None, "missing_payload", "A csv payload is missing.");
    check_error("", PayloadFormat::Ndjson, None, "missing_payload", "A ndjson payload is missing.");
}

#[test]
fn reserved_fields_are_refused() {
    for (body, field) in [
        (r#"[{"id":1},{"id":2,"_miroir_shard":"x"}]"#, "_miroir_shard"),
        (r#"[{"_miroir_":1}]"#, "_miroir_"),
        (r#"[{"id":2,"\u005fmiroir_x":"x"}]"#, "_miroir_x"),
        (r#"[{"id":1,"_miroir_expires_at":5}]"#, "_miroir_expires_at"),
        // Refused at once, although an earlier document would fail the task.
        (r#"[{"id":1.5},{"_miroir_a":"x"}]"#, "_miroir_a"),
    ] {
        let message = format!(
            "The field `{field}` is reserved: documents cannot contain top-level fields that start with `_miroir_`."
        );
        check_error(body, PayloadFormat::Json, None, "miroir_reserved_field", &message);
    }
    check_documents(
        r#"{"id":1,"a":{"_miroir_shard":1}}"#,
        PayloadFormat::Json,
        None,
        &[("1", r#"{"id":1,"a":{"_miroir_shard":1}}"#)],
    );
    // A malformed body is reported first.
    let error = parse_with(r#"[{"_miroir_a":1},]"#, PayloadFormat::Json, None).unwrap_err();
    assert_eq!(error.code(), "malformed_payload");
}

fn marker(id: &str, shards: u32) -> String {
    String::from_utf8(shard_marker(shard_of(id, shards)).to_vec()).unwrap()
}

fn time(value: u64) -> String {
    String::from_utf8(encode_timestamp(value).to_vec()).unwrap()
}

#[test]
fn bodies_are_stamped_copies() {
    let payload =
        parse_with("[ { \"id\": 1, \"a\":  \"é\" }\n,{\"id\":\"x\"} ]", PayloadFormat::Json, None).unwrap();
    let shards = payload.shards(64);
    let body = payload.body(&shards, &ShardSet::all(64), None).unwrap();
    let (one, x) = (marker("1", 64), marker("x", 64));
    let expected = format!(
        "[{{\"_miroir_shard\":\"{one}\", \"id\": 1, \"a\":  \"é\" }},{{\"_miroir_shard\":\"{x}\",\"id\":\"x\"}}]"
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let only: ShardSet = [shard_of("x", 64)].into_iter().collect();
    let body = payload.body(&shards, &only, Some(77)).unwrap();
    let clock = time(77);
    let expected = format!(r#"[{{"_miroir_shard":"{x}","_miroir_updated_at":"{clock}","id":"x"}}]"#);
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    assert_eq!(payload.body(&shards, &ShardSet::new(), None), None);
}

#[test]
fn bodies_are_given_their_time_and_joined() {
    let payload = |text| parse_with(text, PayloadFormat::Json, None).unwrap();
    let stamped = |text| {
        let payload = payload(text);
        payload.stamped(&payload.shards(64), &ShardSet::all(64), Some(0)).unwrap()
    };
    let (mut one, mut two) = (stamped(r#"[{"id":1},{"id":2}]"#), stamped(r#"[{"id":3}]"#));
    one.set_clock(5);
    two.set_clock(6);
    one.append(&two);
    assert_eq!(one.documents, 3);
    let read: Vec<serde_json::Value> = serde_json::from_slice(&one.bytes).unwrap();
    let clocks = read.iter().map(|document| document["_miroir_updated_at"].as_str().unwrap());
    assert_eq!(clocks.collect::<Vec<_>>(), [time(5), time(5), time(6)]);
    one.set_clock(u64::MAX);
    assert_eq!(String::from_utf8(one.bytes).unwrap().matches(&time(u64::MAX)).count(), 3);
}

#[test]
fn every_document_is_in_the_body_of_its_shard_only() {
    let body: Vec<String> = (0..500).map(|id| format!(r#"{{"v":[{id}],"id":"{id}"}}"#)).collect();
    let payload = parse_with(&body.join("\n"), PayloadFormat::Ndjson, None).unwrap();
    let shards = payload.shards(7);
    let mut seen = 0;
    for shard in 0..7 {
        let wanted: ShardSet = [shard].into_iter().collect();
        let body = payload.body(&shards, &wanted, None).unwrap();
        let documents: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        for document in &documents {
            let id = document["id"].as_str().unwrap();
            assert_eq!(shard_of(id, 7), shard);
            assert_eq!(document["_miroir_shard"], marker(id, 7));
            assert_eq!(document["v"][0].to_string(), id);
        }
        seen += documents.len();
    }
    assert_eq!(seen, 500);
}

#[test]
fn expiries_are_cut_out_and_stamped() {
    let shard = marker("1", 1);
    let at = time(1_700_000_000_000);
    for (document, rest) in [
        (r#"{"_miroir_expires_at":1700000000000,"id":1}"#, r#""id":1}"#),
        (r#"{ "_miroir_expires_at" : 1700000000000 , "id":1}"#, r#" "id":1}"#),
        (r#"{"id":1,"_miroir_expires_at":1700000000000}"#, r#""id":1}"#),
        (r#"{"id":1 , "_miroir_expires_at":1700000000000 ,"a":2}"#, r#""id":1 ,"a":2}"#),
    ] {
        let body = format!(r#"[{{"id":1}},{document},{{"id":1}}]"#);
        for primary_key in [None, Some("id")] {
            let options = ParseOptions { primary_key, expiry_allowed: true };
            let payload = parse(Bytes::from(body.clone()), PayloadFormat::Json, options).unwrap();
            let body = payload.body(&payload.shards(1), &ShardSet::all(1), None).unwrap();
            let plain = format!(r#"{{"_miroir_shard":"{shard}","id":1}}"#);
            let stamped = format!(r#"{{"_miroir_shard":"{shard}","_miroir_expires_at":"{at}",{rest}"#);
            assert_eq!(
                String::from_utf8(body).unwrap(),
                format!("[{plain},{stamped},{plain}]"),
                "{document}"
            );
        }
    }
    for (value, shown) in [("-1", "-1"), ("1.5", "1.5"), ("\"5\"", "\"5\""), ("null", "null")] {
        let body = format!(r#"{{"id":1,"_miroir_expires_at":{value}}}"#);
        let options = ParseOptions { primary_key: Some("id"), expiry_allowed: true };
        let error = parse(Bytes::from(body), PayloadFormat::Json, options).unwrap_err();
        assert_eq!(error, IngestError::InvalidExpiry { value: shown.to_owned() });
        assert_eq!(error.code(), "miroir_reserved_field");
    }
    let twice = r#"{"id":1,"_miroir_expires_at":1,"_miroir_expires_at":2}"#;
    let options = ParseOptions { primary_key: Some("id"), expiry_allowed: true };
    assert!(parse(Bytes::from(twice), PayloadFormat::Json, options).is_err());
    // An earlier problem stays the reported one.
    let after_problem = r#"[{"x":1},{"id":1,"_miroir_expires_at":1},{"id":1,"_miroir_expires_at":1}]"#;
    let error = parse(Bytes::from(after_problem), PayloadFormat::Json, options).unwrap_err();
    assert_eq!(error.code(), "missing_document_id");
}

#[test]
fn ids_of_a_delete_batch() {
    let split = split_ids(br#" [1, "1", "\u0061", -3, 1.0, true, {"a": 1}, ""] "#).unwrap();
    assert_eq!(split.ids(), ["1", "1", "a", "-3", "1.0", "true", r#"{"a":1}"#, ""]);
    let shards = split.shards(64);
    assert_eq!(shards[0], shards[1]);
    let wanted: ShardSet = [shards[0], shards[3]].into_iter().collect();
    assert_eq!(split.body(&shards, &wanted).as_deref(), Some(&br#"["1","1","-3"]"#[..]));
    assert_eq!(split.body(&shards, &ShardSet::new()), None);
    assert!(split_ids(b"[]").unwrap().ids().is_empty());
    for (body, code, message) in [
        ("", "missing_payload", "A json payload is missing."),
        (
            "[1,",
            "malformed_payload",
            "The json payload provided is malformed. `EOF while parsing a value at line 1 column 3`.",
        ),
        (
            "[1]2",
            "malformed_payload",
            "The json payload provided is malformed. `trailing characters at line 1 column 4`.",
        ),
        (
            "\"doggo\"",
            "bad_request",
            "Json deserialize error: invalid type: string \"doggo\", expected a sequence at line 1 column 7",
        ),
    ] {
        let error = split_ids(body.as_bytes()).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, message));
        assert!(error.is_synchronous());
    }
}

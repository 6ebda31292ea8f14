//! Archives as others write them, and as nobody should.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tar::{Builder, Header};

use super::*;

/// An archive of files, each with its type.
fn archive(files: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, kind, content) in files {
        let mut header = Header::new_ustar();
        // The name is written as it is, since a builder refuses the wrong ones.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn parts(bytes: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let read = read_parts(bytes, &|_| true, &mut |part| {
        parts.push(part);
        Ok(true)
    });
    read.map(|()| parts).map_err(|error| error.to_string())
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn parts_come_in_the_order_of_the_archive() {
    let bytes = archive(&[
        ("indexes", EntryType::Directory, b""),
        ("./indexes/films/documents.jsonl", FILE, b"{\"id\":1}\n\n{\"id\":2}"),
        ("indexes/films/metadata.json", FILE, b"{\"uid\":\"films\",\"primaryKey\":\"id\"}"),
        ("indexes/films/settings.json", FILE, b"{}"),
        ("metadata.json", FILE, b"{\"dumpVersion\":\"V6\"}"),
        ("tasks/queue.jsonl", FILE, b"no JSON at all"),
        ("keys.jsonl", FILE, b"{\"uid\":\"k\"}\n"),
    ]);
    let uid = || "films".to_owned();
    let lines = Bytes::from_static(b"{\"id\":1}\n{\"id\":2}\n");
    assert_eq!(
        parts(&bytes).unwrap(),
        [
            Part::Documents { uid: uid(), lines, count: 2 },
            Part::End { uid: uid() },
            Part::Index { uid: uid(), primary_key: Some("id".to_owned()) },
            Part::Settings { uid: uid(), settings: json!({}) },
            Part::Metadata(json!({"dumpVersion": "V6"})),
            Part::Key(json!({"uid": "k"})),
        ]
    );
    let mut seen = 0;
    read_parts(&bytes[..], &|_| false, &mut |part| {
        assert!(!matches!(part, Part::Documents { .. } | Part::End { .. }), "{part:?}");
        seen += 1;
        Ok(seen < 2)
    })
    .unwrap();
    assert_eq!(seen, 2, "the reader ends when nobody wants more");
}

#[test]
fn older_dumps_have_other_files() {
    let bytes = archive(&[
        ("./indexes/22c2/documents.jsonl", FILE, b"{\"id\":1}\n"),
        ("indexes/22c2/meta.json", FILE, b"{\"settings\":{\"stopWords\":[\"a\"]},\"primary_key\":\"id\"}"),
        (
            "index_uuids/data.jsonl",
            FILE,
            b"{\"uid\":\"films\",\"index_meta\":{\"uuid\":\"22c2\",\"creation_task_id\":1}}",
        ),
        ("instance-uid", FILE, b"9e15e977-f2ae-4761-943f-1eaf75fd736d"),
        ("keys", FILE, b"{\"uid\":\"k\"}\n{\"id\":[1],\"actions\":[\"dumps.get\"]}\n"),
        ("metadata.json", FILE, b"{\"dumpVersion\":\"V5\"}"),
        ("updates/data.jsonl", FILE, b"no JSON at all"),
        ("updates/updates_files/c83a", FILE, b"nor here"),
    ]);
    let folder = || "22c2".to_owned();
    let names = BTreeMap::from([(folder(), "films".to_owned())]);
    let read = parts(&bytes).unwrap();
    assert_eq!(
        read,
        [
            Part::Documents { uid: folder(), lines: Bytes::from_static(b"{\"id\":1}\n"), count: 1 },
            Part::End { uid: folder() },
            Part::Index { uid: folder(), primary_key: Some("id".to_owned()) },
            Part::Settings { uid: folder(), settings: json!({"stopWords": ["a"]}) },
            Part::Name { folder: folder(), uid: "films".to_owned() },
            Part::Key(json!({"uid": "k"})),
            Part::Metadata(json!({"dumpVersion": "V5"})),
        ]
    );
    let renamed = read.into_iter().map(|part| part.renamed(&names)).collect::<Vec<_>>();
    assert_eq!(renamed[1], Part::End { uid: "films".to_owned() });
    assert_eq!(renamed[5], Part::Key(json!({"uid": "k"})));
    let error = parts(&archive(&[("index_uuids/data.jsonl", FILE, b"{\"uid\":\"films\"}")])).unwrap_err();
    assert!(error.contains("line 1 of index_uuids/data.jsonl") && error.contains("uuid"), "{error}");
}

#[test]
fn batches_end_with_lines_and_are_bounded() {
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(3 << 20));
    let bytes = archive(&[("indexes/a/documents.jsonl", FILE, line.repeat(7).as_bytes())]);
    let mut documents = 0;
    for part in parts(&bytes).unwrap() {
        if let Part::Documents { lines, count, .. } = part {
            assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), count);
            assert!(lines.len() <= limits::BYTES_PER_RESTORE + line.len());
            documents += count;
        }
    }
    assert_eq!(documents, 7);
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let lines =
        (0..2000).map(|id| format!("{{\"id\":{id},\"x\":{}}}\n", id * 7919 % 1013)).collect::<String>();
    let bytes = archive(&[("indexes/a/documents.jsonl", FILE, lines.as_bytes())]);
    assert!(parts(&bytes).is_ok());
    for end in (0..bytes.len()).step_by(97) {
        assert!(parts(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
    }
    let mut damaged = bytes.clone();
    let sum = bytes.len() - 8;
    damaged[sum] ^= 1;
    assert!(parts(&damaged).is_err(), "the sum at the end is checked");
}

#[test]
fn what_no_dump_has_is_refused_by_name() {
    let refused = |path: &str, kind, content: &[u8], word: &str| {
        let error = parts(&archive(&[(path, kind, content)])).unwrap_err();
        assert!(error.contains(word), "{path}: {error}");
    };
    refused("../etc/passwd", FILE, b"", "outside");
    refused("indexes/../../x", FILE, b"", "outside");
    refused("/etc/passwd", FILE, b"", "outside");
    refused("metadata.json", EntryType::Symlink, b"", "neither");
    refused("keys.jsonl", EntryType::Link, b"", "neither");
    refused("metadata.json", FILE, b"{", "metadata.json");
    refused("indexes/a/settings.json", FILE, b"[", "indexes/a/settings.json");
    refused("keys.jsonl", FILE, b"{}\n{", "line 2 of keys.jsonl");
    refused("keys", FILE, b"{}\n{", "line 2 of keys");
    refused("indexes/a/meta.json", FILE, b"[", "indexes/a/meta.json");
    assert!(parts(b"{\"json\": true}").unwrap_err().contains("gzip"));
    assert!(parts(b"").is_err());
}

#[test]
fn a_bomb_costs_a_bounded_memory() {
    let bytes = archive(&[("indexes/a/documents.jsonl", FILE, &vec![b'x'; 64 << 20])]);
    assert!(bytes.len() < 1 << 20, "it is small");
    let error = parts(&bytes).unwrap_err();
    assert!(error.contains("line 1 of indexes/a/documents.jsonl has more than"), "{error}");
    let bytes = archive(&[("indexes/a/settings.json", FILE, &vec![b' '; 64 << 20])]);
    assert!(parts(&bytes).unwrap_err().contains("more than"));
    let mut with_tail = GzEncoder::new(Vec::new(), Compression::fast());
    with_tail.write_all(&vec![0; 8 << 20]).unwrap();
    assert!(parts(&with_tail.finish().unwrap()).unwrap_err().contains("follows"));
}

//! A store moved from sled into a file, into Redis and into a file again stays the same. A truncated or foreign file,
//! and a target that holds something, are refused.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_lite::future::block_on;
use serde_json::json;
use store::transfer::{Entry, TransferError, export, import};
use store::{Change, IDEMPOTENCY_KEYS, IdempotencyKey, NewTask, Store, Table, TaskQuery, TaskStatus};
use tempfile::TempDir;

use crate::redis::Server;
use crate::support::{Subject, at, finish, index_record, new_task, wait};

const NOTES: Table = Table::named("notes");
const LOGS: Table = Table::named("hints");
/// More than one page of each kind.
const MANY: u32 = 700;

/// Fills a store with more than a page of everything, and with unusual keys and bodies.
fn fill(store: &Store) {
    wait(store.put_topology(None, 3, json!({"nodes": ["n0"]}))).unwrap();
    for uid in ["movies", "books"] {
        wait(store.put_index(index_record(uid), None)).unwrap();
    }
    let tasks: Vec<_> = (0..MANY).map(|_| store.create_task(new_task("movies", at(0)))).collect();
    tasks.into_iter().for_each(|reply| drop(wait(reply).unwrap()));
    let mut intent = new_task("books", at(1));
    intent.accepted = false;
    wait(store.create_task(intent)).unwrap();
    wait(store.update_task(3, finish(TaskStatus::Failed, at(2)))).unwrap();
    wait(store.update_task(4, finish(TaskStatus::Succeeded, at(2)))).unwrap();
    wait(store.delete_tasks(vec![4])).unwrap();
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    let idempotency_key = Some(IdempotencyKey { key: "a key: 1".to_owned(), digest: "d".to_owned() });
    wait(store.create_task(NewTask { idempotency_key, ..new_task("movies", at(0)) })).unwrap();
    let notes: Vec<_> =
        (0..MANY).map(|number| store.put_record(NOTES, &format!("k{number}"), json!(number), None)).collect();
    notes.into_iter().for_each(|reply| assert!(wait(reply).is_ok()));
    for key in ["", "a/b", "\u{1}", "\u{10ffff}"] {
        wait(store.put_record(Table::named("other"), key, json!({"key": key}), None)).unwrap();
    }
    let append = |stream: &str, body: Vec<u8>| {
        let (stream, header) = (stream.to_owned(), json!({"length": body.len()}));
        wait(store.commit(vec![Change::Append { log: LOGS, stream, header, body: body.into() }])).unwrap();
    };
    (0..MANY / 2).for_each(|number| append("n1", number.to_string().into_bytes()));
    append("n1", vec![0xff; 100_000]);
    append("n10", Vec::new());
    append("", b"text".to_vec());
    let lease = wait(store.acquire_lease("settings", "p1", json!({}), Duration::from_secs(9))).unwrap();
    wait(store.put_job("copy", "a", json!(1), 3)).unwrap();
    wait(store.claim_job("copy", "p1", Duration::from_secs(9))).unwrap().unwrap();
    wait(store.count("hits", 7, Duration::from_secs(9))).unwrap();
    wait(store.release_lease(&lease.unwrap())).unwrap();
}

fn export_to(store: &Store, path: &Path) -> u64 {
    let mut file = fs::File::create(path).unwrap();
    block_on(export(store, &mut file)).unwrap()
}

/// The sorted entries of a file without the counters, which Redis counts differently.
fn things(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with(r#"{"counters""#)).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_store_goes_from_sled_to_redis_and_back() {
    let (directory, server) = (TempDir::new().unwrap(), Server::start(&[]));
    let path = |name: &str| directory.path().join(name);
    let sled = Subject::sled();
    fill(sled.store());
    let count = export_to(sled.store(), &path("1"));
    assert!(count > 2 * u64::from(MANY));
    let redis = server.subject();
    assert_eq!(block_on(import(redis.store(), &path("1"))).unwrap(), count);
    assert_eq!(export_to(redis.store(), &path("2")), count);
    assert_eq!(things(&path("1")), things(&path("2")));
    let mut again = Subject::sled();
    block_on(import(again.store(), &path("2"))).unwrap();
    assert_eq!(export_to(again.store(), &path("3")), count);
    assert_eq!(things(&path("1")), things(&path("3")));
    again.reopen();
    let ten = Duration::from_secs(10);
    let expected = wait(sled.store().acquire_lease("settings", "p2", json!({}), ten)).unwrap().unwrap();
    for subject in [&redis, &again] {
        let store = subject.store();
        let all = wait(store.tasks(TaskQuery { limit: 1, ..TaskQuery::default() })).unwrap();
        assert_eq!((all.total, all.from), (u64::from(MANY) + 1, Some(MANY + 2)));
        assert_eq!(
            wait(store.record(IDEMPOTENCY_KEYS, "a key: 1")),
            wait(sled.store().record(IDEMPOTENCY_KEYS, "a key: 1"))
        );
        assert_eq!(wait(store.create_task(new_task("movies", at(9)))).unwrap().uid, MANY + 3);
        let known = wait(sled.store().record(NOTES, "k9")).unwrap().unwrap();
        assert_eq!(wait(store.record(NOTES, "k9")).unwrap().unwrap(), known);
        let next = wait(store.put_record(NOTES, "k9", json!(1), Some(known.revision))).unwrap();
        let last = wait(sled.store().entries(LOGS, "n10", 0, 1)).unwrap()[0].sequence;
        assert!(next > last, "no revision is given twice: {next}, {last}");
        let long = wait(store.entries(LOGS, "n1", 0, usize::MAX)).unwrap();
        assert_eq!(long, wait(sled.store().entries(LOGS, "n1", 0, usize::MAX)).unwrap());
        let lease = wait(store.acquire_lease("settings", "p2", json!({}), ten)).unwrap().unwrap();
        assert_eq!(lease.token, expected.token, "tokens go on where they were");
    }
}

#[test]
fn what_is_no_whole_export_is_refused() {
    let directory = TempDir::new().unwrap();
    let (path, sled) = (directory.path().join("file"), Subject::sled());
    wait(sled.store().put_index(index_record("movies"), None)).unwrap();
    export_to(sled.store(), &path);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let record = |table: &str| {
        let (table, key) = (table.to_owned(), "a".to_owned());
        serde_json::to_string(&Entry::Record { table, key, revision: 1, value: json!(1) }).unwrap()
    };
    let cases = [
        (String::new(), "line 1: this is no export of a store"),
        ("{}\n".to_owned(), "line 1: this is no export of a store"),
        (whole.replace("\"format\":1", "\"format\":2"), "line 1: format 2; this build reads formats up to 1"),
        (lines[..lines.len() - 1].join("\n"), "the file was cut short"),
        (whole.replace("\"entries\":2", "\"entries\":3"), "3 things should come before this"),
        (format!("{whole}{{}}\n"), "nothing after"),
        (whole.replacen("movies", "mov\u{0}ies", 1), "line 3: "),
        (format!("{}\n{}\n{{\"entries\":1}}", lines[0], record("Notes")), "line 2: there is no such table"),
        (format!("{}\n{{\"nothing\":1}}\n{{\"entries\":1}}", lines[0]), "line 2: unknown variant"),
    ];
    for (text, reason) in cases {
        fs::write(&path, text).unwrap();
        let empty = Subject::sled();
        let error = block_on(import(empty.store(), &path)).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}, not {reason}");
        assert_eq!(wait(empty.store().indexes()), Ok(Vec::new()), "{reason}: nothing of it is stored");
    }
}

#[test]
fn a_store_that_is_used_or_holds_something_is_refused() {
    let (directory, server) = (TempDir::new().unwrap(), Server::start(&[]));
    let path = directory.path().join("file");
    export_to(Subject::sled().store(), &path);
    for subject in [Subject::sled(), server.subject()] {
        let store = subject.store();
        let lease =
            wait(store.acquire_lease("pod/a", "a", json!({}), Duration::from_secs(9))).unwrap().unwrap();
        for error in [
            block_on(export(store, &mut Vec::new())).unwrap_err(),
            block_on(import(store, &path)).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), "the store is in use by a; stop its pods first");
        }
        wait(store.release_lease(&lease)).unwrap();
        // The released lease leaves a record, because its token must never be given again.
        assert!(matches!(block_on(import(store, &path)), Err(TransferError::NotEmpty)));
    }
}

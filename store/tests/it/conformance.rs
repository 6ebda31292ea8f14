//! What every backend must do: a table of cases, each run on a fresh store. A new backend adds one line at the end of
//! this file.

use serde_json::json;
use store::StoreError::{Closed, Conflict, Full};
use store::{
    Change, NodeTask, RECORD_BYTES_MAX, Table, TaskChange, TaskError, TaskKind, TaskOwner, TaskQuery,
    TaskStatus, Versioned,
};

use crate::redis::Server;
use crate::support::{Subject, at, finish, index_record, new_task, wait};
use crate::{bounds, coordination, once, stale};

const NOTES: Table = Table::named("notes");
const NOTES_OLD: Table = Table::named("notes_old");

pub(crate) type Case = (&'static str, fn(&mut Subject));

const CASES: &[Case] = &[
    ("a topology changes only from the version it was read at", topology),
    ("an index changes only from the revision it was read at", indexes),
    ("an index that was made again is not the old one", index_made_again),
    ("tasks get uids from 0 without gaps and keep what they were given", task_creation),
    ("a task change replaces what it names and nothing else", task_changes),
    ("a task change that contradicts the record does nothing", task_conflicts),
    ("an intent is unfinished and nothing else before it is accepted", intents),
    ("an intent that was dropped is not accepted any more", dropped_intents),
    ("a commit happens whole or not at all", commits),
    ("names of indexes are exchanged in older tasks", exchanged_names),
    ("unfinished tasks are listed oldest first", unfinished_tasks),
    ("only finished tasks are pruned, oldest first, and uids are not reused", pruning),
    ("only finished tasks are deleted", deletion),
    ("generic records change only from the revision they were read at", records),
    ("records of a table are listed by key, page by page", record_pages),
    ("logs keep their order and their bodies, and are cut at the front", logs),
    ("a record over its bound is refused and nothing is stored", too_large),
    ("a reply may be dropped", dropped_reply),
    ("a stopped store answers that it is closed", stopped),
];

/// The least number of cases that a backend has to pass.
const CASES_MIN: usize = 100;

fn check_backend(backend: impl Fn() -> Subject) {
    let mut count = 0;
    let mut check = |name: &str, case: &dyn Fn(&mut Subject)| {
        count += 1;
        // The harness shows it only when the case fails.
        println!("case {count}: {name}");
        case(&mut backend());
    };
    for (name, case) in CASES.iter().chain(coordination::CASES).chain(bounds::CASES).chain(once::CASES) {
        check(name, case);
    }
    for (way, action) in stale::of_leases() {
        check(&format!("{}: {} is fenced off", way.0, action.0), &|subject| {
            stale::lease(subject, way, action)
        });
    }
    for (way, action) in stale::of_jobs() {
        check(&format!("{}: {} is fenced off", way.0, action.0), &|subject| stale::job(subject, way, action));
    }
    println!("{count} cases");
    assert!(count >= CASES_MIN, "{count} cases");
}

/// The cases that exercise most of a backend's own code, for backends that differ only in how they are reached.
pub(crate) fn check_some(backend: impl Fn() -> Subject) {
    for (name, case) in CASES.iter().chain(once::CASES) {
        println!("case: {name}");
        case(&mut backend());
    }
}

fn topology(subject: &mut Subject) {
    let put = |subject: &Subject, expected, version| {
        wait(subject.store().put_topology(expected, version, json!({"version": version})))
    };
    assert_eq!(wait(subject.store().topology()), Ok(None));
    let steps = [
        (Some(1), 2, Err(Conflict)),
        (None, 1, Ok(())),
        (None, 2, Err(Conflict)),
        (Some(2), 3, Err(Conflict)),
        (Some(1), 1, Err(Conflict)),
        (Some(1), 5, Ok(())),
        (Some(5), 4, Err(Conflict)),
    ];
    for (expected, version, outcome) in steps {
        assert_eq!(put(subject, expected, version), outcome, "{expected:?} to {version}");
    }
    subject.reopen();
    let stored = Versioned { version: 5, value: json!({"version": 5}) };
    assert_eq!(wait(subject.store().topology()), Ok(Some(stored)));
}

fn indexes(subject: &mut Subject) {
    let store = subject.store().clone();
    let mut movies = index_record("movies");
    let first = wait(store.put_index(movies.clone(), None)).unwrap();
    assert_eq!(wait(store.put_index(movies.clone(), None)), Err(Conflict));
    assert_eq!(wait(store.put_index(movies.clone(), Some(first + 1))), Err(Conflict));
    assert_eq!(wait(store.put_index(index_record("books"), Some(first))), Err(Conflict));
    movies.primary_key = None;
    movies.revision = 999;
    let second = wait(store.put_index(movies.clone(), Some(first))).unwrap();
    assert!(second > first);
    let mut books = index_record("books");
    books.revision = wait(store.put_index(books.clone(), None)).unwrap();
    movies.revision = second;
    subject.reopen();
    let store = subject.store();
    assert_eq!(wait(store.indexes()), Ok(vec![books.clone(), movies.clone()]));
    assert_eq!(wait(store.index("movies")), Ok(Some(movies)));
    assert_eq!(wait(store.index("movie")), Ok(None));
    assert_eq!(wait(store.delete_index("movies", first)), Err(Conflict));
    assert_eq!(wait(store.delete_index("movies", second)), Ok(()));
    assert_eq!(wait(store.delete_index("movies", second)), Err(Conflict));
    assert_eq!(wait(store.indexes()), Ok(vec![books]));
}

fn index_made_again(subject: &mut Subject) {
    let first = wait(subject.store().put_index(index_record("movies"), None)).unwrap();
    wait(subject.store().delete_index("movies", first)).unwrap();
    subject.reopen();
    let second = wait(subject.store().put_index(index_record("movies"), None)).unwrap();
    assert!(second > first);
    assert_eq!(wait(subject.store().delete_index("movies", first)), Err(Conflict));
}

fn task_creation(subject: &mut Subject) {
    let mut new = new_task("movies", at(0));
    new.custom_metadata = Some("import 7".to_owned());
    new.owners = vec![TaskOwner { node: "n1".to_owned(), shards: vec![0, 3] }];
    let replies: Vec<_> = (0..50).map(|_| subject.store().create_task(new.clone())).collect();
    let created: Vec<_> = replies.into_iter().map(|reply| wait(reply).unwrap()).collect();
    subject.reopen();
    for (uid, task) in (0..).zip(&created) {
        assert_eq!(task.uid, uid);
        assert_eq!((task.status, task.accepted, task.revision), (TaskStatus::Enqueued, true, 1));
        assert_eq!((&task.owners, &task.details), (&new.owners, &new.details));
        assert_eq!(task.custom_metadata, new.custom_metadata);
        assert_eq!(wait(subject.store().task(uid)), Ok(Some(task.clone())));
    }
    assert_eq!(wait(subject.store().task(50)), Ok(None));
    assert_eq!(wait(subject.store().create_task(new)).unwrap().uid, 50);
}

fn task_changes(subject: &mut Subject) {
    let created = wait(subject.store().create_task(new_task("movies", at(0)))).unwrap();
    let error = TaskError {
        message: "boom".to_owned(),
        code: "internal".to_owned(),
        kind: "internal".to_owned(),
        link: "https://docs.meilisearch.com/errors#internal".to_owned(),
    };
    let node_task = NodeTask {
        shared: true,
        node: "n1".to_owned(),
        uid: 7,
        documents: 3,
        status: TaskStatus::Failed,
        details: Some(json!({"indexedDocuments": 0})),
        error: Some(error.clone()),
    };
    let started = TaskChange {
        expected_revision: Some(1),
        status: Some(TaskStatus::Processing),
        accepted: Some(true),
        started_at: Some(at(1)),
        node_tasks: Some(vec![node_task.clone()]),
        ..TaskChange::default()
    };
    let mut expected = created;
    expected.status = TaskStatus::Processing;
    expected.accepted = true;
    expected.started_at = Some(at(1));
    expected.node_tasks = vec![node_task];
    expected.revision = 2;
    assert_eq!(wait(subject.store().update_task(0, started)), Ok(expected.clone()));
    let failed = TaskChange {
        error: Some(error.clone()),
        details: Some(json!({"indexedDocuments": 0})),
        canceled_by: Some(9),
        ..finish(TaskStatus::Failed, at(2))
    };
    expected.status = TaskStatus::Failed;
    expected.finished_at = Some(at(2));
    expected.error = Some(error);
    expected.details = Some(json!({"indexedDocuments": 0}));
    expected.canceled_by = Some(9);
    expected.revision = 3;
    assert_eq!(wait(subject.store().update_task(0, failed)), Ok(expected.clone()));
    subject.reopen();
    assert_eq!(wait(subject.store().task(0)), Ok(Some(expected)));
}

fn task_conflicts(subject: &mut Subject) {
    let store = subject.store();
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    let finished = wait(store.update_task(0, finish(TaskStatus::Succeeded, at(1)))).unwrap();
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    let to = |status| TaskChange { status: Some(status), ..TaskChange::default() };
    let contradictions = [
        (7, to(TaskStatus::Processing)),
        (0, to(TaskStatus::Processing)),
        (0, to(TaskStatus::Enqueued)),
        (0, finish(TaskStatus::Failed, at(2))),
        (0, TaskChange { expected_revision: Some(1), accepted: Some(true), ..TaskChange::default() }),
        (1, to(TaskStatus::Succeeded)),
        (1, TaskChange { finished_at: Some(at(3)), ..TaskChange::default() }),
    ];
    for (uid, change) in contradictions {
        assert_eq!(wait(store.update_task(uid, change.clone())), Err(Conflict), "{uid} {change:?}");
    }
    assert_eq!(wait(store.task(0)), Ok(Some(finished)));
    assert_eq!(wait(store.task(1)).unwrap().unwrap().revision, 1);
}

fn unfinished_tasks(subject: &mut Subject) {
    for _ in 0..4 {
        wait(subject.store().create_task(new_task("movies", at(0)))).unwrap();
    }
    wait(subject.store().update_task(1, finish(TaskStatus::Canceled, at(1)))).unwrap();
    let processing = TaskChange { status: Some(TaskStatus::Processing), ..TaskChange::default() };
    wait(subject.store().update_task(2, processing)).unwrap();
    for _ in 0..2 {
        let unfinished = wait(subject.store().unfinished_tasks(9)).unwrap();
        assert_eq!(unfinished.iter().map(|task| task.uid).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(wait(subject.store().unfinished_tasks(2)).unwrap()[..], unfinished[..2]);
        subject.reopen();
    }
}

fn intents(subject: &mut Subject) {
    let mut new = new_task("movies", at(0));
    new.accepted = false;
    wait(subject.store().create_task(new)).unwrap();
    let all = || TaskQuery { after_enqueued_at: Some(at(-1)), ..TaskQuery::default() };
    for _ in 0..2 {
        assert_eq!(wait(subject.store().task_uids(all())), Ok(vec![]));
        assert_eq!(wait(subject.store().unfinished_tasks(9)).unwrap().len(), 1);
        subject.reopen();
    }
    let accepted = TaskChange { accepted: Some(true), ..TaskChange::default() };
    wait(subject.store().update_task(0, accepted)).unwrap();
    assert_eq!(wait(subject.store().task_uids(all())), Ok(vec![0]));
}

fn dropped_intents(subject: &mut Subject) {
    let mut new = new_task("movies", at(0));
    new.accepted = false;
    let accepted = || TaskChange { accepted: Some(true), ..TaskChange::default() };
    let made = [(); 2].map(|()| wait(subject.store().create_task(new.clone())).unwrap().revision);
    // The first change wins: by the pod that made the intent, or by one that took it for dead and had read it.
    let dropped =
        |revision| TaskChange { expected_revision: Some(revision), ..finish(TaskStatus::Canceled, at(1)) };
    wait(subject.store().update_task(0, dropped(made[0]))).unwrap();
    let late = vec![Change::UpdateTask { uid: 0, change: Box::new(accepted()) }];
    assert_eq!(wait(subject.store().commit(late)), Err(Conflict));
    wait(subject.store().update_task(1, accepted())).unwrap();
    let late = vec![Change::UpdateTask { uid: 1, change: Box::new(dropped(made[1])) }];
    assert_eq!(wait(subject.store().commit(late)), Err(Conflict));
    subject.reopen();
    assert_eq!(
        wait(subject.store().task(0)).unwrap().map(|task| (task.accepted, task.status)),
        Some((false, TaskStatus::Canceled))
    );
    assert_eq!(
        wait(subject.store().task(1)).unwrap().map(|task| (task.accepted, task.status)),
        Some((true, TaskStatus::Enqueued))
    );
}

fn commits(subject: &mut Subject) {
    let store = subject.store().clone();
    let movies = wait(store.put_index(index_record("movies"), None)).unwrap();
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    wait(store.put_record(NOTES, "a", json!(1), None)).unwrap();
    let changes = |books: Option<u64>| {
        vec![
            Change::DeleteIndex { uid: "movies".to_owned(), expected_revision: movies },
            Change::UpdateTask { uid: 0, change: Box::new(finish(TaskStatus::Succeeded, at(1))) },
            Change::ForgetRecord { table: NOTES, key: "a".to_owned() },
            Change::PutRecord { table: NOTES, key: "b".to_owned(), value: json!(2), expected_revision: None },
            Change::PutIndex { record: Box::new(index_record("books")), expected_revision: books },
        ]
    };
    assert_eq!(wait(store.commit(changes(Some(1)))), Err(Conflict));
    assert!(wait(store.index("movies")).unwrap().is_some());
    assert_eq!(wait(store.task(0)).unwrap().unwrap().revision, 1);
    assert!(wait(store.record(NOTES, "a")).unwrap().is_some());
    let revisions = wait(store.commit(changes(None))).unwrap();
    subject.reopen();
    let store = subject.store();
    assert_eq!(wait(store.index("movies")), Ok(None));
    assert_eq!(wait(store.index("books")).unwrap().unwrap().revision, revisions[4]);
    let task = wait(store.task(0)).unwrap().unwrap();
    assert_eq!((task.status, task.revision), (TaskStatus::Succeeded, revisions[1]));
    assert_eq!(wait(store.record(NOTES, "a")), Ok(None));
    assert_eq!(wait(store.record(NOTES, "b")).unwrap().unwrap().value, json!(2));
    assert_eq!(wait(store.commit(changes(None))), Err(Conflict));
}

fn logs(subject: &mut Subject) {
    const LOGS: Table = Table::named("logs");
    let append = |subject: &Subject, stream: &str, number: u32, length: usize| {
        let body = vec![u8::try_from(number % 251).unwrap(); length];
        let (stream, header) = (stream.to_owned(), json!({"number": number}));
        let entry = Change::Append { log: LOGS, stream, header, body: body.into() };
        wait(subject.store().commit(vec![entry])).unwrap()[0]
    };
    let read = |subject: &Subject, stream: &str, after: u64, bytes_max: usize| {
        let entries = wait(subject.store().entries(LOGS, stream, after, bytes_max)).unwrap();
        let numbers = entries.into_iter().map(|entry| {
            let number = entry.header["number"].as_u64().unwrap();
            assert!(entry.body.iter().all(|byte| u64::from(*byte) == number % 251));
            (number, entry.body.len(), entry.sequence)
        });
        numbers.collect::<Vec<_>>()
    };
    // Some bodies have a file of their own, and one is larger than a record may be.
    let lengths = [0, 5, 100_000, 7, RECORD_BYTES_MAX + 1, 9];
    let sequences = (0..).zip(lengths).map(|(number, length)| append(subject, "a", number, length));
    let sequences = sequences.collect::<Vec<_>>();
    append(subject, "ab", 77, 3);
    for _ in 0..2 {
        let all = read(subject, "a", 0, usize::MAX);
        let expected = (0..).zip(lengths).zip(&sequences).map(|((number, length), at)| (number, length, *at));
        assert_eq!(all, expected.collect::<Vec<_>>());
        assert_eq!(read(subject, "a", sequences[1], 100_006).len(), 1);
        assert_eq!(read(subject, "a", sequences[3], 1)[0].0, 4, "one entry at least");
        let sizes = wait(subject.store().log_sizes(LOGS)).unwrap();
        let sizes = sizes.iter().map(|size| (size.stream.as_str(), size.entries, size.bytes));
        let bytes = lengths.iter().sum::<usize>() as u64;
        assert_eq!(sizes.collect::<Vec<_>>(), [("a", 6, bytes), ("ab", 1, 3)]);
        subject.reopen();
    }
    let cut = Change::Truncate { log: LOGS, stream: "a".to_owned(), through: sequences[4] };
    wait(subject.store().commit(vec![cut])).unwrap();
    for _ in 0..2 {
        assert_eq!(read(subject, "a", 0, usize::MAX), [(5, 9, sequences[5])]);
        assert_eq!(read(subject, "ab", 0, usize::MAX).len(), 1);
        subject.reopen();
    }
}

fn exchanged_names(subject: &mut Subject) {
    for index in ["movies", "books", "films", "movies"] {
        wait(subject.store().create_task(new_task(index, at(0)))).unwrap();
    }
    let mut swap = new_task("movies", at(0));
    (swap.kind, swap.index_uid) = (TaskKind::IndexSwap, None);
    swap.details = Some(json!({"swaps": [{"indexes": ["movies", "films"], "rename": false}]}));
    wait(subject.store().create_task(swap)).unwrap();
    wait(subject.store().create_task(new_task("movies", at(0)))).unwrap();
    let exchange =
        Change::ExchangeIndexNames { one: "movies".to_owned(), other: "books".to_owned(), below: 5 };
    wait(subject.store().commit(vec![exchange])).unwrap();
    for _ in 0..2 {
        let of = |index: &str| {
            let index_uids = Some(vec![index.to_owned()]);
            wait(subject.store().task_uids(TaskQuery { index_uids, ..TaskQuery::default() })).unwrap()
        };
        assert_eq!((of("movies"), of("books"), of("films")), (vec![1, 5], vec![0, 3], vec![2]));
        let swap = wait(subject.store().task(4)).unwrap().unwrap();
        assert_eq!(swap.details.unwrap()["swaps"][0]["indexes"], json!(["books", "films"]));
        subject.reopen();
    }
}

fn pruning(subject: &mut Subject) {
    let store = subject.store();
    for uid in 0..6_u32 {
        wait(store.create_task(new_task("movies", at(0)))).unwrap();
        if uid != 2 {
            wait(store.update_task(uid, finish(TaskStatus::Succeeded, at(i64::from(uid))))).unwrap();
        }
    }
    assert_eq!(wait(store.prune_tasks(at(0), 10)), Ok(0));
    assert_eq!(wait(store.prune_tasks(at(4), 2)), Ok(2));
    assert_eq!(wait(store.task_uids(TaskQuery::default())), Ok(vec![2, 3, 4, 5]));
    assert_eq!(wait(store.prune_tasks(at(100), 10)), Ok(3));
    for _ in 0..2 {
        assert_eq!(wait(subject.store().task_uids(TaskQuery::default())), Ok(vec![2]));
        assert_eq!(wait(subject.store().task(5)), Ok(None));
        subject.reopen();
    }
    assert_eq!(wait(subject.store().create_task(new_task("movies", at(0)))).unwrap().uid, 6);
}

fn deletion(subject: &mut Subject) {
    let store = subject.store();
    for _ in 0..4 {
        wait(store.create_task(new_task("movies", at(0)))).unwrap();
    }
    wait(store.update_task(3, finish(TaskStatus::Failed, at(1)))).unwrap();
    wait(store.update_task(1, finish(TaskStatus::Canceled, at(1)))).unwrap();
    assert_eq!(wait(store.delete_tasks(vec![3, 0, 9, 1, 3])), Ok(vec![1, 3]));
    assert_eq!(wait(store.delete_tasks(vec![3, 0])), Ok(vec![]));
    subject.reopen();
    assert_eq!(wait(subject.store().task_uids(TaskQuery::default())), Ok(vec![0, 2]));
    assert_eq!(wait(subject.store().create_task(new_task("movies", at(0)))).unwrap().uid, 4);
}

fn records(subject: &mut Subject) {
    let store = subject.store();
    assert_eq!(wait(store.record(NOTES, "a")), Ok(None));
    assert_eq!(wait(store.put_record(NOTES, "a", json!(1), Some(1))), Err(Conflict));
    let first = wait(store.put_record(NOTES, "a", json!(1), None)).unwrap();
    assert_eq!(wait(store.put_record(NOTES, "a", json!(2), None)), Err(Conflict));
    let second = wait(store.put_record(NOTES, "a", json!({"n": 2}), Some(first))).unwrap();
    assert_eq!(wait(store.delete_record(NOTES, "a", first)), Err(Conflict));
    assert_eq!(wait(store.delete_record(NOTES_OLD, "a", second)), Err(Conflict));
    subject.reopen();
    let store = subject.store();
    let record = wait(store.record(NOTES, "a")).unwrap().unwrap();
    assert_eq!((record.value, record.revision), (json!({"n": 2}), second));
    assert_eq!(wait(store.delete_record(NOTES, "a", second)), Ok(()));
    assert_eq!(wait(store.record(NOTES, "a")), Ok(None));
    let third = wait(store.put_record(NOTES, "a", json!(3), None)).unwrap();
    assert!(first < second && second < third);
}

fn record_pages(subject: &mut Subject) {
    let store = subject.store();
    for key in ["b", "", "aa", "a", "\u{10ffff}", "c/1"] {
        wait(store.put_record(NOTES, key, json!(key), None)).unwrap();
        wait(store.put_record(NOTES_OLD, key, json!("old"), None)).unwrap();
    }
    let pages: &[(Option<&str>, usize, &[&str])] = &[
        (None, 100, &["", "a", "aa", "b", "c/1", "\u{10ffff}"]),
        (None, 2, &["", "a"]),
        (Some("a"), 2, &["aa", "b"]),
        (Some("ab"), 1, &["b"]),
        (Some("c/1"), 5, &["\u{10ffff}"]),
        (Some("\u{10ffff}"), 5, &[]),
        (None, 0, &[]),
    ];
    for (after, limit, keys) in pages {
        let records = wait(store.records(NOTES, *after, *limit)).unwrap();
        assert_eq!(records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), *keys);
        assert!(records.iter().all(|record| record.value == json!(record.key)));
    }
}

fn too_large(subject: &mut Subject) {
    let store = subject.store();
    let large = json!("x".repeat(RECORD_BYTES_MAX));
    assert_eq!(wait(store.put_record(NOTES, "a", large.clone(), None)), Err(Full));
    let mut task = new_task("movies", at(0));
    task.details = Some(large);
    assert_eq!(wait(store.create_task(task)), Err(Full));
    assert_eq!(wait(store.record(NOTES, "a")), Ok(None));
    assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 0);
    assert_eq!(wait(store.create_task(new_task("movies", at(0)))).unwrap().uid, 0);
}

fn dropped_reply(subject: &mut Subject) {
    drop(subject.store().create_task(new_task("movies", at(0))));
    drop(subject.store().task(0));
    let mut second = new_task("movies", at(1));
    second.kind = TaskKind::DocumentDeletion;
    assert_eq!(wait(subject.store().create_task(second)).unwrap().uid, 1);
    subject.reopen();
    assert_eq!(wait(subject.store().task(0)).unwrap().unwrap().enqueued_at, at(0));
}

fn stopped(subject: &mut Subject) {
    let waiting: Vec<_> = (0..100).map(|_| subject.store().create_task(new_task("movies", at(0)))).collect();
    let store = subject.stop();
    for (uid, reply) in (0..).zip(waiting) {
        assert_eq!(wait(reply).unwrap().uid, uid, "what waited when the store stopped is done");
    }
    assert_eq!(wait(store.task(0)), Err(Closed));
    assert_eq!(wait(store.create_task(new_task("movies", at(0)))), Err(Closed));
}

#[test]
fn sled_conforms() {
    check_backend(Subject::sled);
}

#[test]
fn redis_conforms() {
    let server = Server::start(&[]);
    check_backend(|| server.subject());
}

//! What every backend must do at the edges: clocks that jump, dead jobs, the ends of logs, expired counters, blocks of
//! uids, and late watchers.

use std::time::Duration;

use serde_json::json;
use store::StoreError::{Conflict, Fenced, Full};
use store::{Change, JobState, LOG_PAGE_MAX, Name, Table};

use crate::conformance::Case;
use crate::support::{Subject, at, new_task, wait};

const LOGS: Table = Table::named("logs");
const NOTES: Table = Table::named("notes");
const TEN: Duration = Duration::from_secs(10);

pub(crate) const CASES: &[Case] = &[
    ("a clock that jumps back lengthens a lease, and its holder may still renew it", lease_back),
    ("a clock that jumps back lengthens a claim, and its holder goes on", claim_back),
    ("a clock that jumps ahead ends a claim, and the job goes on from its cursor", claim_ahead),
    ("a lease of no time is anybody's at once", lease_of_no_time),
    ("a clock that jumps ahead ends a counter, and back does not bring it again", counter_jumps),
    ("a counter that is full stays so", counter_full),
    ("counters have nothing to do with each other", counters_apart),
    ("a dead job is not claimed, renewed or queued again by its key", dead_letters),
    ("a dead job keeps its cursor, and goes on from there when it is revived", dead_cursor),
    ("a job that lives is not revived", revived_alive),
    ("a job that may be tried no more than once is dead after that", tried_once),
    ("a job is completed together with its outcome, or neither", completed_with_outcome),
    ("a job of another queue is not completed", completed_elsewhere),
    ("entries of a log come in the order of their commits, also within one", log_order),
    ("a page of a log has so many entries and no more", log_pages),
    ("what is cut of a log is gone, behind its end too, and sequences go on", log_cuts),
    (
        "whoever cuts a log by what it has read leaves what came since, also when another has cut it",
        log_cut_twice,
    ),
    ("a log that is cut whole is no longer among the logs", log_gone),
    ("logs of one name in two tables are two logs", logs_apart),
    ("blocks of uids do not overlap, whatever is least", uid_blocks),
    ("the last uid is given, and none after it", uid_end),
    ("a watcher from nowhere is told to read everything", watch_from_nowhere),
    ("a watcher who comes late hears of all of it at once", watch_late),
    ("two watchers hear of the same", watch_two),
];

fn lease_back(subject: &mut Subject) {
    let acquire = |holder: &str| wait(subject.store().acquire_lease("a", holder, json!({}), TEN)).unwrap();
    let lease = acquire("p1").unwrap();
    subject.pass(-60_000);
    assert_eq!(acquire("p2"), None);
    assert_eq!(wait(subject.store().renew_lease(&lease, TEN)), Ok(()));
    // The renewed lease ends by the clock as it is now.
    subject.pass(9_999);
    assert_eq!(acquire("p2"), None);
    subject.pass(1);
    assert!(acquire("p2").unwrap().token > lease.token);
}

fn claim_back(subject: &mut Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 9)).unwrap();
    let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
    subject.pass(-60_000);
    assert_eq!(wait(store.claim_job("copy", "p2", TEN)), Ok(None));
    assert_eq!(wait(store.advance_job(&job, json!(1), TEN)), Ok(()));
    subject.pass(10_000);
    assert_eq!(wait(store.claim_job("copy", "p2", TEN)).unwrap().unwrap().cursor, json!(1));
}

fn claim_ahead(subject: &mut Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 9)).unwrap();
    let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
    wait(store.advance_job(&job, json!(7), TEN)).unwrap();
    subject.pass(3_600_000);
    let next = wait(store.claim_job("copy", "p2", TEN)).unwrap().unwrap();
    assert_eq!((next.cursor.clone(), next.attempts), (json!(7), 2));
    subject.pass(-3_600_000);
    assert_eq!(wait(store.advance_job(&job, json!(8), TEN)), Err(Fenced));
    assert_eq!(wait(store.advance_job(&next, json!(8), TEN)), Ok(()));
}

fn lease_of_no_time(subject: &mut Subject) {
    let acquire = |holder: &str| {
        wait(subject.store().acquire_lease("a", holder, json!({}), Duration::ZERO)).unwrap().unwrap().token
    };
    let tokens = ["p1", "p2", "p1", "p3"].map(acquire);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    assert_eq!(wait(subject.store().leases("")), Ok(Vec::new()));
}

fn counter_jumps(subject: &mut Subject) {
    let count = |add| wait(subject.store().count("a", add, TEN)).unwrap();
    assert_eq!(count(3), 3);
    subject.pass(3_600_000);
    assert_eq!(count(1), 1);
    subject.pass(-3_600_000);
    assert_eq!(count(1), 2, "the counter of before does not come back");
    subject.pass(3_609_999);
    assert_eq!(count(0), 2);
    subject.pass(1);
    assert_eq!(count(0), 0);
}

fn counter_full(subject: &mut Subject) {
    let count = |add| wait(subject.store().count("a", add, TEN)).unwrap();
    for (add, expected) in [(u64::MAX - 1, u64::MAX - 1), (1, u64::MAX), (1, u64::MAX), (u64::MAX, u64::MAX)]
    {
        assert_eq!(count(add), expected);
    }
}

fn counters_apart(subject: &mut Subject) {
    for (name, add) in [("a", 1), ("a/b", 10), ("", 100), ("A", 1000)] {
        assert_eq!(wait(subject.store().count(name, add, TEN)), Ok(add));
    }
    assert_eq!(wait(subject.store().count("a", 0, TEN)), Ok(1));
}

/// Makes a dead job with cursor 4.
fn bury(subject: &Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 2)).unwrap();
    for expected in [JobState::Queued, JobState::Dead] {
        let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
        wait(store.advance_job(&job, json!(4), TEN)).unwrap();
        assert_eq!(wait(store.fail_job(&job, "no room")), Ok(expected));
    }
}

fn dead_letters(subject: &mut Subject) {
    bury(subject);
    subject.reopen();
    subject.pass(3_600_000);
    let store = subject.store();
    assert_eq!(wait(store.claim_job("copy", "p2", TEN)), Ok(None));
    assert_eq!(wait(store.put_job("copy", "a", json!(2), 9)), Err(Conflict));
    let dead = wait(store.jobs("copy")).unwrap().remove(0);
    assert_eq!(wait(store.keep_job(&dead, TEN)), Err(Fenced));
    assert_eq!(wait(store.complete_job(&dead)), Err(Fenced));
    assert_eq!(wait(store.jobs("copy")).unwrap(), [dead]);
}

fn dead_cursor(subject: &mut Subject) {
    bury(subject);
    let store = subject.store();
    wait(store.revive_job("copy", "a")).unwrap();
    let job = wait(store.claim_job("copy", "p2", TEN)).unwrap().unwrap();
    assert_eq!((job.cursor, job.attempts, job.reason), (json!(4), 1, None));
}

fn revived_alive(subject: &mut Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 2)).unwrap();
    assert_eq!(wait(store.revive_job("copy", "a")), Err(Conflict));
    let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
    assert_eq!(wait(store.revive_job("copy", "a")), Err(Conflict));
    assert_eq!(wait(store.complete_job(&job)), Ok(()));
    assert_eq!(wait(store.revive_job("copy", "a")), Err(Conflict));
}

fn tried_once(subject: &mut Subject) {
    let store = subject.store();
    // `attempts_max` 0 counts as 1.
    for (key, attempts_max) in [("a", 1), ("b", 0)] {
        wait(store.put_job("copy", key, json!(1), attempts_max)).unwrap();
        let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
        assert_eq!((job.key.as_str(), wait(store.fail_job(&job, "no"))), (key, Ok(JobState::Dead)));
    }
}

fn completed_with_outcome(subject: &mut Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 9)).unwrap();
    let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
    let outcome = |expected_revision| Change::PutRecord {
        table: NOTES,
        key: "outcome".to_owned(),
        value: json!("done"),
        expected_revision,
    };
    let completion =
        || Change::CompleteJob { queue: job.queue.clone(), key: job.key.clone(), token: job.token };
    assert_eq!(wait(store.commit(vec![completion(), outcome(Some(7))])), Err(Conflict));
    assert_eq!(wait(store.jobs("copy")).unwrap().len(), 1);
    let revisions = wait(store.commit(vec![outcome(None), completion()])).unwrap();
    assert_eq!(revisions[1], 0);
    assert_eq!(wait(store.jobs("copy")), Ok(Vec::new()));
    assert_eq!(wait(store.record(NOTES, "outcome")).unwrap().unwrap().revision, revisions[0]);
    assert_eq!(wait(store.commit(vec![completion()])), Err(Fenced), "once");
}

fn completed_elsewhere(subject: &mut Subject) {
    let store = subject.store();
    wait(store.put_job("copy", "a", json!(1), 9)).unwrap();
    wait(store.put_job("other", "a", json!(1), 9)).unwrap();
    let job = wait(store.claim_job("copy", "p1", TEN)).unwrap().unwrap();
    for (queue, key, token) in
        [("other", "a", job.token), ("copy", "b", job.token), ("copy", "a", job.token + 1)]
    {
        let completion = Change::CompleteJob { queue: queue.to_owned(), key: key.to_owned(), token };
        assert_eq!(wait(store.commit(vec![completion])), Err(Fenced), "{queue} {key}");
    }
    assert_eq!(wait(store.jobs("copy")).unwrap().len() + wait(store.jobs("other")).unwrap().len(), 2);
}

fn entry(stream: &str, number: usize) -> Change {
    let (stream, body) = (stream.to_owned(), number.to_string().into());
    Change::Append { log: LOGS, stream, header: json!(number), body }
}

fn numbers(subject: &Subject, stream: &str, after: u64) -> (Vec<u64>, Option<u64>) {
    let entries = wait(subject.store().entries(LOGS, stream, after, usize::MAX)).unwrap();
    let last = entries.last().map(|entry| entry.sequence);
    (entries.iter().map(|entry| entry.header.as_u64().unwrap()).collect(), last)
}

fn log_order(subject: &mut Subject) {
    wait(subject.store().commit((0..5).map(|number| entry("a", number)).collect())).unwrap();
    let replies: Vec<_> = (5..50).map(|number| subject.store().commit(vec![entry("a", number)])).collect();
    replies.into_iter().for_each(|reply| assert!(wait(reply).is_ok()));
    for _ in 0..2 {
        assert!(numbers(subject, "a", 0).0.into_iter().eq(0..50));
        subject.reopen();
    }
}

fn log_pages(subject: &mut Subject) {
    let all: Vec<Change> = (0..=LOG_PAGE_MAX).map(|number| entry("a", number)).collect();
    wait(subject.store().commit(all)).unwrap();
    let (page, last) = numbers(subject, "a", 0);
    assert_eq!(page.len(), LOG_PAGE_MAX);
    let (rest, end) = numbers(subject, "a", last.unwrap());
    assert_eq!(rest, [LOG_PAGE_MAX as u64]);
    assert!(numbers(subject, "a", end.unwrap()).0.is_empty());
    assert!(numbers(subject, "a", u64::MAX).0.is_empty());
}

fn log_cuts(subject: &mut Subject) {
    let cut = |subject: &Subject, through: u64| {
        let stream = "a".to_owned();
        wait(subject.store().commit(vec![Change::Truncate { log: LOGS, stream, through }])).unwrap();
    };
    let sequences = wait(subject.store().commit((0..4).map(|number| entry("a", number)).collect())).unwrap();
    for (through, left) in
        [(0, 4), (sequences[0] - 1, 4), (sequences[1], 2), (sequences[1], 2), (sequences[3] + 1_000_000, 0)]
    {
        cut(subject, through);
        assert_eq!(numbers(subject, "a", 0).0.len(), left, "through {through}");
    }
    subject.reopen();
    let next = wait(subject.store().commit(vec![entry("a", 9)])).unwrap()[0];
    assert!(next > sequences[3]);
    assert_eq!(numbers(subject, "a", 0).0, [9]);
}

fn log_cut_twice(subject: &mut Subject) {
    let store = subject.store();
    let append = |number: u32| {
        let (stream, header) = ("n".to_owned(), json!(number));
        wait(store.commit(vec![Change::Append { log: LOGS, stream, header, body: Vec::new().into() }]))
            .unwrap()
    };
    let read = || wait(store.entries(LOGS, "n", 0, usize::MAX)).unwrap();
    let cut = |through: u64| {
        wait(store.commit(vec![Change::Truncate { log: LOGS, stream: "n".to_owned(), through }])).unwrap();
    };
    (0..3).for_each(|number| drop(append(number)));
    let slow = read().last().unwrap().sequence;
    append(3);
    let fast = read().last().unwrap().sequence;
    append(4);
    cut(fast);
    append(5);
    cut(slow);
    assert_eq!(read().iter().map(|entry| &entry.header).collect::<Vec<_>>(), [&json!(4), &json!(5)]);
}

fn log_gone(subject: &mut Subject) {
    let sizes = |subject: &Subject| wait(subject.store().log_sizes(LOGS)).unwrap().len();
    wait(subject.store().commit(vec![entry("a", 1), entry("b", 2)])).unwrap();
    assert_eq!(sizes(subject), 2);
    let (stream, through) = ("a".to_owned(), u64::MAX);
    wait(subject.store().commit(vec![Change::Truncate { log: LOGS, stream, through }])).unwrap();
    for _ in 0..2 {
        assert_eq!(sizes(subject), 1);
        subject.reopen();
    }
}

fn logs_apart(subject: &mut Subject) {
    let (stream, header) = ("a".to_owned(), json!(7));
    let other = Change::Append { log: NOTES, stream, header, body: bytes::Bytes::new() };
    wait(subject.store().commit(vec![entry("a", 1), other, entry("a/", 2)])).unwrap();
    assert_eq!(numbers(subject, "a", 0).0, [1]);
    assert_eq!(numbers(subject, "a/", 0).0, [2]);
    assert_eq!(wait(subject.store().entries(NOTES, "a", 0, 99)).unwrap().len(), 1);
    let (stream, through) = ("a".to_owned(), u64::MAX);
    wait(subject.store().commit(vec![Change::Truncate { log: NOTES, stream, through }])).unwrap();
    assert_eq!(numbers(subject, "a", 0).0, [1]);
}

fn uid_blocks(subject: &mut Subject) {
    let mut taken = std::collections::BTreeSet::new();
    for (count, least) in [(10, 0), (1, 0), (5, 3), (5, 1000), (2, 500), (100, 0)] {
        let first = wait(subject.store().take_task_uids(count, least)).unwrap();
        assert!(first >= least);
        assert!((first..first + count).all(|uid| taken.insert(uid)), "{first} and {count} on");
        let uid = wait(subject.store().create_task(new_task("a", at(0)))).unwrap().uid;
        assert!(taken.insert(uid), "{uid}");
        subject.reopen();
    }
}

fn uid_end(subject: &mut Subject) {
    assert_eq!(wait(subject.store().take_task_uids(1, u32::MAX - 1)), Ok(u32::MAX - 1));
    assert_eq!(wait(subject.store().take_task_uids(2, 0)), Err(Full));
    assert_eq!(wait(subject.store().take_task_uids(0, 0)), Ok(u32::MAX));
}

fn note(subject: &Subject, number: usize) {
    wait(subject.store().put_record(NOTES, &number.to_string(), json!(1), None)).unwrap();
}

fn watch_from_nowhere(subject: &mut Subject) {
    note(subject, 1);
    let begun = wait(subject.store().changes(None)).unwrap();
    assert!(!begun.incomplete && begun.names.is_empty());
    // A version of another process, or of an earlier one.
    let heard = wait(subject.store().changes(Some(begun.version + 1_000_000))).unwrap();
    assert!(heard.incomplete);
    subject.reopen();
    note(subject, 2);
    assert_eq!(wait(subject.store().record(NOTES, "2")).unwrap().unwrap().value, json!(1));
}

/// Collects names from a version on until there are `count` of them.
fn heard(subject: &Subject, mut version: u64, count: usize) -> Vec<Name> {
    let mut names = Vec::new();
    while names.len() < count {
        let changes = wait(subject.store().changes(Some(version))).unwrap();
        assert!(!changes.incomplete);
        version = changes.version;
        names.extend(changes.names);
    }
    names.sort_unstable();
    names
}

fn watch_late(subject: &mut Subject) {
    let begun = wait(subject.store().changes(None)).unwrap().version;
    (0..300).for_each(|number| note(subject, number));
    assert_eq!(heard(subject, begun, 300).len(), 300);
}

fn watch_two(subject: &mut Subject) {
    let begun = wait(subject.store().changes(None)).unwrap().version;
    (0..20).for_each(|number| note(subject, number));
    let one = heard(subject, begun, 20);
    assert_eq!(one, heard(subject, begun, 20));
    assert!(one.contains(&Name::Record { table: "notes".to_owned(), key: "7".to_owned() }));
}

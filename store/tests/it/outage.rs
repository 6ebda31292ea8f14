//! How stores on Redis behave when Redis hangs, restarts, loses its data, or is unsuitable; and two pods on one Redis.

use std::time::{Duration, Instant};

use serde_json::json;
use store::StoreError::{Conflict, Fenced, Unreachable};
use store::{RedisOptions, Store, StoreError, StoreThread, Table, TaskQuery, open_redis};

use crate::redis::{Server, Wire};
use crate::support::{at, finish, index_record, new_task, wait};

const NOTES: Table = Table::named("notes");
/// The longest that a store may take to notice an outage or its end, generous for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

fn pod(url: &str) -> (Store, StoreThread) {
    open_redis(RedisOptions { url: url.to_owned(), clock: None }).unwrap_or_else(|error| panic!("{error}"))
}

/// Repeats a command until the store is reachable again.
fn until_reached<T>(mut ask: impl FnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(Unreachable(_)) if Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn two_pods_see_each_others_writes() {
    let server = Server::start(&[]);
    let url = server.url();
    let ((one, _one), (other, _other)) = (pod(&url), pod(&url));
    let begun = wait(other.changes(None)).unwrap().version;
    let replies: Vec<_> =
        (0..200).map(|number| [&one, &other][number % 2].create_task(new_task("a", at(0)))).collect();
    let mut uids: Vec<u32> = replies.into_iter().map(|reply| wait(reply).unwrap().uid).collect();
    uids.sort_unstable();
    assert!(uids.into_iter().eq(0..200), "a uid is given once, whoever asks");
    for store in [&one, &other] {
        assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 200);
    }
    wait(one.update_task(7, finish(store::TaskStatus::Succeeded, at(1)))).unwrap();
    assert_eq!(wait(other.unfinished_tasks(999)).unwrap().len(), 199);
    assert_eq!(wait(other.delete_tasks(vec![7])), Ok(vec![7]));
    assert_eq!(wait(one.tasks(TaskQuery::default())).unwrap().total, 199);
    let revision = wait(one.put_index(index_record("a"), None)).unwrap();
    assert_eq!(wait(other.put_index(index_record("a"), None)), Err(Conflict));
    assert_eq!(wait(other.index("a")).unwrap().unwrap().revision, revision);
    let heard = wait(other.changes(Some(begun))).unwrap();
    assert_eq!(heard.names, [store::Name::Index("a".to_owned())]);
}

#[test]
fn pods_that_race_lose_nothing() {
    let server = Server::start(&[]);
    let url = server.url();
    let pods: Vec<_> = (0..3).map(|_| pod(&url)).collect();
    let ttl = Duration::from_secs(600);
    let replies: Vec<_> = (0..300).map(|number| pods[number % 3].0.count("hits", 1, ttl)).collect();
    let mut counts: Vec<u64> = replies.into_iter().map(|reply| wait(reply).unwrap()).collect();
    counts.sort_unstable();
    assert!(counts.into_iter().eq(1..=300));
    for number in 0..40 {
        wait(pods[0].0.put_job("copy", &number.to_string(), json!(number), 1)).unwrap();
    }
    let claim = |number: usize| pods[number % 3].0.claim_job("copy", &format!("p{}", number % 3), ttl);
    let claimed: Vec<_> = (0..60).map(claim).collect();
    let mut keys: Vec<String> =
        claimed.into_iter().filter_map(|reply| wait(reply).unwrap()).map(|job| job.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 40, "every job is claimed, by one");
}

#[test]
fn a_redis_that_hangs_is_out_of_reach_and_comes_back() {
    let server = Server::start(&[]);
    let (store, _thread) = pod(&server.url());
    let lease = wait(store.acquire_lease("a", "p1", json!({}), Duration::from_millis(50))).unwrap().unwrap();
    let revision = wait(store.put_record(NOTES, "a", json!(1), None)).unwrap();
    server.signal("-STOP");
    let begun = Instant::now();
    assert!(matches!(wait(store.put_record(NOTES, "b", json!(2), None)), Err(Unreachable(_))));
    assert!(matches!(wait(store.record(NOTES, "a")), Err(Unreachable(_))));
    assert!(begun.elapsed() < NOTICED_WITHIN, "nothing hangs");
    server.signal("-CONT");
    let record = until_reached(|| wait(store.record(NOTES, "a"))).unwrap();
    assert_eq!((record.value, record.revision), (json!(1), revision));
    let taken = until_reached(|| wait(store.acquire_lease("a", "p2", json!({}), Duration::from_secs(9))));
    assert!(taken.is_some());
    assert_eq!(wait(store.renew_lease(&lease, Duration::from_secs(9))), Err(Fenced));
}

#[test]
fn a_pod_that_is_cut_off_loses_its_lease_and_nothing_that_was_answered() {
    let server = Server::start(&[]);
    let (url, wire) = (server.url(), Wire::to(&server));
    let ((there, _there), (cut, _cut)) = (pod(&url), pod(&wire.url(&url)));
    let short = Duration::from_millis(300);
    let lease = wait(cut.acquire_lease("a", "p1", json!({}), short)).unwrap().unwrap();
    wait(cut.put_job("copy", "a", json!(1), 9)).unwrap();
    let job = wait(cut.claim_job("copy", "p1", short)).unwrap().unwrap();
    wait(cut.advance_job(&job, json!(3), short)).unwrap();
    // Some of these are in flight when the wire is cut. Each gets an answer, and those that succeeded are stored.
    let replies: Vec<_> =
        (0..300).map(|number| cut.put_record(NOTES, &number.to_string(), json!(number), None)).collect();
    let mut replies = replies.into_iter();
    let mut done: Vec<usize> = (0..20).filter(|_| wait(replies.next().unwrap()).is_ok()).collect();
    wire.cut();
    for (number, reply) in (20..).zip(replies) {
        match wait(reply) {
            Ok(_) => done.push(number),
            Err(error) => assert!(matches!(error, Unreachable(_)), "{error}"),
        }
    }
    assert!(matches!(wait(cut.renew_lease(&lease, short)), Err(Unreachable(_))));
    for number in done {
        assert!(wait(there.record(NOTES, &number.to_string())).unwrap().is_some(), "{number}");
    }
    let begun = Instant::now();
    let taken = loop {
        match wait(there.acquire_lease("a", "p2", json!({}), Duration::from_secs(60))).unwrap() {
            Some(lease) => break lease,
            None => assert!(begun.elapsed() < NOTICED_WITHIN),
        }
    };
    let next = loop {
        match wait(there.claim_job("copy", "p2", Duration::from_secs(60))).unwrap() {
            Some(job) => break job,
            None => assert!(begun.elapsed() < NOTICED_WITHIN),
        }
    };
    assert!(taken.token > lease.token && next.token > job.token);
    assert_eq!(next.cursor, json!(3));
    wire.heal();
    let fenced = |answer: Result<(), StoreError>| match answer {
        Err(Fenced) => Ok(()),
        Ok(()) => panic!("a stale holder got something done"),
        Err(error) => Err(error),
    };
    until_reached(|| fenced(wait(cut.renew_lease(&lease, short))));
    until_reached(|| fenced(wait(cut.advance_job(&job, json!(4), short))));
    until_reached(|| fenced(wait(cut.complete_job(&job))));
    assert_eq!(wait(there.jobs("copy")).unwrap()[0].cursor, json!(3));
}

#[test]
fn a_redis_that_restarts_keeps_what_it_was_told_to_keep() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (store, _thread) = pod(&server.url());
    let task = wait(store.create_task(new_task("a", at(0)))).unwrap();
    wait(store.put_index(index_record("a"), None)).unwrap();
    server.restart();
    assert_eq!(until_reached(|| wait(store.task(0))), Some(task));
    assert_eq!(wait(store.indexes()).unwrap().len(), 1);
    assert_eq!(until_reached(|| wait(store.create_task(new_task("a", at(0))))).uid, 1);
    assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 2);
    assert_eq!(wait(store.changes(None)).unwrap().incarnation, 0, "nothing was lost");
}

#[test]
fn a_redis_that_lost_all_is_noticed_and_uids_are_not_used_again() {
    let mut server = Server::start(&[]);
    let (store, _thread) = pod(&server.url());
    for _ in 0..5 {
        wait(store.create_task(new_task("a", at(0)))).unwrap();
    }
    let revision = wait(store.put_record(NOTES, "a", json!(1), None)).unwrap();
    assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 5);
    let begun = wait(store.changes(None)).unwrap().version;
    server.restart();
    assert_eq!(until_reached(|| wait(store.tasks(TaskQuery::default()))).total, 0);
    let changes = wait(store.changes(Some(begun))).unwrap();
    assert_eq!((changes.incomplete, changes.incarnation), (true, 1));
    assert!(wait(store.create_task(new_task("a", at(0)))).unwrap().uid > 5, "with some to spare");
    assert_eq!(wait(store.put_record(NOTES, "a", json!(1), Some(revision))), Err(Conflict));
    assert!(wait(store.put_record(NOTES, "a", json!(1), None)).unwrap() > revision);
}

/// The error of opening a store: one line, without the password.
fn refusal(url: &str) -> String {
    let error = open_redis(RedisOptions { url: url.to_owned(), clock: None }).err().unwrap().to_string();
    assert!(!error.contains('\n') && !error.contains("sesame"), "{error}");
    error
}

#[test]
fn what_is_no_master_of_this_format_is_refused() {
    let server = Server::start(&["--requirepass", "sesame"]);
    let port = server.port();
    let wrong = refusal(&format!("redis://:sesamee@127.0.0.1:{port}"));
    assert!(wrong.contains(&format!("127.0.0.1:{port}")) && wrong.contains("WRONGPASS"), "{wrong}");
    let none = refusal(&format!("redis://127.0.0.1:{port}"));
    assert!(none.contains("NOAUTH"), "{none}");
    drop(pod(&format!("redis://:sesame@127.0.0.1:{port}")));
    let primary = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let refused = refusal(&replica.url());
    assert!(refused.contains("it is a replica"), "{refused}");
    let url = primary.url();
    drop(pod(&url));
    let newer = ["HSET", "{test-0}:meta", "format", "9"];
    let status = std::process::Command::new("redis-cli")
        .args(["-p", &primary.port().to_string()])
        .args(newer)
        .output();
    assert!(status.unwrap().status.success());
    assert!(refusal(&url).contains("written in format 9, this build reads formats up to 1"));
    assert!(refusal("redis://127.0.0.1:1").contains("127.0.0.1:1"));
    assert!(refusal("http://127.0.0.1:1").starts_with("store http://...: "));
}

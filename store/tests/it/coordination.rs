//! What every backend must do for pods that share work: leases, jobs, counters, uids, changes. The test sets the
//! store's clock.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use serde_json::{Value, json};
use store::StoreError::{Conflict, Fenced, Full};
use store::{Change, JOBS_MAX, Job, JobState, Lease, Name, Store, Table};

use crate::conformance::Case;
use crate::support::{Subject, at, index_record, new_task, wait};

const NOTES: Table = Table::named("notes");
const TEN: Duration = Duration::from_secs(10);

pub(crate) const CASES: &[Case] = &[
    ("a lease is one holder's until its time is over", leases_expire),
    ("a lease that is renewed lasts", leases_last),
    ("a lease given back is to be had at once", leases_released),
    ("a holder that asks again gets a new token, and the old one is stale", leases_again),
    ("every stale action of a holder that slept is fenced off", stale_holders),
    ("a clock that jumps ahead costs a lease, never makes two holders", clock_ahead),
    ("a clock that jumps back never brings an old token back", clock_back),
    ("tokens of a scope only grow, through every way to get one", tokens_grow),
    ("leases are listed while they are held", leases_listed),
    ("leases of different scopes have nothing to do with each other", scopes),
    ("a fenced commit happens whole or not at all", fenced_commits),
    ("an expired lease that nobody took still fences for its holder", expired_fence),
    ("a job is claimed by one, with what it was given", jobs_claimed),
    ("jobs are claimed in the order they were queued", jobs_in_order),
    ("a claim without a sign of life is another's after its time", claims_expire),
    ("a sign of life keeps a claim", claims_last),
    ("a cursor survives its holder", cursors),
    ("a job that fails as often as it may is dead until it is revived", dead_jobs),
    ("a job whose holders die is dead as well", deadly_jobs),
    ("every stale action on a job is fenced off", stale_claims),
    ("a job's key is used once in its queue", job_keys),
    ("a queue is bounded", full_queue),
    ("queues have nothing to do with each other", queues),
    ("a counter counts until its time is over", counters),
    ("uids set aside are nobody else's", uids),
    ("whoever watches hears of every change", watching),
    ("a change that was refused is not heard of", watching_refusals),
    ("leases and jobs survive a stop of the store", reopened),
];

fn acquire(subject: &Subject, scope: &str, holder: &str) -> Option<Lease> {
    wait(subject.store().acquire_lease(scope, holder, json!({}), TEN)).unwrap()
}

fn leases_expire(subject: &mut Subject) {
    let first = acquire(subject, "a", "p1").unwrap();
    // Milliseconds that pass before the attempt, and whether another holder then gets the lease.
    for (step, is_free) in [(0, false), (1, false), (4_999, false), (4_999, false), (1, true)] {
        subject.pass(step);
        let got = acquire(subject, "a", "p2");
        assert_eq!(got.is_some(), is_free, "{step}");
        assert!(got.is_none_or(|lease| lease.token > first.token));
    }
}

fn leases_last(subject: &mut Subject) {
    let lease = acquire(subject, "a", "p1").unwrap();
    for _ in 0..10 {
        subject.pass(3_000);
        assert_eq!(wait(subject.store().renew_lease(&lease, TEN)), Ok(()));
        assert_eq!(acquire(subject, "a", "p2"), None);
    }
    subject.pass(9_999);
    assert_eq!(acquire(subject, "a", "p2"), None);
    subject.pass(1);
    assert!(acquire(subject, "a", "p2").is_some());
}

fn leases_released(subject: &mut Subject) {
    let lease = acquire(subject, "a", "p1").unwrap();
    assert_eq!(wait(subject.store().release_lease(&lease)), Ok(()));
    assert_eq!(wait(subject.store().release_lease(&lease)), Err(Fenced));
    assert_eq!(wait(subject.store().renew_lease(&lease, TEN)), Err(Fenced));
    let next = acquire(subject, "a", "p2").unwrap();
    assert!(next.token > lease.token);
    assert_eq!(wait(subject.store().release_lease(&lease)), Err(Fenced));
    assert_eq!(acquire(subject, "a", "p1"), None);
}

fn leases_again(subject: &mut Subject) {
    let first = acquire(subject, "a", "p1").unwrap();
    let second = acquire(subject, "a", "p1").unwrap();
    assert!(second.token > first.token);
    assert_eq!(wait(subject.store().renew_lease(&first, TEN)), Err(Fenced));
    assert_eq!(wait(subject.store().renew_lease(&second, TEN)), Ok(()));
}

fn stale_holders(subject: &mut Subject) {
    let stale = acquire(subject, "a", "p1").unwrap();
    subject.pass(10_000);
    let fresh = acquire(subject, "a", "p2").unwrap();
    let store = subject.store();
    assert_eq!(wait(store.renew_lease(&stale, TEN)), Err(Fenced));
    assert_eq!(wait(store.release_lease(&stale)), Err(Fenced));
    assert_eq!(wait(store.commit(vec![fence(&stale), note("a", None)])), Err(Fenced));
    assert_eq!(wait(store.record(NOTES, "a")), Ok(None));
    assert_eq!(wait(store.renew_lease(&fresh, TEN)), Ok(()));
}

fn clock_ahead(subject: &mut Subject) {
    let first = acquire(subject, "a", "p1").unwrap();
    subject.pass(3_600_000);
    let second = acquire(subject, "a", "p2").unwrap();
    assert_eq!(wait(subject.store().renew_lease(&first, TEN)), Err(Fenced));
    subject.pass(-3_600_000);
    assert_eq!(acquire(subject, "a", "p1"), None);
    assert_eq!(wait(subject.store().renew_lease(&second, TEN)), Ok(()));
}

fn clock_back(subject: &mut Subject) {
    let first = acquire(subject, "a", "p1").unwrap();
    wait(subject.store().release_lease(&first)).unwrap();
    subject.pass(-3_600_000);
    let second = acquire(subject, "a", "p2").unwrap();
    assert!(second.token > first.token);
    assert_eq!(wait(subject.store().renew_lease(&first, TEN)), Err(Fenced));
    subject.pass(10_000);
    assert!(acquire(subject, "a", "p1").unwrap().token > second.token);
}

fn tokens_grow(subject: &mut Subject) {
    let mut last = 0;
    let jumps = [0, 1, -5, 20_000, -86_400_000, 11_000, 0, 10_000, 3, -1];
    for (number, jump) in jumps.into_iter().enumerate() {
        subject.pass(jump);
        if let Some(lease) = acquire(subject, "a", &format!("p{}", number % 3)) {
            assert!(lease.token > last, "{} after {last}", lease.token);
            last = lease.token;
            if number % 2 == 0 {
                wait(subject.store().release_lease(&lease)).unwrap();
            }
        }
    }
    assert!(last > 0);
}

fn leases_listed(subject: &mut Subject) {
    let about = json!({"address": "10.0.0.1:7700"});
    wait(subject.store().acquire_lease("pod/a", "a", about.clone(), TEN)).unwrap().unwrap();
    subject.pass(4_000);
    let given = wait(subject.store().acquire_lease("pod/b", "b", about.clone(), TEN)).unwrap().unwrap();
    acquire(subject, "other", "a").unwrap();
    let list = |subject: &Subject, prefix: &str| {
        let held = wait(subject.store().leases(prefix)).unwrap().into_iter();
        held.map(|lease| (lease.holder, lease.left.as_millis())).collect::<Vec<_>>()
    };
    assert_eq!(list(subject, "pod/"), [("a".to_owned(), 6_000), ("b".to_owned(), 10_000)]);
    assert_eq!(wait(subject.store().leases("pod/b")).unwrap()[0].about, about);
    assert_eq!(list(subject, "").len(), 3);
    assert_eq!(list(subject, "pods").len(), 0);
    wait(subject.store().release_lease(&given)).unwrap();
    assert_eq!(list(subject, "pod/").len(), 1);
    subject.pass(6_000);
    assert_eq!(list(subject, "pod/").len(), 0);
}

fn scopes(subject: &mut Subject) {
    let one = acquire(subject, "a", "p1").unwrap();
    let other = acquire(subject, "a/b", "p2").unwrap();
    wait(subject.store().release_lease(&one)).unwrap();
    assert_eq!(acquire(subject, "a/b", "p1"), None);
    assert_eq!(wait(subject.store().renew_lease(&other, TEN)), Ok(()));
}

fn fence(lease: &Lease) -> Change {
    Change::Fence { scope: lease.scope.clone(), token: lease.token }
}

fn note(key: &str, expected_revision: Option<u64>) -> Change {
    Change::PutRecord { table: NOTES, key: key.to_owned(), value: json!(1), expected_revision }
}

fn fenced_commits(subject: &mut Subject) {
    let lease = acquire(subject, "a", "p1").unwrap();
    let store = subject.store();
    let revisions = wait(store.commit(vec![fence(&lease), note("a", None)])).unwrap();
    assert_eq!(revisions[0], 0);
    assert_eq!(wait(store.record(NOTES, "a")).unwrap().unwrap().revision, revisions[1]);
    assert_eq!(wait(store.commit(vec![fence(&lease), note("a", None)])), Err(Conflict));
    let index = Change::PutIndex { record: Box::new(index_record("movies")), expected_revision: None };
    let unknown = Lease { scope: "nobody".to_owned(), token: 1 };
    for stale in [Lease { token: lease.token + 1, ..lease.clone() }, unknown] {
        assert_eq!(wait(store.commit(vec![index.clone(), fence(&stale)])), Err(Fenced));
    }
    assert_eq!(wait(store.indexes()), Ok(vec![]));
    wait(store.release_lease(&lease)).unwrap();
    assert_eq!(wait(store.commit(vec![fence(&lease), index])), Err(Fenced));
}

fn expired_fence(subject: &mut Subject) {
    let lease = acquire(subject, "a", "p1").unwrap();
    subject.pass(60_000);
    assert!(wait(subject.store().commit(vec![fence(&lease), note("a", None)])).is_ok());
    assert_eq!(wait(subject.store().renew_lease(&lease, TEN)), Ok(()));
    assert_eq!(acquire(subject, "a", "p2"), None);
}

fn put(store: &Store, key: &str) {
    wait(store.put_job("copy", key, json!({"shard": key}), 3)).unwrap();
}

fn claim(subject: &Subject, holder: &str) -> Option<Job> {
    wait(subject.store().claim_job("copy", holder, TEN)).unwrap()
}

fn jobs_claimed(subject: &mut Subject) {
    assert_eq!(claim(subject, "p1"), None);
    put(subject.store(), "7");
    let job = claim(subject, "p1").unwrap();
    assert_eq!((job.queue.as_str(), job.key.as_str()), ("copy", "7"));
    assert_eq!((&job.payload, &job.cursor), (&json!({"shard": "7"}), &Value::Null));
    assert_eq!((job.state, job.attempts, job.holder.as_deref()), (JobState::Claimed, 1, Some("p1")));
    assert_eq!(claim(subject, "p2"), None);
    assert_eq!(claim(subject, "p1"), None, "not even for its holder");
    assert_eq!(wait(subject.store().jobs("copy")).unwrap(), std::slice::from_ref(&job));
    assert_eq!(wait(subject.store().complete_job(&job)), Ok(()));
    assert_eq!(wait(subject.store().jobs("copy")).unwrap(), []);
}

fn jobs_in_order(subject: &mut Subject) {
    for key in ["c", "a", "b"] {
        put(subject.store(), key);
        subject.pass(1);
    }
    let claimed: Vec<String> = (0..3).map(|_| claim(subject, "p1").unwrap().key).collect();
    assert_eq!(claimed, ["c", "a", "b"]);
}

fn claims_expire(subject: &mut Subject) {
    put(subject.store(), "a");
    let first = claim(subject, "p1").unwrap();
    subject.pass(9_999);
    assert_eq!(claim(subject, "p2"), None);
    subject.pass(1);
    let second = claim(subject, "p2").unwrap();
    assert_eq!((second.key.as_str(), second.attempts), ("a", 2));
    assert!(second.token > first.token);
}

fn claims_last(subject: &mut Subject) {
    put(subject.store(), "a");
    let job = claim(subject, "p1").unwrap();
    for _ in 0..5 {
        subject.pass(9_000);
        assert_eq!(wait(subject.store().keep_job(&job, TEN)), Ok(()));
        assert_eq!(claim(subject, "p2"), None);
    }
}

fn cursors(subject: &mut Subject) {
    put(subject.store(), "a");
    let first = claim(subject, "p1").unwrap();
    assert_eq!(wait(subject.store().advance_job(&first, json!({"offset": 400}), TEN)), Ok(()));
    subject.pass(10_000);
    let second = claim(subject, "p2").unwrap();
    assert_eq!(second.cursor, json!({"offset": 400}));
    assert_eq!(wait(subject.store().advance_job(&first, json!({"offset": 500}), TEN)), Err(Fenced));
    assert_eq!(wait(subject.store().advance_job(&second, json!({"offset": 450}), TEN)), Ok(()));
    assert_eq!(wait(subject.store().jobs("copy")).unwrap()[0].cursor, json!({"offset": 450}));
}

fn dead_jobs(subject: &mut Subject) {
    put(subject.store(), "a");
    for attempt in 1..=3 {
        let job = claim(subject, "p1").unwrap();
        assert_eq!(job.attempts, attempt);
        let expected = if attempt < 3 { JobState::Queued } else { JobState::Dead };
        assert_eq!(wait(subject.store().fail_job(&job, "no room")), Ok(expected));
    }
    assert_eq!(claim(subject, "p1"), None);
    let dead = &wait(subject.store().jobs("copy")).unwrap()[0];
    assert_eq!((dead.state, dead.reason.as_deref()), (JobState::Dead, Some("no room")));
    assert_eq!(wait(subject.store().revive_job("copy", "a")), Ok(()));
    assert_eq!(wait(subject.store().revive_job("copy", "a")), Err(Conflict));
    assert_eq!(claim(subject, "p1").unwrap().attempts, 1);
}

fn deadly_jobs(subject: &mut Subject) {
    put(subject.store(), "a");
    for _ in 0..3 {
        assert!(claim(subject, "p1").is_some());
        subject.pass(10_000);
    }
    assert_eq!(claim(subject, "p2"), None);
    assert_eq!(wait(subject.store().jobs("copy")).unwrap()[0].state, JobState::Dead);
}

fn stale_claims(subject: &mut Subject) {
    put(subject.store(), "a");
    let stale = claim(subject, "p1").unwrap();
    subject.pass(10_000);
    let fresh = claim(subject, "p2").unwrap();
    let store = subject.store();
    assert_eq!(wait(store.keep_job(&stale, TEN)), Err(Fenced));
    assert_eq!(wait(store.advance_job(&stale, json!(1), TEN)), Err(Fenced));
    assert_eq!(wait(store.fail_job(&stale, "late")), Err(Fenced));
    assert_eq!(wait(store.complete_job(&stale)), Err(Fenced));
    assert_eq!(wait(store.complete_job(&fresh)), Ok(()));
    assert_eq!(wait(store.complete_job(&fresh)), Err(Fenced));
}

fn job_keys(subject: &mut Subject) {
    put(subject.store(), "a");
    assert_eq!(wait(subject.store().put_job("copy", "a", json!(2), 1)), Err(Conflict));
    let job = claim(subject, "p1").unwrap();
    assert_eq!(wait(subject.store().put_job("copy", "a", json!(2), 1)), Err(Conflict));
    wait(subject.store().complete_job(&job)).unwrap();
    put(subject.store(), "a");
    let again = claim(subject, "p1").unwrap();
    assert!(again.token > 0);
    assert_eq!(wait(subject.store().revive_job("copy", "b")), Err(Conflict));
}

fn full_queue(subject: &mut Subject) {
    let changes = |range: std::ops::Range<usize>| {
        let job = |number| Change::PutRecord {
            table: store::coordination::JOBS,
            key: format!("copy/{number}"),
            value: json!({"payload": 1, "cursor": null, "holder": null, "token": 0, "expires_ms": 0, "attempts": 0,
                "attempts_max": 1, "reason": null, "dead": false, "queued_ms": 0}),
            expected_revision: None,
        };
        range.map(job).collect::<Vec<_>>()
    };
    for first in (0..JOBS_MAX).step_by(1000) {
        wait(subject.store().commit(changes(first..first + 1000))).unwrap();
    }
    assert_eq!(wait(subject.store().put_job("copy", "more", json!(1), 1)), Err(Full));
    assert_eq!(wait(subject.store().put_job("other", "more", json!(1), 1)), Ok(()));
}

fn queues(subject: &mut Subject) {
    wait(subject.store().put_job("copy", "a", json!(1), 1)).unwrap();
    wait(subject.store().put_job("copying", "a", json!(2), 1)).unwrap();
    let job = claim(subject, "p1").unwrap();
    assert_eq!(job.payload, json!(1));
    assert_eq!(claim(subject, "p1"), None);
    assert_eq!(wait(subject.store().jobs("copying")).unwrap().len(), 1);
    assert_eq!(wait(subject.store().jobs("cop")).unwrap().len(), 0);
}

fn counters(subject: &mut Subject) {
    let count = |subject: &Subject, name: &str, add| wait(subject.store().count(name, add, TEN)).unwrap();
    for (passed, add, expected) in
        [(0, 1, 1), (5_000, 2, 3), (4_999, 0, 3), (1, 1, 1), (9_999, 1, 2), (1, 0, 0)]
    {
        subject.pass(passed);
        assert_eq!(count(subject, "a", add), expected);
    }
    assert_eq!(count(subject, "b", 7), 7);
    assert_eq!(count(subject, "b", u64::MAX), u64::MAX);
}

fn uids(subject: &mut Subject) {
    let create = |subject: &Subject| wait(subject.store().create_task(new_task("a", at(0)))).unwrap().uid;
    assert_eq!(create(subject), 0);
    assert_eq!(wait(subject.store().take_task_uids(10, 0)), Ok(1));
    assert_eq!(create(subject), 11);
    assert_eq!(wait(subject.store().take_task_uids(1, 100)), Ok(100));
    assert_eq!(wait(subject.store().take_task_uids(0, 5)), Ok(101));
    subject.reopen();
    assert_eq!(create(subject), 101);
}

fn watching(subject: &mut Subject) {
    let store = subject.store().clone();
    let mut version = wait(store.changes(None)).unwrap().version;
    let mut expect = |act: &dyn Fn(), names: &[Name]| {
        let mut reply = Box::pin(store.changes(Some(version)));
        assert!(block_on(poll_once(&mut reply)).is_none(), "nothing has changed yet");
        act();
        let mut heard = Vec::new();
        while names.iter().any(|name| !heard.contains(name)) {
            let changes = block_on(&mut reply).unwrap();
            assert!(!changes.incomplete);
            version = changes.version;
            heard.extend(changes.names);
            reply = Box::pin(store.changes(Some(version)));
        }
        assert_eq!(heard, names);
    };
    expect(
        &|| {
            let _ = wait(store.put_index(index_record("a"), None)).unwrap();
        },
        &[Name::Index("a".to_owned())],
    );
    expect(&|| wait(store.put_topology(None, 1, json!({}))).unwrap(), &[Name::Topology]);
    let record = Name::Record { table: "notes".to_owned(), key: "x:y".to_owned() };
    expect(
        &|| {
            let _ = wait(store.put_record(NOTES, "x:y", json!(1), None)).unwrap();
        },
        std::slice::from_ref(&record),
    );
    let append = Change::Append {
        log: NOTES,
        stream: "n1".to_owned(),
        header: json!(1),
        body: bytes::Bytes::from_static(b"x"),
    };
    let log = Name::Log { log: "notes".to_owned(), stream: "n1".to_owned() };
    expect(&|| drop(wait(store.commit(vec![append.clone()])).unwrap()), &[log]);
    let forget = Change::ForgetRecord { table: NOTES, key: "x:y".to_owned() };
    expect(&|| drop(wait(store.commit(vec![forget.clone()])).unwrap()), &[record]);
}

fn watching_refusals(subject: &mut Subject) {
    let store = subject.store().clone();
    let version = wait(store.changes(None)).unwrap().version;
    assert_eq!(wait(store.put_record(NOTES, "a", json!(1), Some(5))), Err(Conflict));
    wait(store.put_record(NOTES, "b", json!(1), None)).unwrap();
    let changes = wait(store.changes(Some(version))).unwrap();
    assert_eq!(changes.names, [Name::Record { table: "notes".to_owned(), key: "b".to_owned() }]);
}

fn reopened(subject: &mut Subject) {
    let lease = acquire(subject, "a", "p1").unwrap();
    put(subject.store(), "a");
    put(subject.store(), "b");
    let job = claim(subject, "p1").unwrap();
    wait(subject.store().advance_job(&job, json!(5), TEN)).unwrap();
    subject.reopen();
    subject.pass(10_000);
    let next = acquire(subject, "a", "p2").unwrap();
    assert!(next.token > lease.token);
    let jobs = wait(subject.store().jobs("copy")).unwrap();
    assert_eq!(jobs.iter().map(|job| job.state).collect::<Vec<_>>(), [JobState::Queued; 2]);
    let cursors: Vec<Value> = (0..2).map(|_| claim(subject, "p2").unwrap().cursor).collect();
    assert!(cursors.contains(&json!(5)));
}

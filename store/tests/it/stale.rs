//! Every way in which a holder can lose a lease or a job, times everything that it may still try. All attempts are
//! fenced off, and none disturbs the new holder.

use std::time::Duration;

use serde_json::json;
use store::StoreError::Fenced;
use store::{Change, Job, Lease, StoreError, Table};

use crate::support::{Subject, at, finish, index_record, new_task, wait};

const TTL: Duration = Duration::from_secs(10);
const NOTES: Table = Table::named("notes");
const QUEUE: &str = "copy";

/// What happens to `p1`'s lease. Afterwards another has it, or it has another token.
pub(crate) type LeaseWay = (&'static str, fn(&mut Subject, &Lease));
/// What `p1` then tries.
pub(crate) type LeaseAction = (&'static str, fn(&Subject, &Lease) -> Result<(), StoreError>);
pub(crate) type JobWay = (&'static str, fn(&mut Subject, &Job));
pub(crate) type JobAction = (&'static str, fn(&Subject, &Job) -> Result<(), StoreError>);

const LEASE_WAYS: &[LeaseWay] = &[
    ("a holder that slept past its time", |subject, _| {
        subject.pass(10_000);
        take(subject, "p2");
    }),
    ("a holder that slept for a day", |subject, _| {
        subject.pass(86_400_000);
        take(subject, "p2");
    }),
    ("a holder that gave back, and has forgotten it", |subject, lease| {
        wait(subject.store().release_lease(lease)).unwrap();
        take(subject, "p2");
    }),
    ("a holder's earlier life", |subject, _| take(subject, "p1")),
    ("a holder whose store was stopped and started", |subject, _| {
        subject.reopen();
        subject.pass(10_000);
        take(subject, "p2");
    }),
    ("a holder behind a clock that jumped ahead and back", |subject, _| {
        subject.pass(3_600_000);
        take(subject, "p2");
        subject.pass(-3_600_000);
    }),
    ("a holder of the holder before", |subject, _| {
        subject.pass(10_000);
        take(subject, "p2");
        subject.pass(10_000);
        take(subject, "p3");
    }),
    ("a holder that nobody followed, after it gave back", |subject, lease| {
        wait(subject.store().release_lease(lease)).unwrap();
    }),
];

const LEASE_ACTIONS: &[LeaseAction] = &[
    ("a renewal", |subject, lease| wait(subject.store().renew_lease(lease, TTL))),
    ("giving back", |subject, lease| wait(subject.store().release_lease(lease))),
    ("a commit of a record", |subject, lease| {
        let (key, value) = ("a".to_owned(), json!(1));
        commit(subject, lease, Change::PutRecord { table: NOTES, key, value, expected_revision: None })
    }),
    ("a commit of an index", |subject, lease| {
        let record = Box::new(index_record("movies"));
        commit(subject, lease, Change::PutIndex { record, expected_revision: None })
    }),
    ("a commit of a task", |subject, lease| {
        let change = Box::new(finish(store::TaskStatus::Succeeded, at(1)));
        commit(subject, lease, Change::UpdateTask { uid: 0, change })
    }),
    ("a commit to a log", |subject, lease| {
        let (stream, header) = ("n1".to_owned(), json!(2));
        commit(subject, lease, Change::Append { log: NOTES, stream, header, body: bytes::Bytes::new() })
    }),
    ("cutting a log", |subject, lease| {
        let stream = "n1".to_owned();
        commit(subject, lease, Change::Truncate { log: NOTES, stream, through: u64::MAX })
    }),
    ("forgetting a record", |subject, lease| {
        commit(subject, lease, Change::ForgetRecord { table: NOTES, key: "kept".to_owned() })
    }),
];

const JOB_WAYS: &[JobWay] = &[
    ("a worker that slept past its claim", |subject, _| {
        subject.pass(10_000);
        claim(subject, "p2");
    }),
    ("a worker that has failed", |subject, job| {
        wait(subject.store().fail_job(job, "no room")).unwrap();
        claim(subject, "p2");
    }),
    ("a worker that has failed, while nobody went on", |subject, job| {
        wait(subject.store().fail_job(job, "no room")).unwrap();
    }),
    ("a worker of a job that is done, and queued anew", |subject, job| {
        wait(subject.store().complete_job(job)).unwrap();
        put(subject);
        claim(subject, "p2");
    }),
    ("a worker of a job that was dead and was revived", |subject, job| {
        let mut job = job.clone();
        while wait(subject.store().fail_job(&job, "no room")).unwrap() != store::JobState::Dead {
            job = claim(subject, "p1");
        }
        wait(subject.store().revive_job(QUEUE, "a")).unwrap();
        claim(subject, "p2");
    }),
    ("a worker whose store was stopped and started", |subject, _| {
        subject.reopen();
        subject.pass(10_000);
        claim(subject, "p2");
    }),
    ("a worker behind a clock that jumped ahead and back", |subject, _| {
        subject.pass(3_600_000);
        claim(subject, "p2");
        subject.pass(-3_600_000);
    }),
];

const JOB_ACTIONS: &[JobAction] = &[
    ("a sign of life", |subject, job| wait(subject.store().keep_job(job, TTL))),
    ("progress", |subject, job| wait(subject.store().advance_job(job, json!("stale"), TTL))),
    ("failing", |subject, job| wait(subject.store().fail_job(job, "stale")).map(drop)),
    ("completing", |subject, job| wait(subject.store().complete_job(job))),
    ("completing with an outcome", |subject, job| {
        let outcome =
            Change::PutRecord { table: NOTES, key: "a".to_owned(), value: json!(1), expected_revision: None };
        wait(subject.store().commit(vec![outcome, completion(job)])).map(drop)
    }),
];

pub(crate) fn of_leases() -> impl Iterator<Item = (&'static LeaseWay, &'static LeaseAction)> {
    LEASE_WAYS.iter().flat_map(|way| LEASE_ACTIONS.iter().map(move |action| (way, action)))
}

pub(crate) fn of_jobs() -> impl Iterator<Item = (&'static JobWay, &'static JobAction)> {
    JOB_WAYS.iter().flat_map(|way| JOB_ACTIONS.iter().map(move |action| (way, action)))
}

pub(crate) fn lease(subject: &mut Subject, way: &LeaseWay, action: &LeaseAction) {
    wait(subject.store().create_task(new_task("movies", at(0)))).unwrap();
    wait(subject.store().put_record(NOTES, "kept", json!(1), None)).unwrap();
    let (stream, header) = ("n1".to_owned(), json!(1));
    let entry = Change::Append { log: NOTES, stream, header, body: bytes::Bytes::new() };
    wait(subject.store().commit(vec![entry])).unwrap();
    let stale = wait(subject.store().acquire_lease("a", "p1", json!({}), TTL)).unwrap().unwrap();
    way.1(subject, &stale);
    let before = state(subject);
    assert_eq!(action.1(subject, &stale), Err(Fenced));
    assert!(state(subject) == before, "something was done");
}

pub(crate) fn job(subject: &mut Subject, way: &JobWay, action: &JobAction) {
    put(subject);
    let stale = claim(subject, "p1");
    wait(subject.store().advance_job(&stale, json!(5), TTL)).unwrap();
    way.1(subject, &stale);
    let before = wait(subject.store().jobs(QUEUE)).unwrap();
    assert_eq!(action.1(subject, &stale), Err(Fenced));
    assert_eq!(wait(subject.store().jobs(QUEUE)).unwrap(), before);
    assert_eq!(wait(subject.store().record(NOTES, "a")), Ok(None));
    // The current holder is not disturbed.
    if let Some(job) = before.into_iter().find(|job| job.state == store::JobState::Claimed) {
        assert!(wait(subject.store().commit(vec![completion(&job)])).is_ok());
        assert_eq!(wait(subject.store().jobs(QUEUE)), Ok(Vec::new()));
    }
}

/// Everything that the actions could change.
fn state(subject: &Subject) -> impl PartialEq + use<> {
    let store = subject.store();
    (
        wait(store.leases("")).unwrap(),
        wait(store.records(NOTES, None, 99)).unwrap(),
        wait(store.indexes()).unwrap(),
        wait(store.task(0)).unwrap(),
        wait(store.entries(NOTES, "n1", 0, 99)).unwrap(),
    )
}

fn take(subject: &Subject, holder: &str) {
    assert!(wait(subject.store().acquire_lease("a", holder, json!({}), TTL)).unwrap().is_some());
}

fn commit(subject: &Subject, lease: &Lease, change: Change) -> Result<(), StoreError> {
    let fence = Change::Fence { scope: lease.scope.clone(), token: lease.token };
    wait(subject.store().commit(vec![fence, change])).map(drop)
}

fn put(subject: &Subject) {
    wait(subject.store().put_job(QUEUE, "a", json!({}), 3)).unwrap();
}

fn claim(subject: &Subject, holder: &str) -> Job {
    wait(subject.store().claim_job(QUEUE, holder, TTL)).unwrap().unwrap()
}

fn completion(job: &Job) -> Change {
    Change::CompleteJob { queue: job.queue.clone(), key: job.key.clone(), token: job.token }
}

//! What every backend must do about idempotency keys: one task for each key, for a day, however often it is repeated.

use futures_lite::future::block_on;
use serde_json::json;
use store::StoreError::{Repeated, Reused};
use store::idempotency::{Swept, sweep};
use store::{
    Change, IDEMPOTENCY_KEYS, IDEMPOTENCY_TTL, IdempotencyKey, NewTask, Reply, Store, TaskQuery, TaskRecord,
    TaskStatus,
};

use crate::conformance::Case;
use crate::support::{Subject, at, finish, new_task, wait};

pub(crate) const CASES: &[Case] = &[
    ("a key stands for the task of its first request", first),
    ("a key stands for a day and no longer", day),
    ("a key outlives its task", outlives),
    ("a key that was let go makes another task", let_go),
    ("of many requests with one key one makes a task", one_of_many),
    ("requests with different keys do not get in each other's way", apart),
    ("a task without a key has nothing to do with keys", without),
    ("keys that are over are swept, and no others", swept),
    ("a key and its task survive a restart", restarted),
];

/// One day, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

fn keyed(key: &str, digest: &str) -> NewTask {
    let idempotency_key = Some(IdempotencyKey { key: key.to_owned(), digest: digest.to_owned() });
    NewTask { idempotency_key, ..new_task("movies", at(0)) }
}

fn create(store: &Store, key: &str, digest: &str) -> Reply<TaskRecord> {
    store.create_task(keyed(key, digest))
}

fn count(store: &Store) -> u64 {
    wait(store.tasks(TaskQuery::default())).unwrap().total
}

fn first(subject: &mut Subject) {
    let store = subject.store();
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    let task = wait(create(store, "k", "d")).unwrap();
    assert_eq!((task.uid, task.idempotency_key.as_deref()), (1, Some("k")));
    assert_eq!(wait(store.task(1)).unwrap().as_ref(), Some(&task));
    for _ in 0..2 {
        assert_eq!(wait(create(store, "k", "d")), Err(Repeated));
        assert_eq!(wait(create(store, "k", "other")), Err(Reused));
    }
    let known = wait(store.first_task("k")).unwrap().unwrap();
    assert!(known.is_of("d") && !known.is_of("other"));
    let told = known.task();
    assert_eq!((told.uid, told.index_uid, told.kind), (1, task.index_uid, task.kind));
    assert_eq!(told.enqueued_at, task.enqueued_at);
    assert_eq!(wait(store.first_task("other")), Ok(None));
    assert_eq!(count(store), 2);
}

fn day(subject: &mut Subject) {
    assert_eq!(u128::try_from(DAY).unwrap(), IDEMPOTENCY_TTL.as_millis());
    wait(create(subject.store(), "k", "d")).unwrap();
    subject.pass(DAY - 1);
    assert_eq!(wait(create(subject.store(), "k", "d")), Err(Repeated));
    subject.pass(1);
    assert_eq!(wait(subject.store().first_task("k")), Ok(None));
    assert_eq!(wait(create(subject.store(), "k", "other")).unwrap().uid, 1);
    assert_eq!(wait(create(subject.store(), "k", "d")), Err(Reused));
    assert_eq!(wait(subject.store().first_task("k")).unwrap().unwrap().task().uid, 1);
}

fn outlives(subject: &mut Subject) {
    let store = subject.store();
    wait(create(store, "k", "d")).unwrap();
    wait(store.update_task(0, finish(TaskStatus::Succeeded, at(1)))).unwrap();
    assert_eq!(wait(store.delete_tasks(vec![0])), Ok(vec![0]));
    assert_eq!(wait(create(store, "k", "d")), Err(Repeated));
    assert_eq!(wait(store.first_task("k")).unwrap().unwrap().task().uid, 0);
}

fn let_go(subject: &mut Subject) {
    let store = subject.store();
    wait(store.create_task(NewTask { accepted: false, ..keyed("k", "d") })).unwrap();
    let change = Box::new(finish(TaskStatus::Canceled, at(1)));
    let forget = Change::ForgetRecord { table: IDEMPOTENCY_KEYS, key: "k".to_owned() };
    wait(store.commit(vec![Change::UpdateTask { uid: 0, change }, forget])).unwrap();
    assert_eq!(wait(create(store, "k", "other")).unwrap().uid, 1);
}

fn one_of_many(subject: &mut Subject) {
    let store = subject.store();
    let replies: Vec<_> = (0..50).map(|_| create(store, "k", "d")).collect();
    let outcomes: Vec<_> = replies.into_iter().map(wait).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| *error == Repeated));
    assert_eq!(count(store), 1);
}

fn apart(subject: &mut Subject) {
    let store = subject.store();
    let replies: Vec<_> = (0..50).map(|number| create(store, &format!("{number} : |"), "d")).collect();
    let tasks: Vec<_> = replies.into_iter().map(|reply| wait(reply).unwrap()).collect();
    for task in tasks {
        let known = wait(store.first_task(task.idempotency_key.as_deref().unwrap())).unwrap().unwrap();
        assert_eq!(known.task().uid, task.uid);
    }
    assert_eq!(count(store), 50);
}

fn without(subject: &mut Subject) {
    let store = subject.store();
    let task = wait(store.create_task(new_task("movies", at(0)))).unwrap();
    assert_eq!(task.idempotency_key, None);
    assert_eq!(wait(store.records(IDEMPOTENCY_KEYS, None, 9)), Ok(Vec::new()));
}

fn swept(subject: &mut Subject) {
    let store = subject.store();
    let now = |later: i64| std::time::Duration::from_millis(1_767_225_600_000 + later.unsigned_abs());
    let old: Vec<_> = (0..1200).map(|number| create(store, &format!("old{number}"), "d")).collect();
    old.into_iter().for_each(|reply| drop(wait(reply).unwrap()));
    subject.pass(DAY / 2);
    wait(create(subject.store(), "new", "d")).unwrap();
    let sweep_at = |later| block_on(sweep(subject.store(), now(later))).unwrap();
    assert_eq!(sweep_at(DAY - 1), Swept { forgotten: 0, left: 1201 });
    assert_eq!(sweep_at(DAY), Swept { forgotten: 1200, left: 1 });
    assert_eq!(wait(create(subject.store(), "new", "d")), Err(Repeated));
    assert_eq!(sweep_at(DAY + DAY / 2), Swept { forgotten: 1, left: 0 });
    assert!(wait(create(subject.store(), "old7", "d")).is_ok());
}

fn restarted(subject: &mut Subject) {
    let task = wait(create(subject.store(), "k", "d")).unwrap();
    subject.reopen();
    assert_eq!(wait(subject.store().task(0)).unwrap(), Some(task));
    assert_eq!(wait(create(subject.store(), "k", "d")), Err(Repeated));
    assert_eq!(
        wait(subject.store().record(IDEMPOTENCY_KEYS, "k")).unwrap().unwrap().value["digest"],
        json!("d")
    );
}

//! Task queries against a naive model: the same tasks in a vector, filtered one by one.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::json;
use store::{TaskChange, TaskKind, TaskQuery, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use crate::redis::Server;
use crate::support::{Subject, at, finish, new_task, wait};

const SEEDS: std::ops::Range<u64> = 0..3;
/// Enough tasks for several date zones.
const TASK_COUNT: u32 = 3000;
const QUERY_COUNT: usize = 300;
const INDEXES: [&str; 4] = ["movies", "books", "films", "none"];

#[test]
fn queries_answer_what_a_scan_would() {
    check_backend(Subject::sled);
}

#[test]
fn queries_to_redis_answer_what_a_scan_would() {
    let server = Server::start(&[]);
    check_backend(|| server.subject());
}

fn check_backend(backend: impl Fn() -> Subject) {
    for seed in SEEDS {
        let mut random = Rng::with_seed(seed);
        let mut subject = backend();
        let tasks = populate(&subject, &mut random);
        for round in 0..2 {
            let mut found = 0;
            for number in 0..QUERY_COUNT {
                let query = random_query(&mut random);
                let name = format!("seed {seed}, round {round}, query {number}");
                found += usize::from(check(&subject, &tasks, &query, &name) > 0);
            }
            assert!(found > QUERY_COUNT / 4, "too many queries find nothing: {found} found something");
            subject.reopen();
        }
    }
}

/// Compares the store's answers with the model's, and returns how many tasks matched.
fn check(subject: &Subject, tasks: &BTreeMap<u32, TaskRecord>, query: &TaskQuery, name: &str) -> u64 {
    let page = wait(subject.store().tasks(query.clone())).unwrap();
    let mut matching: Vec<&TaskRecord> = tasks.values().filter(|task| matches(task, query)).collect();
    let uids = wait(subject.store().task_uids(query.clone())).unwrap();
    assert!(uids.iter().eq(matching.iter().map(|task| &task.uid)), "{name}: {query:?}");
    assert_eq!(page.total, matching.len() as u64, "{name}: {query:?}");
    if !query.reverse {
        matching.reverse();
    }
    matching.retain(|task| match query.from {
        Some(from) if query.reverse => task.uid >= from,
        Some(from) => task.uid <= from,
        None => true,
    });
    let limit = query.limit as usize;
    assert!(page.tasks.iter().eq(matching.iter().take(limit).copied()), "{name}: {query:?}");
    assert_eq!(page.next, matching.get(limit).map(|task| task.uid), "{name}: {query:?}");
    assert_eq!(page.from, page.tasks.first().map(|task| task.uid), "{name}: {query:?}");
    page.total
}

fn matches(task: &TaskRecord, query: &TaskQuery) -> bool {
    fn among<T: PartialEq>(names: Option<&Vec<T>>, name: &T) -> bool {
        names.is_none_or(|names| names.contains(name))
    }
    fn within(
        date: Option<OffsetDateTime>,
        after: Option<OffsetDateTime>,
        before: Option<OffsetDateTime>,
    ) -> bool {
        match date {
            Some(date) => after.is_none_or(|after| date > after) && before.is_none_or(|before| date < before),
            None => after.is_none() && before.is_none(),
        }
    }
    let index = task.index_uid.as_ref();
    among(query.uids.as_ref(), &task.uid)
        && among(query.statuses.as_ref(), &task.status)
        && among(query.kinds.as_ref(), &task.kind)
        && query.index_uids.as_ref().is_none_or(|names| index.is_some_and(|index| names.contains(index)))
        && query
            .canceled_by
            .as_ref()
            .is_none_or(|uids| task.canceled_by.is_some_and(|uid| uids.contains(&uid)))
        && within(Some(task.enqueued_at), query.after_enqueued_at, query.before_enqueued_at)
        && within(task.started_at, query.after_started_at, query.before_started_at)
        && within(task.finished_at, query.after_finished_at, query.before_finished_at)
}

/// Creates, changes and deletes tasks in the store, with a whole group of writes in flight.
fn populate(subject: &Subject, random: &mut Rng) -> BTreeMap<u32, TaskRecord> {
    let store = subject.store();
    let new = |number: u32, random: &mut Rng| {
        // Dates grow with uids, but neighbours are swapped now and then.
        let mut new = new_task(random.choice(INDEXES).unwrap(), at(i64::from(number) + random.i64(-5..5)));
        new.kind = random.choice(TaskKind::ALL).unwrap();
        if new.kind == TaskKind::IndexSwap {
            new.index_uid = None;
            new.details = Some(json!({"swaps": [{"indexes": ["movies", "films"], "rename": false}]}));
        }
        new
    };
    let created: Vec<_> = (0..TASK_COUNT).map(|number| store.create_task(new(number, random))).collect();
    let mut tasks: BTreeMap<u32, TaskRecord> =
        created.into_iter().map(|reply| wait(reply).unwrap()).map(|task| (task.uid, task)).collect();
    let changes: Vec<_> = tasks
        .values()
        .filter_map(|task| Some(store.update_task(task.uid, random_change(task, random)?)))
        .collect();
    for reply in changes {
        let task = wait(reply).unwrap();
        tasks.insert(task.uid, task);
    }
    let doomed: Vec<u32> = tasks.keys().copied().filter(|_| random.u8(0..10) == 0).collect();
    let deleted = wait(store.delete_tasks(doomed.clone())).unwrap();
    let finished: Vec<u32> = doomed.into_iter().filter(|uid| tasks[uid].status.is_finished()).collect();
    assert_eq!(deleted, finished);
    tasks.retain(|uid, _| !deleted.contains(uid));
    tasks
}

fn random_change(task: &TaskRecord, random: &mut Rng) -> Option<TaskChange> {
    let started_at = task.enqueued_at + time::Duration::seconds(random.i64(0..20));
    let processing = TaskChange {
        status: Some(TaskStatus::Processing),
        started_at: Some(started_at),
        ..TaskChange::default()
    };
    let status = random.choice(TaskStatus::ALL).unwrap();
    match status {
        TaskStatus::Enqueued => None,
        TaskStatus::Processing => Some(processing),
        TaskStatus::Canceled => {
            Some(TaskChange { canceled_by: Some(random.u32(0..5)), ..finish(status, started_at) })
        }
        TaskStatus::Succeeded | TaskStatus::Failed => {
            let finished_at = Some(started_at + time::Duration::seconds(random.i64(0..50)));
            Some(TaskChange { status: Some(status), finished_at, ..processing })
        }
    }
}

fn random_query(random: &mut Rng) -> TaskQuery {
    let mut query = TaskQuery {
        reverse: random.bool(),
        limit: random.choice([0, 1, 20, 500, u32::MAX]).unwrap(),
        from: sometimes(random, |random| random.u32(0..TASK_COUNT + 10)),
        statuses: sometimes(random, |random| some_of(TaskStatus::ALL, 4, random)),
        kinds: sometimes(random, |random| some_of(TaskKind::ALL, 9, random)),
        uids: None,
        index_uids: sometimes(random, |random| {
            some_of(INDEXES, 3, random).into_iter().map(str::to_owned).collect()
        }),
        canceled_by: None,
        before_enqueued_at: sometimes(random, random_date),
        after_enqueued_at: sometimes(random, random_date),
        before_started_at: sometimes(random, random_date),
        after_started_at: sometimes(random, random_date),
        before_finished_at: sometimes(random, random_date),
        after_finished_at: sometimes(random, random_date),
    };
    if random.u8(0..8) == 0 {
        query.uids = Some((0..200).map(|_| random.u32(0..TASK_COUNT + 10)).collect());
    }
    if random.u8(0..8) == 0 {
        query.canceled_by = Some((0..2).map(|_| random.u32(0..7)).collect());
    }
    query
}

fn sometimes<T>(random: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    (random.u8(0..4) == 0).then(|| make(random))
}

/// Fewer than `count` of the names, sometimes none.
fn some_of<T, const LENGTH: usize>(names: [T; LENGTH], count: usize, random: &mut Rng) -> Vec<T> {
    let count = random.usize(0..count);
    random.choose_multiple(names, count)
}

fn random_date(random: &mut Rng) -> OffsetDateTime {
    at(random.i64(-100..i64::from(TASK_COUNT) + 100))
}

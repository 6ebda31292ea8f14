//! The store's thread: it commits writes in groups, each with one round trip to read and one to commit, and serves
//! reads beside them.
//! - Writes are done in the order of their arrival. Two that touch the same record are in different groups.
//! - A write whose records another pod changed in between is planned again, up to `REDIS_RACES_MAX` times.
//! - A second thread moves commands out of the handle's queues, which know no executor.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::select;
use fred::interfaces::ClientLike;
use fred::types::Value;
use tokio::sync::{Semaphore, mpsc};

use super::backend::Backend;
use super::scripts::{stored, strange};
use crate::answer::Answer;
use crate::command::{Inbox, Read, Write};
use crate::coordination::{Act, JOBS, Outcome, pick, queue_prefix};
use crate::limits::{
    JOBS_MAX, REDIS_CHANGES_KEPT, REDIS_FOLLOW_INTERVAL, REDIS_GROUP_MAX, REDIS_RACES_MAX, REDIS_READS_MAX,
    TASK_COUNT_MAX,
};
use crate::redis_backend::commit_plan::{
    Known, Memo, Place, Plan, Revision, Targets, has_targets, places, plan,
};
use crate::{Change, StoreError};

/// What became of a write in a group: it has an answer, or has to be planned again.
enum Done {
    Answer(Result<(Memo, Vec<u64>), StoreError>),
    Again,
}

impl Backend {
    /// Commits a group of writes. Those that lost a race are tried again, in their order.
    async fn commit(&self, group: VecDeque<Write>) {
        let mut waiting: Vec<Write> = group.into();
        for _ in 0..REDIS_RACES_MAX {
            if self.unreachable.get() && !self.scripts.client.is_connected() {
                let reason = || StoreError::Unreachable("there is no connection".to_owned());
                return waiting.into_iter().for_each(|write| finish(write, Err(reason())));
            }
            let outcomes = self.attempt(&waiting).await;
            let failed = outcomes.as_ref().err();
            self.unreachable.set(matches!(failed, Some(StoreError::Unreachable(_))));
            let outcomes = match outcomes {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    return waiting.into_iter().for_each(|write| finish(write, Err(error.clone())));
                }
            };
            let mut again = Vec::new();
            for (write, outcome) in waiting.into_iter().zip(outcomes) {
                match outcome {
                    Done::Answer(result) => finish(write, result),
                    Done::Again => again.push(write),
                }
            }
            if again.is_empty() {
                return;
            }
            waiting = again;
        }
        waiting.into_iter().for_each(|write| finish(write, Err(StoreError::Overloaded)));
    }

    async fn attempt(&self, writes: &[Write]) -> Result<Vec<Done>, StoreError> {
        let targets = match writes {
            [write] if has_targets(write) => self.targets(write).await?,
            _ => Targets::default(),
        };
        if matches!(&targets.job, Some(job) if job.is_empty()) {
            let none = Outcome::Job(None);
            return Ok(vec![Done::Answer(Ok((Memo::Outcome(none), Vec::new())))]);
        }
        let (known, now) = self.known(writes, &targets).await?;
        let epoch = self.epoch.borrow().clone();
        let mut arguments: Vec<Value> =
            vec![epoch.into(), TASK_COUNT_MAX.to_string().into(), REDIS_CHANGES_KEPT.to_string().into()];
        let plans: Vec<Result<Plan, StoreError>> =
            writes.iter().map(|write| plan(write, &targets, &known, now)).collect();
        if let ([Ok(plan)], Some(_)) = (&plans[..], &targets.job)
            && matches!(plan.memo, Memo::Outcome(Outcome::Job(None)))
        {
            // Another pod has claimed the job since `pick` chose it.
            return Ok(vec![Done::Again]);
        }
        arguments.push(plans.iter().flatten().count().to_string().into());
        let mut memos = Vec::with_capacity(plans.len());
        for plan in plans {
            memos.push(plan.map(|mut plan| {
                let memo = std::mem::replace(&mut plan.memo, Memo::Nothing);
                let races = plan.races();
                plan.append_to(&mut arguments);
                (memo, races)
            }));
        }
        if memos.iter().all(Result::is_err) {
            return Ok(memos
                .into_iter()
                .map(|memo| Done::Answer(memo.map(|(memo, _)| (memo, Vec::new()))))
                .collect());
        }
        let mut results = self.scripts.commit(arguments).await?.into_iter();
        if results.next().and_then(|value| value.as_i64()) != Some(1) {
            // Redis has other data than the plan relied on. The script has done nothing.
            self.catch_up().await?;
            return Ok(memos.into_iter().map(|_| Done::Again).collect());
        }
        memos.into_iter().map(|memo| outcome(memo, &mut results)).collect()
    }

    /// The records that the writes rely on, and the time at which they were read.
    async fn known(&self, writes: &[Write], targets: &Targets) -> Result<(Known, Duration), StoreError> {
        let needed: BTreeSet<Place> = writes
            .iter()
            .filter(|write| rests_on_records(write))
            .flat_map(|write| places(write, targets))
            .collect();
        if needed.is_empty() {
            return Ok((Known::new(), Duration::ZERO));
        }
        let mut known = Known::new();
        let mut now = Duration::ZERO;
        let needed: Vec<Place> = needed.into_iter().collect();
        for part in needed.chunks(1000) {
            let mut question: Vec<Value> = vec!["fields".into()];
            for (hash, key) in part {
                question.extend([Value::from(hash.as_str()), Value::from(key.as_str())]);
            }
            let answered = self.scripts.read(question).await?;
            now = answered.now;
            for (place, value) in part.iter().zip(answered.values) {
                known.insert(place.clone(), stored(value)?);
            }
        }
        Ok((known, self.clock.as_ref().map_or(now, |clock| clock())))
    }

    async fn targets(&self, write: &Write) -> Result<Targets, StoreError> {
        let mut targets = Targets::default();
        match write {
            Write::PruneTasks { finished_before, count_max, .. } => {
                self.catch_up().await?;
                targets.tasks = self.mirror.borrow_mut().index.prunable(*finished_before, *count_max);
            }
            Write::Commit { changes, .. } => {
                self.catch_up().await?;
                for change in changes {
                    if let Change::ExchangeIndexNames { one, other, below } = change {
                        let mut uids = self.mirror.borrow().index.naming([one, other]);
                        uids.remove_range(*below..);
                        targets.tasks.extend(uids);
                    }
                }
            }
            Write::Step { step, .. } => match &step.act {
                Act::Claim { .. } => {
                    let jobs = self.records_from(JOBS, &queue_prefix(&step.key)).await?;
                    let now = self.now().await?;
                    let picked = pick(jobs.iter().map(|job| (job.key.as_str(), &job.value)), now);
                    targets.job = Some(picked.unwrap_or_default());
                }
                Act::Enqueue { .. } => {
                    let queue = step.key.split('/').next().unwrap_or_default();
                    let jobs = self.records_from(JOBS, &queue_prefix(queue)).await?;
                    targets.full = jobs.len() >= JOBS_MAX;
                }
                Act::Acquire { .. }
                | Act::Renew { .. }
                | Act::Release { .. }
                | Act::Heartbeat { .. }
                | Act::Progress { .. }
                | Act::Complete { .. }
                | Act::Fail { .. }
                | Act::Revive
                | Act::Count { .. } => {}
            },
            Write::PutTopology { .. }
            | Write::PutIndex { .. }
            | Write::DeleteIndex { .. }
            | Write::UpdateTask { .. }
            | Write::CreateTask { .. }
            | Write::TakeTaskUids { .. }
            | Write::Load { .. }
            | Write::DeleteTasks { .. }
            | Write::PutRecord { .. }
            | Write::DeleteRecord { .. } => {}
        }
        Ok(targets)
    }
}

/// Whether a plan needs the stored records. If not, the script alone compares revisions.
fn rests_on_records(write: &Write) -> bool {
    match write {
        Write::UpdateTask { .. }
        | Write::DeleteTasks { .. }
        | Write::PruneTasks { .. }
        | Write::Step { .. } => true,
        Write::CreateTask { new, .. } => new.idempotency_key.is_some(),
        Write::Commit { changes, .. } => changes.iter().any(|change| {
            matches!(
                change,
                Change::UpdateTask { .. }
                    | Change::ExchangeIndexNames { .. }
                    | Change::Fence { .. }
                    | Change::CompleteJob { .. }
            )
        }),
        Write::PutTopology { .. }
        | Write::PutIndex { .. }
        | Write::DeleteIndex { .. }
        | Write::TakeTaskUids { .. }
        | Write::Load { .. }
        | Write::PutRecord { .. }
        | Write::DeleteRecord { .. } => false,
    }
}

/// Reads the script's result of one write.
fn outcome(
    memo: Result<(Memo, BTreeSet<usize>), StoreError>,
    results: &mut impl Iterator<Item = Value>,
) -> Result<Done, StoreError> {
    let (memo, races) = match memo {
        Ok(planned) => planned,
        Err(error) => return Ok(Done::Answer(Err(error))),
    };
    let Some(Value::Array(values)) = results.next() else { return Err(strange()) };
    let numbers: Option<Vec<u64>> =
        values.iter().map(|value| value.as_i64().and_then(|number| u64::try_from(number).ok())).collect();
    match numbers.ok_or_else(strange)?.split_first() {
        Some((1, numbers)) => Ok(Done::Answer(Ok((memo, numbers.to_vec())))),
        Some((2, _)) => Ok(Done::Answer(Err(StoreError::Full))),
        Some((0, [check])) if races.contains(&usize::try_from(check - 1).unwrap_or(usize::MAX)) => {
            Ok(Done::Again)
        }
        Some((0, _)) => Ok(Done::Answer(Err(StoreError::Conflict))),
        _ => Err(strange()),
    }
}

/// Answers the caller.
fn finish(write: Write, result: Result<(Memo, Vec<u64>), StoreError>) {
    fn tell<T>(answer: Answer<T>, result: Result<T, StoreError>) {
        // A dropped reply is no error: the caller no longer wants the answer.
        let _ = answer.send(result);
    }
    let first = |(_, numbers): (Memo, Vec<u64>)| numbers.first().copied().ok_or_else(strange);
    let uid_of = |done| first(done).and_then(|uid| u32::try_from(uid).map_err(|_| StoreError::Full));
    match write {
        Write::PutTopology { answer, .. } | Write::Load { answer, .. } => tell(answer, result.map(drop)),
        Write::PutIndex { answer, .. } | Write::PutRecord { answer, .. } => {
            tell(answer, result.and_then(first))
        }
        Write::DeleteIndex { answer, .. } | Write::DeleteRecord { answer, .. } => {
            tell(answer, result.map(drop))
        }
        Write::TakeTaskUids { answer, .. } => tell(answer, result.and_then(uid_of)),
        Write::CreateTask { answer, .. } => {
            let task = result.and_then(|(memo, numbers)| match memo {
                Memo::Task(mut task) => {
                    task.uid = uid_of((Memo::Nothing, numbers))?;
                    Ok(*task)
                }
                Memo::Nothing | Memo::Uids(_) | Memo::Outcome(_) | Memo::Revisions(_) => Err(strange()),
            });
            tell(answer, task);
        }
        Write::UpdateTask { answer, .. } => {
            let task = result.and_then(|(memo, _)| match memo {
                Memo::Task(task) => Ok(*task),
                Memo::Nothing | Memo::Uids(_) | Memo::Outcome(_) | Memo::Revisions(_) => Err(strange()),
            });
            tell(answer, task);
        }
        Write::DeleteTasks { answer, .. } => tell(answer, result.and_then(deleted)),
        Write::PruneTasks { answer, .. } => tell(answer, result.and_then(deleted).map(|uids| uids.len())),
        Write::Commit { answer, .. } => {
            let revisions = result.and_then(|(memo, numbers)| match memo {
                Memo::Revisions(revisions) => {
                    let of = |revision: Revision| match revision {
                        Revision::Known(revision) => Ok(revision),
                        Revision::OfOperation(position) => numbers.get(position).copied().ok_or_else(strange),
                    };
                    revisions.into_iter().map(of).collect()
                }
                Memo::Nothing | Memo::Uids(_) | Memo::Outcome(_) | Memo::Task(_) => Err(strange()),
            });
            tell(answer, revisions);
        }
        Write::Step { answer, .. } => answer(result.and_then(|(memo, _)| match memo {
            Memo::Outcome(outcome) => Ok(outcome),
            Memo::Nothing | Memo::Uids(_) | Memo::Revisions(_) | Memo::Task(_) => Err(strange()),
        })),
    }
}

fn deleted((memo, _): (Memo, Vec<u64>)) -> Result<Vec<u32>, StoreError> {
    match memo {
        Memo::Uids(uids) => Ok(uids),
        Memo::Nothing | Memo::Task(_) | Memo::Outcome(_) | Memo::Revisions(_) => Err(strange()),
    }
}

/// Serves the handles until all are dropped or the store is stopped.
pub(super) async fn run(backend: Backend, inbox: Inbox) -> Result<(), StoreError> {
    let backend = Rc::new(backend);
    let (reads_to, mut reads) = mpsc::channel(REDIS_READS_MAX);
    let (writes_to, mut writes) = mpsc::channel(REDIS_GROUP_MAX);
    let carrier = std::thread::Builder::new().name("store-inbox".to_owned());
    let carrier = carrier.spawn(move || carry(&inbox, &reads_to, &writes_to));
    let carrier = carrier.map_err(|error| StoreError::Io(error.to_string()))?;
    let reading = Rc::clone(&backend);
    tokio::task::spawn_local(async move {
        let room = Arc::new(Semaphore::new(REDIS_READS_MAX));
        while let Some(read) = reads.recv().await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let reading = Rc::clone(&reading);
            tokio::task::spawn_local(async move {
                reading.answer(read).await;
                drop(permit);
            });
        }
    });
    let following = Rc::clone(&backend);
    let ticks = tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(REDIS_FOLLOW_INTERVAL).await;
            // A failure here is no error: the next tick tries again.
            let _ = following.catch_up().await;
        }
    });
    let mut next: Option<Write> = None;
    loop {
        let first = match next.take() {
            Some(write) => write,
            None => match writes.recv().await {
                Some(write) => write,
                None => break,
            },
        };
        let (group, left) = gather(first, &mut writes);
        next = left;
        backend.commit(group).await;
    }
    ticks.abort();
    let _ = backend.scripts.client.quit().await;
    carrier.join().map_err(|_| StoreError::Closed)
}

/// Collects waiting writes that touch different records, and the one that must wait for the next group.
fn gather(first: Write, writes: &mut mpsc::Receiver<Write>) -> (VecDeque<Write>, Option<Write>) {
    let alone = has_targets(&first);
    let mut touched: BTreeSet<Place> = places(&first, &Targets::default()).into_iter().collect();
    let mut group = VecDeque::from([first]);
    while !alone && group.len() < REDIS_GROUP_MAX {
        let Ok(write) = writes.try_recv() else { break };
        let places = places(&write, &Targets::default());
        if has_targets(&write) || places.iter().any(|place| touched.contains(place)) {
            return (group, Some(write));
        }
        touched.extend(places);
        group.push_back(write);
    }
    (group, None)
}

/// Moves commands to the executor. Writes that wait when the store stops are still done.
fn carry(inbox: &Inbox, reads: &mpsc::Sender<Read>, writes: &mpsc::Sender<Write>) {
    loop {
        select! {
            recv(inbox.reads) -> read => {
                let Ok(read) = read else { return };
                if reads.blocking_send(read).is_err() {
                    return;
                }
            }
            recv(inbox.writes) -> write => {
                let Ok(write) = write else { return };
                if writes.blocking_send(write).is_err() {
                    return;
                }
            }
            recv(inbox.stop) -> _ => {
                let waiting = inbox.writes.len();
                for write in inbox.writes.try_iter().take(waiting) {
                    if writes.blocking_send(write).is_err() {
                        return;
                    }
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis_backend::commit_plan::in_table;

    #[test]
    fn writes_to_one_record_are_in_different_groups() {
        let (to, mut from) = mpsc::channel(9);
        let put = |key: &str| {
            let (answer, _) = futures_channel::oneshot::channel();
            let (key, value) = (key.to_owned(), serde_json::Value::Null);
            Write::PutRecord { table: JOBS, key, value, expected_revision: None, answer }
        };
        for key in ["b", "a", "c"] {
            to.try_send(put(key)).unwrap();
        }
        let (group, left) = gather(put("a"), &mut from);
        assert_eq!(group.len(), 2);
        assert_eq!(places(&left.unwrap(), &Targets::default()), [in_table(JOBS, "a")]);
        assert!(from.try_recv().is_ok());
    }
}

//! Operations in the store: any pod may be asked for one, and shows all of them.
//!
//! Invariants: every change of an operation is a compare-and-swap; what the pod that leads writes is fenced by its
//! lease; the oldest that has not ended is worked on, the others wait.

use std::time::Duration;

use router::rebalance::Plan;
use store::{Change, StoreError, Table};

use crate::{
    clock,
    config::limits,
    membership::rebalance::operation::{Event, IndexChange, NotNow, Operation, Status, Wanted},
    state::{leadership::Term, shared::Shared},
};

const OPERATIONS: Table = Table::named("operations");
const PLANS: Table = Table::named("operation_plans");
/// Counts the operations of a store, for ever.
const NUMBERS: &str = "operations";
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Why an operation was not changed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("there is no operation {0}")]
    Unknown(u64),
    #[error("{0}")]
    NotNow(#[from] NotNow),
    #[error("a stored operation cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

fn key(number: u64) -> String {
    format!("{number:020}")
}

/// Asks for a change; answers its number.
///
/// # Errors
/// What the store says.
pub async fn enqueue(shared: &Shared, change: Wanted) -> Result<u64, QueueError> {
    let number = shared.store.count(NUMBERS, 1, FOR_EVER).await?;
    let operation = Operation::new(number, change, clock::utc());
    shared.store.put_record(OPERATIONS, &key(number), serde_json::to_value(&operation)?, None).await?;
    forget_old(shared).await?;
    Ok(number)
}

/// All that are remembered, oldest first.
///
/// # Errors
/// What the store says.
pub async fn all(shared: &Shared) -> Result<Vec<Operation>, QueueError> {
    let records = shared.store.records(OPERATIONS, None, 2 * limits::OPERATIONS_MAX).await?;
    let read = records.into_iter().map(|record| Ok(serde_json::from_value(record.value)?));
    read.collect()
}

/// # Errors
/// [`QueueError`].
pub async fn one(shared: &Shared, number: u64) -> Result<Operation, QueueError> {
    let record = shared.store.record(OPERATIONS, &key(number)).await?;
    Ok(serde_json::from_value(record.ok_or(QueueError::Unknown(number))?.value)?)
}

/// The one to work on: the oldest that has not ended and whose time has come, unless it is paused.
///
/// # Errors
/// [`QueueError`].
pub(crate) async fn current(shared: &Shared) -> Result<Option<Operation>, QueueError> {
    let mut all = all(shared).await?.into_iter();
    let oldest = all.find(|operation| !operation.has_ended() && minutes_to_wait(shared, operation) == 0);
    Ok(oldest.filter(|operation| operation.status != Status::Paused))
}

/// How long until an operation may begin, by the window that it names.
#[must_use]
pub fn minutes_to_wait(shared: &Shared, operation: &Operation) -> u32 {
    match &operation.change {
        Wanted::Index(IndexChange::Reshard { schedule_window: Some(name), .. })
            if operation.status == Status::Queued =>
        {
            minutes_until(shared, name)
        }
        Wanted::Index(_) | Wanted::Shape(_) => 0,
    }
}

/// How long until a window opens; one that is no longer configured is open.
#[must_use]
pub fn minutes_until(shared: &Shared, name: &str) -> u32 {
    let now = clock::utc();
    let minute = u32::from(now.hour()) * 60 + u32::from(now.minute());
    let window = shared.config.schedule_windows.iter().find(|window| window.name == name);
    window.map_or(0, |window| window.opens_in(minute))
}

/// Has an operator's wish happen to an operation, or what does not move it on.
///
/// # Errors
/// [`QueueError`]; nothing has happened then.
pub async fn step(shared: &Shared, term: &Term, number: u64, event: Event) -> Result<Operation, QueueError> {
    change(shared, term, number, event, |_| true).await
}

/// Has what was done for an operation happen to it, if it still stands where it stood then.
///
/// # Errors
/// [`QueueError`]; nothing has happened then.
pub(crate) async fn advance(
    shared: &Shared,
    term: &Term,
    before: &Operation,
    event: Event,
) -> Result<Operation, QueueError> {
    change(shared, term, before.operation, event, |now| now.stands_like(before)).await
}

async fn change(
    shared: &Shared,
    term: &Term,
    number: u64,
    event: Event,
    is_expected: impl Fn(&Operation) -> bool,
) -> Result<Operation, QueueError> {
    loop {
        let record =
            shared.store.record(OPERATIONS, &key(number)).await?.ok_or(QueueError::Unknown(number))?;
        let mut operation: Operation = serde_json::from_value(record.value)?;
        if !is_expected(&operation) {
            return Err(NotNow::Changed.into());
        }
        operation.step(event.clone(), clock::utc())?;
        let put = Change::PutRecord {
            table: OPERATIONS,
            key: key(number),
            value: serde_json::to_value(&operation)?,
            expected_revision: Some(record.revision),
        };
        match shared.commit_by(term, vec![put]).await {
            Ok(_) => return Ok(operation),
            // Somebody else changed it: what is to happen happens to that.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Keeps the plan of an operation; one that is there stays.
pub(crate) async fn keep_plan(shared: &Shared, number: u64, plan: &Plan) -> Result<(), QueueError> {
    let before = shared.store.record(PLANS, &key(number)).await?.map(|record| record.revision);
    shared.store.put_record(PLANS, &key(number), serde_json::to_value(plan)?, before).await?;
    Ok(())
}

pub(crate) async fn plan(shared: &Shared, number: u64) -> Result<Plan, QueueError> {
    let record = shared.store.record(PLANS, &key(number)).await?.ok_or(QueueError::Unknown(number))?;
    Ok(serde_json::from_value(record.value)?)
}

/// Forgets the oldest of those that have ended.
async fn forget_old(shared: &Shared) -> Result<(), QueueError> {
    let all = all(shared).await?;
    let excess = all.len().saturating_sub(limits::OPERATIONS_MAX);
    let old = all.iter().filter(|operation| operation.has_ended()).take(excess);
    let changes = old.flat_map(|operation| {
        [OPERATIONS, PLANS].map(|table| Change::ForgetRecord { table, key: key(operation.operation) })
    });
    let changes = changes.collect::<Vec<_>>();
    if !changes.is_empty() {
        shared.store.commit(changes).await?;
    }
    Ok(())
}

//! Has one pod work on the policies: checks them every hour and when an operator asks, and performs their acts.
//!
//! Invariants: what is stored is fenced by the lease of the scope. A policy whose act fails is tried again later, ever
//! more rarely, and says why; the others go on.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Instant};

use ahash::AHashMap;
use http::StatusCode;
use serde_json::{Value, json};
use store::{Change, IndexRecord, NewTask, Record, StoreError, Table, TaskKind, TaskStatus};
use time::{Duration, OffsetDateTime};

use crate::{
    api::{
        alias::{ALIASES, Alias},
        error::{ApiError, Code},
        rollover::policy::{POLICIES, Phase, Policy},
        settings::SettingsChange,
    },
    clock,
    config::limits,
    lifecycle::rollover::{
        measure,
        steps::{self, Act, Seen, Size},
    },
    observe::log,
    operations::{self, Operation, Status},
    state::{
        aliases,
        change::Action,
        core::Core,
        leadership::{Term, scope},
        snapshot::publish,
    },
    wire::runtime,
    write::{lane, tasks::status},
};

/// The metadata of the tasks that policies make, which clients see.
pub(crate) const ROLLOVER: &str = "miroir-rollover";
/// The kind of operation with which an operator asks for a check.
pub(crate) const KIND: &str = "rollover";
/// The table with the record that says when all policies were checked last.
const CHECKS: Table = Table::named("rollover_checks");
const LAST: &str = "last";

/// When a policy that has failed is tried again, and how often it has failed.
#[derive(Default)]
pub(crate) struct Retries(RefCell<AHashMap<String, (Instant, u32)>>);

/// A policy as it is stored.
struct Stored {
    policy: Policy,
    revision: u64,
}

/// Works on every policy that has something to do.
pub(crate) async fn look(core: &Rc<Core>, retries: &Retries) {
    let Some(term) = core.shared.coordinator.term(scope::ROLLOVER) else { return };
    let store = &core.shared.store;
    let Ok(records) = store.records(POLICIES, None, limits::ROLLOVER_POLICIES_MAX).await else { return };
    if records.is_empty() {
        return fail_orphans(core).await;
    }
    let Ok(mark) = store.record(CHECKS, LAST).await else { return };
    let mut policies = records.into_iter().filter_map(read).collect::<Vec<_>>();
    let is_due = is_due(mark.as_ref(), clock::utc());
    let Ok(asked) = asked(core).await else { return };
    // Those that had no turn at the last check come first.
    policies.sort_by_key(|stored| stored.policy.last_check);
    retries.0.borrow_mut().retain(|name, _| policies.iter().any(|stored| stored.policy.name == *name));
    let mut begun = 0;
    for mut stored in policies {
        let name = stored.policy.name.clone();
        let is_asked = asked.iter().any(|operation| {
            operation.about["policy"] == name.as_str() && operation.status == Status::Queued
        });
        let checks = is_asked || (is_due && begun < limits::ROLLOVERS_PER_CHECK_MAX);
        let was_resting = stored.policy.phase == Phase::Resting;
        let worked = match waits(retries, &name) {
            true => Ok(false),
            false => work(core, &term, &mut stored, checks).await,
        };
        begun += usize::from(was_resting && stored.policy.phase != Phase::Resting);
        note(core, &term, retries, &mut stored, worked.as_ref().err()).await;
        end_asked(core, &asked, &stored.policy, &worked).await;
    }
    fail_orphans(core).await;
    if is_due {
        let (key, value) = (LAST.to_owned(), json!({"at": clock::utc().unix_timestamp()}));
        let expected_revision = mark.map(|mark| mark.revision);
        let put = Change::PutRecord { table: CHECKS, key, value, expected_revision };
        if let Err(error) = core.shared.commit_by(&term, vec![put]).await {
            log::warn("rollover_check_not_stored", &[("reason", &error.to_string())]);
        }
    }
}

fn read(record: Record) -> Option<Stored> {
    match serde_json::from_value(record.value) {
        Ok(policy) => Some(Stored { policy, revision: record.revision }),
        Err(error) => {
            log::error(
                "rollover_policy_unreadable",
                &[("policy", &record.key), ("reason", &error.to_string())],
            );
            None
        }
    }
}

fn is_due(mark: Option<&Record>, now: OffsetDateTime) -> bool {
    let last = mark.and_then(|mark| mark.value["at"].as_i64());
    let interval = i64::try_from(limits::ROLLOVER_CHECK_INTERVAL.as_secs()).unwrap_or(i64::MAX);
    // A clock that was set back must not put checks off for longer than one interval.
    last.is_none_or(|last| (now.unix_timestamp() - last).abs() >= interval)
}

fn waits(retries: &Retries, name: &str) -> bool {
    retries.0.borrow().get(name).is_some_and(|(until, _)| runtime::now() < *until)
}

/// Performs a policy's acts until it has to wait for something; gives whether its triggers were checked.
async fn work(core: &Rc<Core>, term: &Term, stored: &mut Stored, checks: bool) -> Result<bool, ApiError> {
    let mut has_checked = false;
    for _ in 0..limits::ROLLOVER_ACTS_MAX {
        let is_resting = stored.policy.phase == Phase::Resting;
        let size = match checks && is_resting && !has_checked {
            true => Some(measured(core, &stored.policy).await?),
            false => None,
        };
        let act = with_seen(core, &stored.policy, size, |seen| steps::next(&stored.policy, seen)).await?;
        if act == Act::Wait {
            break;
        }
        has_checked |= size.is_some();
        perform(core, term, stored, act).await?;
        // The policy is no more.
        if stored.policy.phase == Phase::Leaving {
            break;
        }
    }
    Ok(has_checked)
}

/// The size of the index that a policy's clients write to.
async fn measured(core: &Core, policy: &Policy) -> Result<Size, ApiError> {
    let snapshot = core.shared.snapshot();
    match policy.generations.last().and_then(|one| snapshot.indexes.get(&one.index)) {
        Some(index) => measure::size(core, &snapshot, index).await,
        None => Ok(Size::default()),
    }
}

/// Looks at the cluster as a policy sees it.
async fn with_seen<T>(
    core: &Core,
    policy: &Policy,
    size: Option<Size>,
    look: impl FnOnce(&Seen<'_>) -> T,
) -> Result<T, ApiError> {
    let task = match &policy.phase {
        Phase::Configuring { task: Some(uid), .. } => task_status(core, *uid).await?,
        Phase::Configuring { task: None, .. }
        | Phase::Resting
        | Phase::Creating { .. }
        | Phase::Flipping { .. }
        | Phase::Abandoning { .. }
        | Phase::Deleting { .. }
        | Phase::Leaving => None,
    };
    let (write_alias, read_alias) =
        (alias(core, &policy.write_alias).await?, alias(core, &policy.read_alias).await?);
    let snapshot = core.shared.snapshot();
    let indexes: BTreeMap<String, IndexRecord> =
        snapshot.indexes.iter().map(|(uid, index)| (uid.clone(), index.record.clone())).collect();
    let is_name_used =
        |name: &str| snapshot.indexes.contains_key(name) || snapshot.aliases.contains_key(name);
    let unreadable = |names: &[String]| aliases::unreadable(&policy.read_alias, names, &snapshot.indexes);
    Ok(look(&Seen {
        now: clock::utc(),
        indexes: &indexes,
        is_name_used: &is_name_used,
        write_alias: write_alias.map(|(alias, _)| alias),
        read_alias: read_alias.map(|(alias, _)| alias),
        task,
        size,
        unreadable: &unreadable,
        search_max: Duration::try_from(core.shared.config.request_timeout).unwrap_or(Duration::MINUTE),
    }))
}

/// A new policy as it takes over the aliases that are there, and these aliases.
///
/// # Errors
/// 409 where it cannot take them over; else the store's error.
pub(crate) async fn adopt(core: &Core, policy: &Policy) -> Result<(Policy, Vec<Alias>), ApiError> {
    let adopted = with_seen(core, policy, None, |seen| steps::adopt(policy, seen)).await?;
    adopted.map_err(|reason| {
        ApiError::new(Code::MiroirRolloverPolicyConflict, format!("Policy refused: {reason}."))
    })
}

/// What a check would do, without doing it.
///
/// # Errors
/// Those of the questions to nodes and to the store.
pub(crate) async fn forecast(core: &Core, policy: &Policy) -> Result<Value, ApiError> {
    let size = measured(core, policy).await?;
    with_seen(core, policy, Some(size), |seen| steps::forecast(policy, seen, size)).await
}

async fn task_status(core: &Core, uid: u32) -> Result<Option<TaskStatus>, ApiError> {
    match core.shared.store.task(uid).await? {
        Some(task) => Ok(Some(status::refresh(core, task).await.status)),
        None => Ok(None),
    }
}

/// An alias as it is stored, with its revision.
async fn alias(core: &Core, name: &str) -> Result<Option<(Alias, u64)>, ApiError> {
    let unreadable = |_| ApiError::new(Code::Internal, "A stored alias cannot be read.");
    let Some(record) = core.shared.store.record(ALIASES, name).await? else { return Ok(None) };
    Ok(Some((serde_json::from_value(record.value).map_err(unreadable)?, record.revision)))
}

async fn perform(core: &Rc<Core>, term: &Term, stored: &mut Stored, act: Act) -> Result<(), ApiError> {
    match act {
        Act::Wait => Ok(()),
        Act::Store(policy) => put(core, term, stored, *policy).await,
        Act::Create { index, primary_key } => {
            let details = json!({"primaryKey": primary_key});
            let task = new_task(&index, TaskKind::IndexCreation, details);
            lane::submit(core, &index, task, Action::CreateIndex { primary_key }).await.map(drop)
        }
        Act::Configure { index, settings } => {
            let change = SettingsChange::Whole(settings);
            let task = new_task(&index, TaskKind::SettingsUpdate, change.details());
            let action = Action::ChangeSettings(change).on_existing();
            let phase = match lane::submit(core, &index, task, action).await {
                Ok(accepted) => Phase::Configuring { index, task: Some(accepted.record.uid) },
                // What nodes refuse they refuse again.
                Err(error) if error.status().is_client_error() => {
                    let reason = format!(
                        "the settings of a new index are refused: {}",
                        error.into_task_error().message
                    );
                    Phase::Abandoning { index, reason }
                }
                Err(error) => return Err(error),
            };
            put(core, term, stored, Policy { phase, ..stored.policy.clone() }).await
        }
        Act::Flip { policy, aliases } => flip(core, term, stored, *policy, aliases).await,
        Act::Delete { index } => delete(core, term, stored, index).await,
        Act::Forget => {
            let (table, key) = (POLICIES, stored.policy.name.clone());
            core.shared.commit_by(term, vec![Change::ForgetRecord { table, key }]).await?;
            Ok(())
        }
    }
}

fn new_task(index: &str, kind: TaskKind, details: Value) -> NewTask {
    NewTask {
        index_uid: Some(index.to_owned()),
        named: None,
        kind,
        accepted: false,
        details: Some(details),
        custom_metadata: Some(ROLLOVER.to_owned()),
        enqueued_at: clock::utc(),
        owners: Vec::new(),
        idempotency_key: None,
    }
}

fn put_policy(stored: &Stored, policy: &Policy) -> Change {
    Change::PutRecord {
        table: POLICIES,
        key: policy.name.clone(),
        value: json!(policy),
        expected_revision: Some(stored.revision),
    }
}

async fn put(core: &Core, term: &Term, stored: &mut Stored, policy: Policy) -> Result<(), ApiError> {
    let revisions = core.shared.commit_by(term, vec![put_policy(stored, &policy)]).await?;
    *stored = Stored { policy, revision: revisions[0] };
    Ok(())
}

/// Makes a policy and its aliases durable in one commit, then visible.
async fn flip(
    core: &Core,
    term: &Term,
    stored: &mut Stored,
    policy: Policy,
    changed: Vec<Alias>,
) -> Result<(), ApiError> {
    // No index is made under the name of an alias meanwhile.
    let _hold = lane::lock(core, changed.iter().map(|alias| alias.name.as_str()).collect()).await?;
    let mut changes = vec![put_policy(stored, &policy)];
    for one in &changed {
        let known = alias(core, &one.name).await?;
        if known.is_none() && core.shared.snapshot().indexes.contains_key(&one.name) {
            return Err(StoreError::Conflict.into());
        }
        let expected_revision = known.map(|(_, revision)| revision);
        let (key, value) = (one.name.clone(), json!(one));
        changes.push(Change::PutRecord { table: ALIASES, key, value, expected_revision });
    }
    let revisions = core.shared.commit_by(term, changes).await?;
    publish(&core.shared.snapshot, |snapshot| {
        let pairs = changed.iter().zip(&revisions[1..]);
        pairs.fold(snapshot.clone(), |snapshot, (alias, revision)| snapshot.with_alias(alias, *revision))
    });
    let rolled_over = policy.last_rollover != stored.policy.last_rollover;
    *stored = Stored { policy, revision: revisions[0] };
    if rolled_over {
        let name = &stored.policy.name;
        let index = stored.policy.generations.last().map_or("", |one| one.index.as_str());
        log::info("rolled_over", &[("policy", name), ("index", index)]);
        metrics::counter!("miroir_rollover_events_total", "policy" => name.clone()).increment(1);
    }
    Ok(())
}

async fn delete(core: &Rc<Core>, term: &Term, stored: &mut Stored, index: String) -> Result<(), ApiError> {
    let snapshot = core.shared.snapshot();
    if let Phase::Abandoning { reason, .. } = &stored.policy.phase
        && let Some(found) = snapshot.indexes.get(&index)
        && measure::size(core, &snapshot, found).await?.documents > 0
    {
        // Somebody has written to it meanwhile: it stays, as an index like any other.
        let last_error = Some(reason.clone());
        return put(
            core,
            term,
            stored,
            Policy { phase: Phase::Resting, last_error, ..stored.policy.clone() },
        )
        .await;
    }
    let task = new_task(&index, TaskKind::IndexDeletion, json!({"deletedDocuments": null}));
    lane::submit(core, &index, task, Action::DeleteIndex).await?;
    if matches!(stored.policy.phase, Phase::Deleting { .. }) {
        let name = &stored.policy.name;
        log::info("rolled_out", &[("policy", name), ("index", &index)]);
        metrics::counter!("miroir_rollover_deleted_indexes_total", "policy" => name.clone()).increment(1);
    }
    Ok(())
}

/// Notes what became of a policy: for its next turn, for operators and for metrics.
#[allow(clippy::cast_precision_loss, reason = "a date in seconds and a short list, for people")]
async fn note(core: &Core, term: &Term, retries: &Retries, stored: &mut Stored, failure: Option<&ApiError>) {
    let name = stored.policy.name.clone();
    let rollover = stored.policy.last_rollover.map_or(0, OffsetDateTime::unix_timestamp);
    metrics::gauge!("miroir_rollover_active_indexes", "policy" => name.clone())
        .set(stored.policy.generations.len() as f64);
    metrics::gauge!("miroir_rollover_last_action_seconds", "policy" => name.clone()).set(rollover as f64);
    let Some(failure) = failure else {
        retries.0.borrow_mut().remove(&name);
        return;
    };
    let message = failure.clone().into_task_error().message;
    log::warn("rollover_failed", &[("policy", &name), ("reason", &message)]);
    metrics::counter!("miroir_rollover_failures_total", "policy" => name.clone()).increment(1);
    let failures = retries.0.borrow().get(&name).map_or(0, |(_, failures)| *failures);
    let pause =
        limits::ROLLOVER_RETRY_MIN.saturating_mul(1 << failures.min(16)).min(limits::ROLLOVER_RETRY_MAX);
    retries.0.borrow_mut().insert(name, (runtime::now() + pause, failures.saturating_add(1)));
    if stored.policy.last_error.as_ref() != Some(&message) {
        let policy = Policy { last_error: Some(message), ..stored.policy.clone() };
        // The next turn says it again.
        let _ = put(core, term, stored, policy).await;
    }
}

/// The checks that operators have asked for and that have not ended.
async fn asked(core: &Core) -> Result<Vec<Operation>, StoreError> {
    let mut all = operations::all(&core.shared).await?;
    all.retain(|operation| operation.kind == KIND && !operation.status.has_ended());
    Ok(all)
}

/// Ends the operations that asked for a policy's check once its rollover is done, or has failed.
async fn end_asked(core: &Core, asked: &[Operation], policy: &Policy, worked: &Result<bool, ApiError>) {
    for operation in asked.iter().filter(|operation| operation.about["policy"] == policy.name.as_str()) {
        let mut operation = operation.clone();
        let is_queued = operation.status == Status::Queued;
        match (worked, &policy.phase) {
            // Nodes are away, or join just now: it is tried again.
            (Err(failure), _) if failure.status() == StatusCode::SERVICE_UNAVAILABLE => continue,
            (Err(failure), _) => {
                let message = failure.clone().into_task_error().message;
                operation.become_(Status::Failed, Some(message));
            }
            // It waits for its turn.
            (Ok(false), _) if is_queued => continue,
            // What is deleted a minute later was asked for, and needs nobody to wait.
            (Ok(_), Phase::Resting | Phase::Deleting { .. }) => match &policy.last_error {
                Some(reason) => operation.become_(Status::Failed, Some(reason.clone())),
                None => operation.become_(Status::Succeeded, None),
            },
            (Ok(_), _) if !is_queued => continue,
            (Ok(_), _) => operation.become_(Status::Running, None),
        }
        operation.phase = policy.phase.name().to_owned();
        if let Err(error) = operations::put(&core.shared, &mut operation).await {
            log::warn("operation_not_stored", &[("reason", &error.to_string())]);
        }
    }
}

/// Ends the operations about policies that are no more.
async fn fail_orphans(core: &Core) {
    let Ok(asked) = asked(core).await else { return };
    for mut operation in asked {
        let name = operation.about["policy"].as_str().unwrap_or_default().to_owned();
        if let Ok(None) = core.shared.store.record(POLICIES, &name).await {
            operation.become_(Status::Failed, Some(format!("the policy `{name}` was deleted")));
            // The next turn does it again.
            let _ = operations::put(&core.shared, &mut operation).await;
        }
    }
}

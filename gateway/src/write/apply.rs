//! Applies one change of a lane to registry, nodes and task record, in an order that survives a kill between any two
//! steps.
//!
//! Invariants: a crash leaves at worst an intent, which `jobs::recover_intents` finishes. A client is answered after
//! its node tasks, and hints of what nodes missed, are durable. What a change does to an index stands in `index_life`.

use std::{rc::Rc, sync::Arc};

use http::Method;
use store::{Change, NodeTask, Reply, StoreError, TaskChange, TaskRecord, TaskStatus};

use crate::{
    api::error::{ApiError, Code},
    clock,
    config::limits,
    observe::{lane_spans::Turn, log},
    state::{
        change::{Accepted, Action, Client, Outcome},
        core::Core,
        snapshot::Index,
    },
    wire::runtime,
    write::{
        changes as told,
        fanout::{self, Missed, NodeCommand},
        idempotency, index_life,
        tasks::status::registry_end,
        tombstones, trial,
    },
};

/// Applies one change and answers the client.
pub(crate) async fn apply(
    core: &Rc<Core>,
    index_uid: String,
    action: Action,
    intent: Reply<TaskRecord>,
    client: Client,
) {
    let task = match intent.await {
        Ok(task) => task,
        Err(error) => return client.send(Err(error.into())),
    };
    if !matches!(action, Action::ChangeSettings(_) | Action::DeleteIndex)
        && let Some(error) = refusal_while_blocked(core, &index_uid)
    {
        discard(core, &task).await;
        return client.send(Err(error));
    }
    let mut missed = Missed::new(core, task.uid);
    if let Some(draft) = told::draft_of(core, &index_uid, &action) {
        match told::note(core, &index_uid, vec![(&task, draft)]).await {
            Ok(noted) => missed.noted = noted,
            Err(error) => {
                discard(core, &task).await;
                return client.send(Err(error));
            }
        }
    }
    let (uid, changes_registry) = (task.uid, action.changes_registry());
    let tombstones = tombstones_of(core, &index_uid, (&action, uid));
    let performed = perform(core, &index_uid, task.uid, action, &mut missed);
    let performed = match Turn::begin(&index_uid, client.traced().cloned().into_iter().collect(), 1) {
        None => performed.await,
        Some(turn) => {
            let performed = core.within(turn.trace(), performed).await;
            turn.end();
            performed
        }
    };
    let outcome = match performed {
        Ok(node_tasks) => {
            missed.commit_with(tombstones);
            Outcome::Taken(node_tasks)
        }
        Err(outcome) => outcome,
    };
    let is_watched = changes_registry && matches!(outcome, Outcome::Taken(_));
    finish(core, vec![(task, client, outcome)], missed).await;
    if is_watched {
        registry_end::watch(core, uid);
    }
}

/// The tombstones of a deletion, with the clock of its place in the lane.
fn tombstones_of(core: &Core, index_uid: &str, (action, task): (&Action, u32)) -> Vec<Change> {
    if !core.shared.config.anti_entropy {
        return Vec::new();
    }
    let snapshot = core.shared.snapshot();
    match (action.erases(), snapshot.indexes.get(index_uid)) {
        (Some(erased), Some(index)) => {
            let clock = core.shared.clock.next();
            let copies = [Some(index), index.twin.as_ref()];
            let of =
                |copy: &Arc<Index>| tombstones::of_deletion(&copy.record.node_uid, (clock, task), &erased);
            copies.into_iter().flatten().flat_map(of).collect()
        }
        (_, _) => Vec::new(),
    }
}

/// The reason why an index takes no documents now, if there is one.
pub(crate) fn refusal_while_blocked(core: &Core, index_uid: &str) -> Option<ApiError> {
    let snapshot = core.shared.snapshot();
    let index = snapshot.indexes.get(index_uid)?;
    core.shared.write_blocks.contains(&index.record.node_uid).then(|| {
        let message =
            "The settings of this index differ between nodes; it takes writes again once they are equal.";
        ApiError::new(Code::MiroirNoQuorum, message)
    })
}

/// Makes outcomes durable, together with what nodes missed, and answers the clients. The lane goes on while the store
/// syncs.
pub(crate) async fn finish(
    core: &Rc<Core>,
    outcomes: Vec<(TaskRecord, Client, Outcome)>,
    mut missed: Missed,
) {
    let mut changes = Vec::with_capacity(outcomes.len());
    let mut clients = Vec::with_capacity(outcomes.len());
    let mut refused = Vec::new();
    let degraded = missed.degraded.header();
    let mut noted = std::mem::take(&mut missed.noted);
    for (task, client, outcome) in outcomes {
        let own = noted.iter().position(|noted| noted.task == task.uid).map(|at| noted.swap_remove(at));
        let change = match outcome {
            Outcome::Taken(node_tasks) => {
                changes.extend(own.into_iter().flat_map(|noted| told::confirmed(&core.shared, &noted)));
                accepted_change(node_tasks)
            }
            Outcome::Failed(error) => {
                changes.extend(own.map(|noted| told::dropped(noted.task)));
                failed_change(error)
            }
            Outcome::Refused(error) => {
                refused.push((task, client, error));
                continue;
            }
        };
        changes.push(Change::UpdateTask { uid: task.uid, change: Box::new(change) });
        clients.push((task, client));
    }
    changes.extend(missed.take());
    if !changes.is_empty() {
        let has_key = clients.iter().any(|(task, _)| task.idempotency_key.is_some());
        let unknown = has_key.then(|| (Rc::clone(core), changes.clone()));
        let (begun, latency) = (runtime::now(), core.metrics.store_latency.clone());
        let begun_at = clients.iter().any(|(_, client)| client.traced().is_some()).then(clock::wall);
        let committed = fanout::commit(core, changes).await;
        runtime::spawn(async move {
            let stored = committed.await;
            latency.record(runtime::now().saturating_duration_since(begun).as_secs_f64());
            for (record, client) in clients {
                let degraded = degraded.clone();
                let answer = stored.as_ref().map(|_| Accepted { record, degraded });
                if let (Some(traced), Some(begun)) = (client.traced(), begun_at) {
                    traced.add_step("commit", begun, Vec::new());
                }
                client.send(answer.map_err(|error| error.clone().into()));
            }
            if let (Err(StoreError::Unreachable(_)), Some((core, changes))) = (stored, unknown) {
                commit_until_known(&core, changes).await;
            }
        });
    }
    for (task, client, error) in refused {
        discard(core, &task).await;
        client.send(Err(error));
    }
}

/// Repeats a commit that failed because the store is out of reach, until its outcome is known: idempotency keys of
/// clients wait for it. It takes effect once, since it expects the intents' revisions.
async fn commit_until_known(core: &Core, mut changes: Vec<Change>) {
    const INTENT_REVISION: u64 = 1;
    for change in &mut changes {
        if let Change::UpdateTask { change, .. } = change {
            change.expected_revision = Some(INTENT_REVISION);
        }
    }
    loop {
        runtime::sleep(limits::UNSETTLED_COMMIT_INTERVAL).await;
        match core.shared.store.commit(changes.clone()).await {
            Err(StoreError::Unreachable(_) | StoreError::Overloaded) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// The change of a task that is accepted and has failed at once.
pub(crate) fn failed_change(error: ApiError) -> TaskChange {
    let now = clock::utc();
    TaskChange {
        accepted: Some(true),
        status: Some(TaskStatus::Failed),
        error: Some(error.into_task_error()),
        started_at: Some(now),
        finished_at: Some(now),
        ..TaskChange::default()
    }
}

pub(crate) fn accepted_change(node_tasks: Vec<NodeTask>) -> TaskChange {
    let mut change = TaskChange { accepted: Some(true), ..TaskChange::default() };
    if node_tasks.is_empty() {
        // No node has anything to do, as with an empty list of documents.
        let now = clock::utc();
        change.status = Some(TaskStatus::Succeeded);
        change.started_at = Some(now);
        change.finished_at = Some(now);
    }
    change.node_tasks = Some(node_tasks);
    change
}

/// Removes the intent of a refused change, which never became a task.
pub(crate) async fn discard(core: &Core, task: &TaskRecord) {
    let now = clock::utc();
    let change =
        TaskChange { status: Some(TaskStatus::Canceled), finished_at: Some(now), ..TaskChange::default() };
    let mut changes = vec![Change::UpdateTask { uid: task.uid, change: Box::new(change) }];
    changes.extend(idempotency::release_key(task));
    changes.extend(core.shared.config.cdc.on.then(|| told::dropped(task.uid)));
    let discarded = match core.shared.store.commit(changes).await {
        Ok(_) => core.shared.store.delete_tasks(vec![task.uid]).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = discarded {
        log::warn("intent_not_discarded", &[("task", &task.uid.to_string()), ("reason", &error.to_string())]);
    }
}

async fn perform(
    core: &Core,
    uid: &str,
    task_uid: u32,
    action: Action,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, Outcome> {
    match action {
        Action::AddDocuments(_) => unreachable!("lanes hand documents to `batch`"),
        Action::DeleteDocuments { parts, cut_for, twin } => {
            let index = index_life::existing(core, uid)?;
            if !fanout::is_cut_for(&cut_for, twin.as_ref(), &index) {
                return Err(Outcome::Refused(fanout::cut_for_others()));
            }
            let (method, suffix) = (&Method::POST, "/documents/delete-batch");
            let target = format!("/indexes/{}{suffix}", index.record.node_uid);
            let command = NodeCommand {
                index: &index.record.node_uid,
                method,
                target: &target,
                validated: false,
                once: false,
            };
            let snapshot = core.shared.snapshot();
            let quorum = fanout::quorum(core, &snapshot, &index.placement);
            let sent = fanout::send(core, &quorum, &command, &parts, missed).await;
            let node_tasks = sent.map_err(Outcome::Refused)?;
            if let Some(cut) = twin {
                fanout::repeat(core, &index, (method, suffix, false), &cut.parts, missed).await;
            }
            Ok(node_tasks)
        }
        Action::OnEveryNode { method, suffix, body, repetition } => {
            let index = index_life::existing(core, uid)?;
            if suffix == "/documents/edit" {
                trial::rehearse(core, &index, &body).await?;
            }
            let request = (&method, suffix, body);
            fanout::send_to_all(core, &index, request, repetition, missed).await.map_err(Outcome::Refused)
        }
        Action::CreateIndex { primary_key } => index_life::create_index(core, uid, primary_key, missed).await,
        Action::DeleteIndex => index_life::delete_index(core, uid, missed).await,
        Action::ChangeSettings(change) => {
            let index = index_life::ensure_index(core, uid, missed).await?;
            let waited = registry_end::wait_for_settings(core, uid, limits::SETTINGS_AHEAD_MAX - 1).await;
            let index = waited.map_err(Outcome::Refused)?.unwrap_or(index);
            index_life::change_settings(core, &index, &change, missed).await
        }
        Action::OnExisting(action) => {
            index_life::existing(core, uid)?;
            Box::pin(perform(core, uid, task_uid, *action, missed)).await
        }
        Action::Fail(error) => {
            // As on one node, a first write makes the index even when its documents are wrong.
            index_life::ensure_index(core, uid, missed).await?;
            Err(Outcome::Failed(error))
        }
    }
}

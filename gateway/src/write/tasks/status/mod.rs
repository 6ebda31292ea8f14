//! Gathers the status of the gateway's tasks from their node tasks, when a client asks.
//!
//! Invariants: nodes are never asked again about a task that has ended. A status is durable before a client sees the
//! task ended. While no client polls, the only cost is the periodic sweep. A task ends without a node only while that
//! node serves no reads, and the node does its part before it serves again.

pub(crate) mod registry_end;

use std::{collections::BTreeMap, time::Instant};

use ahash::AHashMap;
use futures_util::future::join_all;
use http::Method;
use router::{NodeIndex, ShardSet};
use serde_json::{Value, json};
use store::{Change, NodeTask, TaskChange, TaskError, TaskKind, TaskRecord, TaskStatus};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{
        documents::edit_function,
        embedder_templates::unguarded,
        error::{ApiError, rename_index},
        tasks::view,
    },
    clock,
    config::limits,
    nodes::{health::NodeState, hints, pool::NodeRequest},
    state::core::Core,
    wire::runtime,
    write::{
        changes::{self as told, Noted},
        tasks::status::registry_end::LaneState,
    },
};

/// Asks the nodes about one task and stores what changed.
pub(crate) async fn refresh(core: &Core, record: TaskRecord) -> TaskRecord {
    refresh_within(core, record, LaneState::Free).await
}

/// The same for a caller that may have locked the lane of the task's index.
pub(crate) async fn refresh_within(core: &Core, record: TaskRecord, lane: LaneState) -> TaskRecord {
    if record.status.is_finished() || !record.accepted {
        return record;
    }
    let seen = poll(core, &record).await;
    // A request that asks for no task does not carry what this needs.
    Box::pin(apply_states(core, record, &seen, lane)).await
}

/// What the nodes report about one task now.
pub(crate) async fn poll(core: &Core, record: &TaskRecord) -> NodeTaskStates {
    let waiting = record.node_tasks.iter().filter(|task| !task.status.is_finished());
    let pending = waiting.map(|task| async move {
        let node = core.shared.snapshot().topology.index_of(&task.node)?;
        let seen = ask_about(core, node, &format!("/tasks/{}", task.uid)).await?;
        Some(((task.node.clone(), task.uid), seen))
    });
    join_all(pending).await.into_iter().flatten().collect()
}

/// Brings the status of every unfinished task up to date, unless this was done a moment ago.
pub async fn refresh_unfinished(core: &Core) -> Result<(), ApiError> {
    let now = runtime::now();
    let fresh = |last: Instant| now.saturating_duration_since(last) < limits::TASK_LIST_AGE_MAX;
    if core.tasks_refreshed.get().is_some_and(fresh) {
        return Ok(());
    }
    core.tasks_refreshed.set(Some(now));
    let mut records = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await?;
    records.retain(|record| record.accepted);
    refresh_all(core, records).await;
    Ok(())
}

/// Waits until all of these tasks (uids ascending) have ended, or for as long as a client may have to wait.
pub(crate) async fn wait_for(core: &Core, uids: &[u32]) -> Result<(), ApiError> {
    let deadline = runtime::now() + limits::TASK_DELETION_WAIT_MAX;
    loop {
        let mut records = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await?;
        records.retain(|record| record.accepted && uids.binary_search(&record.uid).is_ok());
        let refreshed = refresh_all(core, records).await;
        if refreshed.iter().all(|record| record.status.is_finished()) || runtime::now() >= deadline {
            return Ok(());
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// Asks the nodes about many tasks at once and stores what changed.
pub(crate) async fn refresh_all(core: &Core, records: Vec<TaskRecord>) -> Vec<TaskRecord> {
    refresh_all_within(core, records, LaneState::Free).await
}

/// The same for a caller that may have locked the lanes of the tasks' indexes.
pub(crate) async fn refresh_all_within(
    core: &Core,
    records: Vec<TaskRecord>,
    lane: LaneState,
) -> Vec<TaskRecord> {
    let mut by_node: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for task in records.iter().flat_map(|record| &record.node_tasks) {
        if !task.status.is_finished() {
            by_node.entry(&task.node).or_default().push(task.uid);
        }
    }
    let pending = by_node.iter().map(|(node, uids)| ask_about_many(core, node, uids));
    let seen = join_all(pending).await.into_iter().flatten().collect::<AHashMap<_, _>>();
    join_all(records.into_iter().map(|record| apply_states(core, record, &seen, lane))).await
}

/// The nodes' reports about their tasks, by node id and the node's task uid.
pub(crate) type NodeTaskStates = AHashMap<(String, u32), Value>;

pub(crate) async fn ask_about(core: &Core, node: NodeIndex, target: &str) -> Option<Value> {
    let request = NodeRequest { method: Method::GET, ..NodeRequest::get(target) };
    if !core.shared.nodes.health.state(node).takes_writes() {
        return None;
    }
    let limit = core.shared.config.node_timeout.min(limits::TASK_QUESTION_TIMEOUT);
    let answer = core.pools.ask(node, request, limit).await.ok()?;
    answer.status.is_success().then(|| serde_json::from_slice(&answer.body).ok())?
}

async fn ask_about_many(core: &Core, node_id: &str, uids: &[u32]) -> NodeTaskStates {
    let mut seen = NodeTaskStates::new();
    let Some(node) = core.shared.snapshot().topology.index_of(node_id) else { return seen };
    for chunk in uids.chunks(limits::TASKS_PER_NODE_QUESTION) {
        let list = chunk.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let target = format!("/tasks?limit={}&uids={list}", chunk.len());
        let Some(Value::Object(mut page)) = ask_about(core, node, &target).await else { break };
        let Some(Value::Array(tasks)) = page.remove("results") else { break };
        for task in tasks {
            if let Some(uid) = task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok()) {
                seen.insert((node_id.to_owned(), uid), task);
            }
        }
    }
    seen
}

/// Takes the nodes' reports into a record; a change of status is stored before it is returned.
async fn apply_states(
    core: &Core,
    mut record: TaskRecord,
    seen: &NodeTaskStates,
    lane: LaneState,
) -> TaskRecord {
    if record.status.is_finished() || (view::ends_here(&record) && record.kind != TaskKind::TaskCancelation) {
        return record;
    }
    let times = fold(&mut record, seen);
    let status = status(core, &record);
    if record.kind == TaskKind::TaskCancelation && status.is_finished() {
        // Its targets are brought up to date first, by this same function.
        return Box::pin(end_cancelation(core, record, times)).await;
    }
    if status == record.status {
        return record;
    }
    let left = match status.is_finished() {
        true => leave_behind(core, &record),
        false => Some(Vec::new()),
    };
    let Some(left) = left else { return record };
    if status.is_finished() && !registry_end::settle(core, &record, status, lane).await {
        return record;
    }
    // Nodes have done the task and no client knows yet: clients that will know must not share a search under way.
    core.shared.note_task_end();
    let change = ended(&record, status, &times, share(core, &record));
    if status.is_finished() {
        metrics::counter!("miroir_tasks_total", "status" => status.as_str()).increment(1);
    }
    let undone = undone(core, &record, &change);
    if left.is_empty() && undone.is_none() && !is_partially_applied(&record, status) {
        return store_change(core, record, change).await;
    }
    let mut changes = vec![Change::UpdateTask { uid: record.uid, change: Box::new(change) }];
    changes.extend(left);
    changes.extend(undone.iter().map(Noted::append));
    if is_partially_applied(&record, status) {
        changes.extend(suspects(core, &record));
    }
    // If another core or pod stored the end at the same time, that one is as good, and has told it.
    if core.shared.store.commit(changes).await.is_ok()
        && let Some(undone) = undone
    {
        undone.count(&core.shared);
    }
    core.shared.store.task(record.uid).await.ok().flatten().unwrap_or(record)
}

/// What the stream of changes is told of a task that ends otherwise than it said when the task was accepted.
pub(crate) fn undone(core: &Core, record: &TaskRecord, change: &TaskChange) -> Option<Noted> {
    let not_done = record.node_tasks.iter().filter(|task| task.status != TaskStatus::Succeeded);
    let shards = not_done.fold(ShardSet::new(), |all, task| all.union(&concerned(core, record, &task.node)));
    told::undone(core, record, change, &shards)
}

/// Ends a cancelation whose node tasks have ended, once its targets are up to date.
async fn end_cancelation(core: &Core, record: TaskRecord, times: Times) -> TaskRecord {
    let mut canceled = 0;
    for chunk in record.targets.chunks(limits::TASKS_CHANGED_AT_ONCE) {
        let read = join_all(chunk.iter().map(|uid| core.shared.store.task(*uid))).await;
        let targets = read.into_iter().filter_map(|target| target.ok().flatten()).collect();
        let targets = refresh_all(core, targets).await;
        canceled += targets.iter().filter(|target| target.canceler() == Some(record.uid)).count();
    }
    let mut change = ended(&record, TaskStatus::Succeeded, &times, Share::whole(&record));
    change.error = None;
    change.details = Some(view::with_member(record.details.as_ref(), "canceledTasks", canceled));
    store_change(core, record, change).await
}

/// The status that a record's node tasks add up to. Those of nodes that are away do not count where other nodes have
/// done the same work.
pub(crate) fn status(core: &Core, record: &TaskRecord) -> TaskStatus {
    let away = away(core, record);
    let there = record
        .node_tasks
        .iter()
        .filter(|task| !away.iter().any(|away| away.uid == task.uid && away.node == task.node));
    overall_status(&there.cloned().collect::<Vec<_>>())
}

/// Lets a task end without the nodes that are away; gives what is to be committed with its end. `None` when one of
/// them is back by now.
pub(crate) fn leave_behind(core: &Core, record: &TaskRecord) -> Option<Vec<Change>> {
    let topology = &core.shared.snapshot().topology;
    let away = away(core, record);
    let mut changes = Vec::new();
    for task in &away {
        // Nothing is asked any more of a node that was removed.
        let Some(node) = topology.index_of(&task.node) else { continue };
        // The node is told to await the task before its state is checked again. The rejoin does these two the other
        // way round, so that one of the two sides notices.
        if core.shared.nodes.hints.await_task(node, task.uid) {
            changes.push(hints::unapplied(&task.node, task.uid));
        }
    }
    let still =
        away.iter().all(|task| topology.index_of(&task.node).is_none_or(|node| !is_awaited(core, node)));
    still.then_some(changes)
}

/// Whether tasks wait for this node.
fn is_awaited(core: &Core, node: NodeIndex) -> bool {
    match core.shared.nodes.health.state(node) {
        NodeState::Down => false,
        NodeState::Joining => core.shared.nodes.hints.is_caught_up(node),
        NodeState::Unknown | NodeState::Healthy | NodeState::Suspect | NodeState::Draining => true,
    }
}

/// The unfinished node tasks that a task's end does not wait for: those of nodes that are away, if other owners have
/// done their part for each of the shards.
fn away<'r>(core: &Core, record: &'r TaskRecord) -> Vec<&'r NodeTask> {
    let topology = &core.shared.snapshot().topology;
    let is_away = |task: &&NodeTask| {
        !task.status.is_finished() && topology.index_of(&task.node).is_none_or(|node| !is_awaited(core, node))
    };
    let away = record.node_tasks.iter().filter(is_away).collect::<Vec<_>>();
    if away.is_empty() {
        return away;
    }
    let shards_of = |task: &NodeTask| concerned(core, record, &task.node);
    let done = record.node_tasks.iter().filter(|task| task.status.is_finished());
    let done = done.fold(ShardSet::new(), |all, task| all.union(&shards_of(task)));
    let covered = away.iter().all(|task| shards_of(task).is_subset(&done));
    if covered { away } else { Vec::new() }
}

/// The shards that a task concerns on a node.
fn concerned(core: &Core, record: &TaskRecord, node_id: &str) -> ShardSet {
    if !record.owners.is_empty() {
        let owner = record.owners.iter().find(|owner| owner.node == node_id);
        return owner.map(|owner| owner.shards.iter().copied().collect()).unwrap_or_default();
    }
    let snapshot = core.shared.snapshot();
    let index = record.index_uid.as_ref().and_then(|uid| snapshot.indexes.get(uid));
    let placement = match index {
        Some(index) => Some(&index.placement),
        None => snapshot.topology.placement(core.shared.config.shards),
    };
    let node = snapshot.topology.index_of(node_id);
    placement.zip(node).map(|(placement, node)| placement.written_to(node).clone()).unwrap_or_default()
}

/// Whether some nodes have done a task and others have not.
fn is_partially_applied(record: &TaskRecord, status: TaskStatus) -> bool {
    status.is_finished()
        && record.node_tasks.iter().any(|task| task.status.is_finished() && task.status != status)
}

/// The copies that a partially applied task leaves different from each other, as suspects.
pub(crate) fn suspects(core: &Core, record: &TaskRecord) -> Vec<Change> {
    let snapshot = core.shared.snapshot();
    let index = record.index_uid.as_ref().and_then(|uid| snapshot.indexes.get(uid));
    let Some(index) = index else { return Vec::new() };
    let suspect = |task: &NodeTask| {
        let shards = concerned(core, record, &task.node).iter().collect();
        hints::suspect(&task.node, &index.record.node_uid, shards)
    };
    record.node_tasks.iter().map(suspect).collect()
}

/// Which nodes' counts to sum, and what ratio of the sum counts each document once. All copies count where all owners
/// have done their part, else those of the groups that are done as a whole. Else the ratio is that of the documents
/// or shards of the nodes that are done.
fn share(core: &Core, record: &TaskRecord) -> Share {
    let topology = &core.shared.snapshot().topology;
    let copies = u64::from(topology.replication_factor);
    let done = |id: &str| record.node_tasks.iter().any(|task| task.node == id && task.status.is_finished());
    let is_concerned =
        |id: &str| record.owners.is_empty() || record.owners.iter().any(|owner| owner.node == id);
    let whole = |group: &usize| {
        let mut nodes = topology.groups()[*group].iter().map(|node| topology.node(*node).id.as_str());
        nodes.all(|id| !is_concerned(id) || done(id))
    };
    let groups = topology.group_numbers().filter(whole).collect::<Vec<_>>();
    let in_groups = |task: &NodeTask| {
        let node = topology.index_of(&task.node);
        node.is_some_and(|node| groups.contains(&usize::from(topology.node(node).group)))
    };
    // Where shards moved some were written to more copies than others.
    let evenly = topology.is_settled() && is_even(record, copies * topology.group_numbers().count() as u64);
    if !groups.is_empty() && evenly {
        let nodes = record.node_tasks.iter().filter(|task| in_groups(task)).map(|task| task.node.clone());
        return Share { nodes: nodes.collect(), ratio: (1, copies * groups.len() as u64) };
    }
    let finished = record.node_tasks.iter().filter(|task| task.status.is_finished()).collect::<Vec<_>>();
    let all = ["receivedDocuments", "providedIds"]
        .iter()
        .find_map(|name| record.details.as_ref()?[*name].as_u64().filter(|count| *count > 0));
    let ratio = match all {
        Some(all) => (all, finished.iter().map(|task| task.documents).sum()),
        None => {
            let shards = |task: &NodeTask| u64::from(concerned(core, record, &task.node).len());
            let all = finished
                .iter()
                .fold(ShardSet::new(), |all, task| all.union(&concerned(core, record, &task.node)));
            (u64::from(all.len()), finished.iter().map(|task| shards(task)).sum())
        }
    };
    Share { nodes: finished.iter().map(|task| task.node.clone()).collect(), ratio }
}

/// Whether every shard of a task was written to so many copies, as far as it says where it went.
fn is_even(record: &TaskRecord, copies: u64) -> bool {
    let written = record.owners.iter().map(|owner| owner.shards.len() as u64).sum::<u64>();
    let shards = record.owners.iter().flat_map(|owner| owner.shards.iter().copied()).collect::<ShardSet>();
    written == copies * u64::from(shards.len())
}

/// The nodes whose counts are summed, and the ratio of the sum that counts each document once.
pub(crate) struct Share {
    nodes: Vec<String>,
    ratio: (u64, u64),
}

impl Share {
    /// The counts of all nodes, as they are.
    pub(crate) fn whole(record: &TaskRecord) -> Self {
        Self { nodes: record.node_tasks.iter().map(|task| task.node.clone()).collect(), ratio: (1, 1) }
    }
}

/// Stores a change of a record; gives the record as it is stored then.
pub(crate) async fn store_change(core: &Core, record: TaskRecord, change: TaskChange) -> TaskRecord {
    match core.shared.store.update_task(record.uid, change).await {
        Ok(stored) => stored,
        // Another core or pod stored the end at the same time: that one is as good.
        Err(_) => core.shared.store.task(record.uid).await.ok().flatten().unwrap_or(record),
    }
}

/// The change that brings a record to the status of its node tasks.
pub(crate) fn ended(record: &TaskRecord, status: TaskStatus, times: &Times, share: Share) -> TaskChange {
    let now = clock::utc();
    let mut change = TaskChange {
        expected_revision: Some(record.revision),
        status: Some(status),
        started_at: Some(times.started.unwrap_or(now)),
        node_tasks: Some(record.node_tasks.clone()),
        ..TaskChange::default()
    };
    if status.is_finished() {
        change.finished_at = Some(times.finished.unwrap_or(now));
        change.error = record.node_tasks.iter().find_map(|task| task.error.clone());
        if status == TaskStatus::Succeeded && view::is_summed(record.kind) {
            let counted = record.node_tasks.iter().filter(|task| share.nodes.contains(&task.node));
            let details = counted.filter_map(details_of).collect::<Vec<_>>();
            let details = details.iter().collect::<Vec<_>>();
            change.details = view::sum_details(record.details.clone(), record.kind, &details, share.ratio);
        }
    }
    change
}

/// What a node counted of this task's documents alone.
fn details_of(task: &NodeTask) -> Option<Value> {
    match task.shared {
        true => Some(json!({"indexedDocuments": task.documents})),
        false => task.details.clone(),
    }
}

/// Takes the nodes' reports into a record's node tasks.
pub(crate) fn fold(record: &mut TaskRecord, seen: &NodeTaskStates) -> Times {
    let mut times = Times { started: record.started_at, finished: None };
    // A node judges the primary key of a renamed index under the new name.
    let renamed = record.details.as_ref().and_then(|details| details["newIndexUid"].as_str());
    let index_uid = renamed.or(record.index_uid.as_deref()).map(str::to_owned);
    let is_function = record.kind == TaskKind::DocumentEdition;
    for task in &mut record.node_tasks {
        if let Some(value) = seen.get(&(task.node.clone(), task.uid)) {
            absorb(task, value, index_uid.as_deref(), &mut times);
            if let Some(error) = task.error.as_mut().filter(|_| is_function && task.status.is_finished()) {
                error.message = edit_function::with_own_lines(&error.message);
            }
        }
    }
    times
}

/// When the first node began and the last one ended.
pub(crate) struct Times {
    pub(crate) started: Option<OffsetDateTime>,
    pub(crate) finished: Option<OffsetDateTime>,
}

fn absorb(task: &mut NodeTask, value: &Value, index_uid: Option<&str>, times: &mut Times) {
    let Some(status) = value["status"].as_str().and_then(|name| name.parse::<TaskStatus>().ok()) else {
        return;
    };
    task.status = status;
    let date = |name: &str| value[name].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    if let Some(started) = date("startedAt") {
        times.started = Some(times.started.map_or(started, |known| known.min(started)));
    }
    if !status.is_finished() {
        return;
    }
    if let Some(finished) = date("finishedAt") {
        times.finished = Some(times.finished.map_or(finished, |known| known.max(finished)));
    }
    task.details = Some(value["details"].clone()).filter(Value::is_object);
    task.error = serde_json::from_value::<TaskError>(value["error"].clone()).ok().map(|mut error| {
        let message = unguarded(&error.message);
        let message = merge::strip_message(&message);
        error.message = rename_index(&message, |_| index_uid.map(str::to_owned)).into_owned();
        error
    });
}

/// Failed if any failed, else canceled if any was canceled, else succeeded; only once all ended.
pub(crate) fn overall_status(node_tasks: &[NodeTask]) -> TaskStatus {
    let any = |status: TaskStatus| node_tasks.iter().any(|task| task.status == status);
    let ended = node_tasks.iter().filter(|task| task.status.is_finished()).count();
    match ended == node_tasks.len() {
        true if any(TaskStatus::Failed) => TaskStatus::Failed,
        true if any(TaskStatus::Canceled) => TaskStatus::Canceled,
        true => TaskStatus::Succeeded,
        false if ended > 0 || any(TaskStatus::Processing) => TaskStatus::Processing,
        false => TaskStatus::Enqueued,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_ends_with_its_last_node() {
        use TaskStatus::{Canceled, Enqueued, Failed, Processing, Succeeded};
        let check = |statuses: &[TaskStatus], expected| {
            let tasks = statuses.iter().map(|status| NodeTask {
                node: "n".to_owned(),
                uid: 0,
                documents: 0,
                shared: false,
                status: *status,
                details: None,
                error: None,
            });
            assert_eq!(overall_status(&tasks.collect::<Vec<_>>()), expected, "{statuses:?}");
        };
        check(&[Enqueued, Enqueued], Enqueued);
        check(&[Enqueued, Processing], Processing);
        check(&[Succeeded, Enqueued], Processing);
        check(&[Failed, Enqueued], Processing);
        check(&[Succeeded, Failed, Canceled], Failed);
        check(&[Succeeded, Canceled], Canceled);
        check(&[Succeeded, Succeeded], Succeeded);
    }
}

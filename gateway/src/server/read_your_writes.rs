//! Read-your-writes: a read of a session waits for the session's writes, or goes to the group that took them.
//!
//! Invariants: a read waits for a bounded time and is answered then, whatever became of the write. A request without
//! a session costs one look at its headers.

use serde_json::Value;
use store::TaskRecord;

use crate::{
    api::error::ApiError,
    config::{SessionMode, limits},
    server::{preference::preferring, routes::Route},
    state::{core::Core, read_preference::ReadPreference, sessions::LastWrite},
    wire::{h1::Response, runtime},
    write::tasks::status,
};

pub(crate) const HEADER: &str = "x-miroir-session";

/// Serves a request of `session`; `serving` serves it as if it had none.
pub(crate) async fn within(
    core: &Core,
    session: &str,
    route: &Route<'_>,
    serving: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let group = match read_index(route) {
        Some(index) => {
            let snapshot = core.shared.snapshot();
            // With several indexes behind one name, the writes to all of them have to be seen.
            let targets = index.map(|index| snapshot.targets(index)).unwrap_or_default();
            let one = (targets.len() == 1).then(|| targets[0]);
            let to_see = core.shared.sessions.to_see(session, one, runtime::now());
            match core.shared.config.session_mode {
                SessionMode::Block => wait(core, to_see).await?,
                SessionMode::RoutePin => group_of(core, to_see).await?,
            }
        }
        None => None,
    };
    let pinned = |preference| ReadPreference { session: group, ..preference };
    let response = preferring(core, pinned, serving).await?;
    if response.status == http::StatusCode::ACCEPTED
        && let Ok(summary) = serde_json::from_slice::<Value>(&response.body)
        && let Some(task_uid) = summary["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok())
    {
        let snapshot = core.shared.snapshot();
        let index = summary["indexUid"].as_str().map(|name| snapshot.writable(name).unwrap_or(name));
        core.shared.sessions.wrote(session, index, task_uid, runtime::now());
    }
    Ok(response.with_header(HEADER, session))
}

/// The index whose documents a route reads; the inner `None` stands for several.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other route reads no documents")]
fn read_index<'a>(route: &Route<'a>) -> Option<Option<&'a str>> {
    match *route {
        Route::Search { index } | Route::Document { index, .. } => Some(Some(index)),
        Route::FacetSearch(index)
        | Route::Fields(index)
        | Route::Explain(index)
        | Route::Similar(index)
        | Route::Documents(index)
        | Route::FetchDocuments(index)
        | Route::IndexStats(index)
        | Route::Index(index) => Some(Some(index)),
        Route::MultiSearch | Route::Stats | Route::Indexes => Some(None),
        _ => None,
    }
}

/// Waits until the writes are applied, or for as long as a read may wait.
async fn wait(core: &Core, to_see: Vec<LastWrite>) -> Result<Option<usize>, ApiError> {
    let deadline = runtime::now() + limits::SESSION_WAIT_MAX;
    for last in to_see {
        while let Some(task) = unfinished(core, last, true).await? {
            if runtime::now() >= deadline {
                crate::observe::log::warn("session_waited_in_vain", &[("task", &task.uid.to_string())]);
                return Ok(None);
            }
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
    Ok(None)
}

/// The replica group in which most nodes took the latest write that is not applied yet.
async fn group_of(core: &Core, to_see: Vec<LastWrite>) -> Result<Option<usize>, ApiError> {
    let Some(last) = to_see.into_iter().max_by_key(|last| last.task_uid) else { return Ok(None) };
    let Some(task) = unfinished(core, last, false).await? else { return Ok(None) };
    let snapshot = core.shared.snapshot();
    let topology = &snapshot.topology;
    let (preference, dedicated) = (core.read_preference.get(), &core.shared.config.tenants.dedicated_groups);
    let mut took = vec![0_usize; topology.groups().len()];
    for node in task.node_tasks.iter().filter_map(|task| topology.index_of(&task.node)) {
        let group = usize::from(topology.node(node).group);
        took[group] += usize::from(preference.admits(dedicated, group));
    }
    let most = took.iter().copied().max().unwrap_or(0);
    Ok(took.iter().position(|count| *count == most))
}

/// The task of a write, unless it has ended; the nodes are asked when `asks` is set.
async fn unfinished(core: &Core, last: LastWrite, asks: bool) -> Result<Option<TaskRecord>, ApiError> {
    let task = match core.shared.store.task(last.task_uid).await? {
        Some(task) if asks => Some(status::refresh(core, task).await),
        task => task,
    };
    let task = task.filter(|task| !task.status.is_finished());
    if task.is_none() {
        core.shared.sessions.applied(last);
    }
    Ok(task)
}

//! The entry of the lanes: hands work to the core that owns an index's lane.
//!
//! Invariant: a lane's queue is bounded; work for which there is no room is refused at once.

use futures_channel::oneshot;
use store::NewTask;

use crate::{
    api::error::{ApiError, Code},
    state::{
        change::{self, Accepted, Client, Job, LaneGuard, Work},
        core::Core,
    },
};

/// Hands a change to its lane and waits until it is accepted or refused.
///
/// # Errors
/// The refusal, or 503 when the lane is full.
pub(crate) async fn submit(
    core: &Core,
    index_uid: &str,
    task: NewTask,
    action: change::Action,
) -> Result<Accepted, ApiError> {
    let traced = core.trace().map(|trace| trace.elsewhere());
    let (reply, answer) = Client::new(traced);
    send(core, index_uid, Work::Change { task: Box::new(task), action, reply })?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Locks the lanes of some indexes, after the changes that wait in them.
///
/// # Errors
/// 503 when a lane is full; none stays locked then.
pub(crate) async fn lock(core: &Core, mut index_uids: Vec<&str>) -> Result<Vec<LaneGuard>, ApiError> {
    index_uids.sort_unstable();
    index_uids.dedup();
    let mut guards = Vec::with_capacity(index_uids.len());
    for index_uid in index_uids {
        let (stopped, locked) = oneshot::channel();
        send(core, index_uid, Work::Stop { stopped })?;
        guards.push(locked.await.map_err(|_| too_many())?);
    }
    Ok(guards)
}

fn send(core: &Core, index_uid: &str, work: Work) -> Result<(), ApiError> {
    let owner = router::shard_of(index_uid, u32::try_from(core.lanes.len()).unwrap_or(1)) as usize;
    let sent = core.lanes[owner].try_send(Job { index_uid: index_uid.to_owned(), work });
    sent.map_err(|_| too_many())
}

pub(crate) fn too_many() -> ApiError {
    ApiError::overloaded("Too many writes are waiting; try again shortly.").because("too_many_writes")
}

pub(crate) fn gone() -> ApiError {
    ApiError::new(Code::Internal, "An internal error has occurred.")
}

//! Lanes: one ordered stream of changes per index, owned by one data core.
//!
//! Invariants: every node sees the changes of an index in one order, whichever connection they
//! came by; a change's intent is durable before the first node is asked, and its node tasks are
//! durable before the client is answered; a panic in one change does not stop its lane.

use std::{cell::RefCell, collections::VecDeque, panic::AssertUnwindSafe, rc::Rc};

use ahash::AHashMap;
use futures_channel::oneshot;
use futures_util::FutureExt;
use store::{NewTask, Reply, TaskRecord};
use tokio::sync::mpsc;

use super::{Core, changes};
use crate::{
    api::error::{ApiError, Code},
    config::limits,
    observe::log,
    runtime::Runtime,
};

/// Sends changes to the lanes of one core, from any thread.
pub type LaneSender = mpsc::Sender<Job>;
/// Where one core's lanes take their changes from.
pub type LaneInbox = mpsc::Receiver<Job>;

/// One change of one index.
pub struct Job {
    pub index_uid: String,
    pub task: NewTask,
    pub action: changes::Action,
    pub reply: oneshot::Sender<Result<TaskRecord, ApiError>>,
}

/// Makes the channel of one core's lanes.
#[must_use]
pub fn channel() -> (LaneSender, LaneInbox) {
    mpsc::channel(limits::LANE_QUEUE_LENGTH_MAX)
}

/// Hands a change to its lane and waits until it is accepted or refused.
///
/// # Errors
/// The refusal, or 503 when the lane is full.
pub(super) async fn submit<R: Runtime>(
    core: &Core<R>,
    index_uid: &str,
    task: NewTask,
    action: changes::Action,
) -> Result<TaskRecord, ApiError> {
    let (reply, answer) = oneshot::channel();
    let owner = router::shard_of(index_uid, u32::try_from(core.lanes.len()).unwrap_or(1)) as usize;
    let job = Job { index_uid: index_uid.to_owned(), task, action, reply };
    if core.lanes[owner].try_send(job).is_err() {
        return Err(ApiError::overloaded("Too many writes are waiting; try again shortly."));
    }
    answer.await.unwrap_or_else(|_| Err(ApiError::new(Code::Internal, "An internal error has occurred.")))
}

/// A change whose intent is on its way to the store.
struct Pending {
    job: Job,
    intent: Reply<TaskRecord>,
}

type Queues = Rc<RefCell<AHashMap<String, VecDeque<Pending>>>>;

/// Runs the lanes of a core for as long as the process lives.
pub(super) async fn run<R: Runtime>(core: Rc<Core<R>>, mut inbox: LaneInbox) {
    let queues = Queues::default();
    while let Some(job) = inbox.recv().await {
        // Started on arrival, so that uids follow the order of the lane and one sync of the store
        // makes many intents durable.
        let intent = core.shared.store.create_task(job.task.clone());
        let index_uid = job.index_uid.clone();
        let pending = Pending { job, intent };
        let idle = match queues.borrow_mut().get_mut(&index_uid) {
            Some(queue) => {
                queue.push_back(pending);
                continue;
            }
            None => VecDeque::from([pending]),
        };
        queues.borrow_mut().insert(index_uid.clone(), idle);
        R::spawn(drain(Rc::clone(&core), Rc::clone(&queues), index_uid));
    }
}

/// Takes one index's changes in order until none is left.
async fn drain<R: Runtime>(core: Rc<Core<R>>, queues: Queues, index_uid: String) {
    loop {
        let next = {
            let mut queues = queues.borrow_mut();
            let next = queues.get_mut(&index_uid).and_then(VecDeque::pop_front);
            if next.is_none() {
                queues.remove(&index_uid);
            }
            next
        };
        let Some(Pending { job, intent }) = next else { return };
        let applied = changes::apply(&core, job.index_uid, job.action, intent, job.reply);
        if AssertUnwindSafe(applied).catch_unwind().await.is_err() {
            log::error("panic_in_lane", &[("index", &index_uid)]);
            core.metrics.panics.increment(1);
        }
    }
}

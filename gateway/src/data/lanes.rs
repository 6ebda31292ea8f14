//! Lanes: one ordered stream of changes per index, owned by one data core.
//!
//! Invariants: every node sees the changes of an index in one order, whichever connection they
//! came by; a change's intent is durable before the first node is asked, and its node tasks are
//! durable before the client is answered; a panic in one change does not stop its lane; whoever
//! holds several lanes took them in the order of their names, so that nobody waits in a circle.

use std::{cell::RefCell, collections::VecDeque, future::Future, panic::AssertUnwindSafe, pin::pin, rc::Rc};

use ahash::AHashMap;
use futures_channel::oneshot;
use futures_util::FutureExt;
use store::{NewTask, Reply, TaskRecord};

use super::{
    additions,
    change::{self, Accepted, Client, Hold, Job, LaneInbox, Work},
    changes,
    core::Core,
};
use crate::{
    api::error::{ApiError, Code},
    observe::log,
    runtime::Runtime,
};

/// Hands a change to its lane and waits until it is accepted or refused.
///
/// # Errors
/// The refusal, or 503 when the lane is full.
pub(super) async fn submit<R: Runtime>(
    core: &Core<R>,
    index_uid: &str,
    task: NewTask,
    action: change::Action,
) -> Result<Accepted, ApiError> {
    let (reply, answer) = oneshot::channel();
    send(core, index_uid, Work::Change { task: Box::new(task), action, reply })?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Stops the lanes of some indexes after the changes that wait in them.
///
/// # Errors
/// 503 when a lane is full; none is held then.
pub(crate) async fn hold<R: Runtime>(
    core: &Core<R>,
    mut index_uids: Vec<&str>,
) -> Result<Vec<Hold>, ApiError> {
    index_uids.sort_unstable();
    index_uids.dedup();
    let mut holds = Vec::with_capacity(index_uids.len());
    for index_uid in index_uids {
        let (stopped, hold) = oneshot::channel();
        send(core, index_uid, Work::Stop { stopped })?;
        holds.push(hold.await.map_err(|_| gone())?);
    }
    Ok(holds)
}

fn send<R: Runtime>(core: &Core<R>, index_uid: &str, work: Work) -> Result<(), ApiError> {
    let owner = router::shard_of(index_uid, u32::try_from(core.lanes.len()).unwrap_or(1)) as usize;
    let sent = core.lanes[owner].try_send(Job { index_uid: index_uid.to_owned(), work });
    sent.map_err(|_| {
        ApiError::overloaded("Too many writes are waiting; try again shortly.").because("too_many_writes")
    })
}

fn gone() -> ApiError {
    ApiError::new(Code::Internal, "An internal error has occurred.")
}

/// Work whose turn comes.
enum Pending {
    /// The intent is on its way to the store.
    Change {
        action: change::Action,
        intent: Reply<TaskRecord>,
        reply: Client,
    },
    Documents(additions::Waiting),
    Stop {
        stopped: oneshot::Sender<Hold>,
    },
}

impl Pending {
    /// The intent starts on arrival, so that uids follow the order of the lane and one sync of the store
    /// makes many intents durable.
    fn new<R: Runtime>(core: &Core<R>, work: Work) -> Self {
        let (task, action, reply) = match work {
            Work::Change { task, action, reply } => (task, action, reply),
            Work::Stop { stopped } => return Self::Stop { stopped },
        };
        let intent = core.shared.store.create_task(*task);
        if let change::Action::AddDocuments(write) = action {
            return Self::Documents(additions::Waiting { write, intent, client: reply });
        }
        Self::Change { action, intent, reply }
    }
}

type Queues = Rc<RefCell<AHashMap<String, VecDeque<Pending>>>>;

/// Runs the lanes of a core for as long as the process lives.
pub(super) async fn run<R: Runtime>(core: Rc<Core<R>>, mut inbox: LaneInbox) {
    let queues = Queues::default();
    while let Some(job) = inbox.recv().await {
        let Job { index_uid, work } = job;
        let pending = Pending::new(&core, work);
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
        match next {
            None => return,
            Some(Pending::Stop { stopped }) => {
                let (hold, released) = oneshot::channel();
                if stopped.send(Hold { _released_on_drop: hold }).is_ok() {
                    // Nothing is ever sent: the drop is the event.
                    let _ = released.await;
                }
            }
            Some(Pending::Documents(first)) => {
                let together = with_followers(&queues, &index_uid, first);
                let applied = pin!(additions::apply(&core, &index_uid, together));
                run_guarded(&core, &index_uid, applied).await;
            }
            Some(Pending::Change { action, intent, reply }) => {
                let applied = pin!(changes::apply(&core, index_uid.clone(), action, intent, reply));
                run_guarded(&core, &index_uid, applied).await;
            }
        }
    }
}

async fn run_guarded<R: Runtime>(core: &Core<R>, index_uid: &str, applied: impl Future<Output = ()>) {
    if AssertUnwindSafe(applied).catch_unwind().await.is_err() {
        log::error("panic_in_lane", &[("index", index_uid)]);
        core.metrics.panics.increment(1);
    }
}

/// A write of documents, and those right behind it that may travel in the same request.
fn with_followers(queues: &Queues, index_uid: &str, first: additions::Waiting) -> Vec<additions::Waiting> {
    let mut size = additions::Size::default();
    size.add(&first.write);
    let mut together = vec![first];
    let mut queues = queues.borrow_mut();
    let Some(queue) = queues.get_mut(index_uid) else { return together };
    let mut joins = |pending: &mut Pending| match pending {
        Pending::Documents(next) => together[0].write.joins(&next.write, &mut size),
        Pending::Change { .. } | Pending::Stop { .. } => false,
    };
    let mut followers = Vec::new();
    while let Some(Pending::Documents(next)) = queue.pop_front_if(&mut joins) {
        followers.push(next);
    }
    together.append(&mut followers);
    together
}

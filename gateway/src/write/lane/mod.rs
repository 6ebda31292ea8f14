//! Lanes: one ordered stream of changes per index, owned by one data core.
//!
//! Invariants: every node sees the changes of an index in one order, whichever connection or pod they came by
//! (`lease`). A change's intent is durable before the first node is asked, and its node tasks are durable before the
//! client is answered. A panic in one change does not stop its lane. Several lanes are locked in the order of their
//! names, so that no two callers wait for each other.

pub(crate) mod entry;
pub(crate) mod lease;

use std::{cell::RefCell, collections::VecDeque, future::Future, panic::AssertUnwindSafe, pin::pin, rc::Rc};

use ahash::AHashMap;
use futures_channel::oneshot;
use futures_util::FutureExt;
use store::{Reply, TaskRecord};

use crate::{
    api::error::ApiError,
    config::limits,
    observe::log,
    state::{
        change::{self, Client, Job, LaneGuard, LaneInbox, Work},
        core::Core,
    },
    wire::runtime::{self, timeout},
    write::{apply, batch, lane::lease::LaneLease},
};

use entry::{gone, too_many};
pub(crate) use entry::{lock, submit};

/// Work that waits in a lane.
enum Pending {
    /// Another pod holds the lane lease: nothing is durable yet.
    Arrived(Work),
    /// The intent is on its way to the store.
    Change {
        action: change::Action,
        intent: Reply<TaskRecord>,
        reply: Client,
    },
    Documents(batch::Waiting),
    Stop {
        stopped: oneshot::Sender<LaneGuard>,
    },
}

impl Pending {
    /// Starts the intent on arrival, so that uids follow the order of the lane and one sync of the store makes many
    /// intents durable.
    fn new(core: &Core, work: Work) -> Self {
        let (task, action, reply) = match work {
            Work::Change { task, action, reply } => (task, action, reply),
            Work::Stop { stopped } => return Self::Stop { stopped },
        };
        let intent = core.shared.store.create_task(*task);
        if let change::Action::AddDocuments(write) = action {
            return Self::Documents(batch::Waiting { write, intent, client: reply });
        }
        Self::Change { action, intent, reply }
    }
}

/// The waiting changes of one index.
struct Lane {
    queue: VecDeque<Pending>,
    /// Whether arriving work may make its intent: always where this pod is alone, else while it holds the lane lease.
    is_open: bool,
    /// Notified when work arrives.
    idle: Option<oneshot::Sender<()>>,
}

impl Lane {
    fn add(&mut self, core: &Core, work: Work) {
        let pending = match self.is_open {
            true => Pending::new(core, work),
            false if self.queue.len() < limits::LANE_QUEUE_LENGTH_MAX => Pending::Arrived(work),
            false => return refuse(work, too_many()),
        };
        self.queue.push_back(pending);
        if let Some(idle) = self.idle.take() {
            let _ = idle.send(());
        }
    }

    /// This pod has the lane lease: everything that has arrived makes its intent, in order.
    fn open(&mut self, core: &Core) {
        self.is_open = true;
        let arrived = std::mem::take(&mut self.queue).into_iter();
        self.queue = arrived
            .map(|pending| match pending {
                Pending::Arrived(work) => Pending::new(core, work),
                ready @ (Pending::Change { .. } | Pending::Documents(_) | Pending::Stop { .. }) => ready,
            })
            .collect();
    }

    /// Refuses the work that has no intent yet.
    fn refuse(&mut self, error: &ApiError) {
        for pending in std::mem::take(&mut self.queue) {
            match pending {
                Pending::Arrived(work) => refuse(work, error.clone()),
                ready @ (Pending::Change { .. } | Pending::Documents(_) | Pending::Stop { .. }) => {
                    self.queue.push_back(ready);
                }
            }
        }
    }
}

fn refuse(work: Work, error: ApiError) {
    match work {
        Work::Change { reply, .. } => reply.send(Err(error)),
        // The drop tells the caller that the lane cannot be locked.
        Work::Stop { stopped } => drop(stopped),
    }
}

type Lanes = Rc<RefCell<AHashMap<String, Lane>>>;

/// Runs the lanes of a core for as long as the process lives.
pub(crate) async fn run(core: Rc<Core>, mut inbox: LaneInbox) {
    let lanes = Lanes::default();
    while let Some(job) = inbox.recv().await {
        let Job { index_uid, work } = job;
        if let Some(lane) = lanes.borrow_mut().get_mut(&index_uid) {
            lane.add(&core, work);
            continue;
        }
        let is_open = !core.shared.coordinator.is_shared();
        let mut lane = Lane { queue: VecDeque::new(), is_open, idle: None };
        lane.add(&core, work);
        lanes.borrow_mut().insert(index_uid.clone(), lane);
        runtime::spawn(drain(Rc::clone(&core), Rc::clone(&lanes), index_uid));
    }
}

/// What a lane has to do next.
enum Next {
    Work(Pending),
    /// The next work needs the lane lease.
    TakeLease,
    Nothing,
}

fn next(lanes: &Lanes, index_uid: &str) -> Next {
    let mut lanes = lanes.borrow_mut();
    let Some(lane) = lanes.get_mut(index_uid) else { return Next::Nothing };
    match lane.queue.pop_front_if(|pending| !matches!(pending, Pending::Arrived(_))) {
        Some(pending) => Next::Work(pending),
        None if lane.queue.is_empty() => Next::Nothing,
        None => Next::TakeLease,
    }
}

/// Performs one index's changes in order until none is left, under the lane lease where there are several pods.
async fn drain(core: Rc<Core>, lanes: Lanes, index_uid: String) {
    let mut lane_lease: Option<LaneLease> = None;
    loop {
        match (next(&lanes, &index_uid), lane_lease.take()) {
            (Next::Work(pending), held) => {
                lane_lease = held;
                perform(&core, &lanes, &index_uid, pending).await;
                if let Some(held) = &mut lane_lease
                    && held.is_over(&core, &index_uid).await
                {
                    with_lane(&lanes, &index_uid, |lane| lane.is_open = false);
                }
            }
            (Next::TakeLease, held) => {
                if let Some(held) = held {
                    held.give_back(&core, &index_uid);
                    // A pod that waits for the lease gets it first.
                    runtime::sleep(2 * limits::LANE_LEASE_POLL_INTERVAL).await;
                }
                match lease::acquire(&core, &index_uid).await {
                    Ok(acquired) => {
                        lane_lease = Some(acquired);
                        with_lane(&lanes, &index_uid, |lane| lane.open(&core));
                    }
                    Err(error) => with_lane(&lanes, &index_uid, |lane| lane.refuse(&error)),
                }
            }
            (Next::Nothing, Some(held)) => lane_lease = idle(&core, &lanes, &index_uid, held).await,
            (Next::Nothing, None) => {
                lanes.borrow_mut().remove(&index_uid);
                return;
            }
        }
    }
}

fn with_lane(lanes: &Lanes, index_uid: &str, act: impl FnOnce(&mut Lane)) {
    if let Some(lane) = lanes.borrow_mut().get_mut(index_uid) {
        act(lane);
    }
}

/// Keeps an idle lease for a while, as long as no other pod wants it; gives it to the caller when there is work
/// again.
async fn idle(core: &Rc<Core>, lanes: &Lanes, index_uid: &str, mut lease: LaneLease) -> Option<LaneLease> {
    let deadline = runtime::now() + limits::LANE_LEASE_IDLE_MAX;
    let is_open = || lanes.borrow().get(index_uid).is_some_and(|lane| lane.is_open);
    while is_open() && runtime::now() < deadline && !core.shared.is_draining() {
        let (idle, arrived) = oneshot::channel();
        with_lane(lanes, index_uid, |lane| lane.idle = Some(idle));
        if timeout(limits::LANE_LEASE_MIN, arrived).await.is_ok() {
            return Some(lease);
        }
        if lease.is_over(core, index_uid).await {
            break;
        }
    }
    // Work that arrives from here on waits for the next lease; earlier work is done under this one.
    let mut is_idle = true;
    with_lane(lanes, index_uid, |lane| {
        lane.is_open = false;
        is_idle = lane.queue.is_empty();
    });
    if !is_idle {
        return Some(lease);
    }
    lease.give_back(core, index_uid);
    None
}

async fn perform(core: &Rc<Core>, lanes: &Lanes, index_uid: &str, pending: Pending) {
    match pending {
        // `next` takes only work out of the queue that has its intent.
        Pending::Arrived(work) => refuse(work, gone()),
        Pending::Stop { stopped } => {
            let (guard, released) = oneshot::channel();
            if stopped.send(LaneGuard { _released_on_drop: guard }).is_ok() {
                // Nothing is ever sent: the drop of the guard is the event.
                let _ = released.await;
            }
        }
        Pending::Documents(first) => {
            let together = with_followers(lanes, index_uid, first);
            let applied = pin!(batch::apply(core, index_uid, together));
            run_guarded(core, index_uid, applied).await;
        }
        Pending::Change { action, intent, reply } => {
            let applied = pin!(apply::apply(core, index_uid.to_owned(), action, intent, reply));
            run_guarded(core, index_uid, applied).await;
        }
    }
}

async fn run_guarded(core: &Core, index_uid: &str, applied: impl Future<Output = ()>) {
    if AssertUnwindSafe(applied).catch_unwind().await.is_err() {
        log::error("panic_in_lane", &[("index", index_uid)]);
        core.metrics.panics.increment(1);
    }
}

/// A document write, and the writes right behind it that may go into the same request.
fn with_followers(lanes: &Lanes, index_uid: &str, first: batch::Waiting) -> Vec<batch::Waiting> {
    let mut size = batch::Size::default();
    size.add(&first.write);
    let mut together = vec![first];
    let mut lanes = lanes.borrow_mut();
    let Some(Lane { queue, .. }) = lanes.get_mut(index_uid) else { return together };
    let mut joins = |pending: &mut Pending| match pending {
        Pending::Documents(next) => together[0].write.joins(&next.write, &mut size),
        Pending::Arrived(_) | Pending::Change { .. } | Pending::Stop { .. } => false,
    };
    let mut followers = Vec::new();
    while let Some(Pending::Documents(next)) = queue.pop_front_if(&mut joins) {
        followers.push(next);
    }
    together.append(&mut followers);
    together
}

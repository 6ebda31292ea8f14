//! The record of what clients asked for and saw, and what follows from it: which registers are certain.
//! - A register is certain to a pod when its last operation was done before the pod was last out of touch, nobody has
//!   asked for another one since, and no node has work left that is about it.
//!
//! Invariant: an operation is recorded before it is sent.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::kernel::{Site, kernel};
use super::model_node::Disk;

/// The longest time until a pod in touch with its store knows what another pod does.
const NEWS: Duration = Duration::from_secs(3);
/// The longest time until a pod that was out of touch has found its way back: it waits 5 s for a lost question to the
/// store, starts anew if it was killed, and asks for everything again.
const RECOVERY: Duration = Duration::from_secs(12);

/// One operation on a register.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// The written value; `None` deletes.
    pub(super) value: Option<u64>,
    pub(super) asked: Duration,
    /// When the gateway acknowledged it, and its task.
    pub(super) acknowledged: Option<(Duration, u64)>,
    /// When its client saw that its task had succeeded.
    pub(super) done: Option<Duration>,
}

/// Everything that clients have sent and received.
#[derive(Default)]
pub(super) struct Record {
    /// By key, in the order of the client's operations.
    pub(super) registers: BTreeMap<String, Vec<Operation>>,
    /// The last known status of each acknowledged task.
    pub(super) tasks: BTreeMap<u64, String>,
    /// What clients know of other indexes, by name.
    pub(super) indexes: BTreeMap<String, Fate>,
    pub(super) reads: u64,
    pub(super) lists: u64,
    /// Registers that were read while only one value was possible.
    pub(super) certain_reads: u64,
    /// The times in which pods may not have known what others knew, by pod.
    pub(super) absences: BTreeMap<Site, Absence>,
    /// The nodes as they are.
    pub(super) nodes: BTreeMap<Site, Rc<RefCell<Disk>>>,
    /// Until then clients write without a pause.
    pub(super) burst_until: Duration,
    pub(super) changes: Changes,
    pub(super) refused: u64,
    pub(super) settings: u64,
    /// Observations that no client may make.
    pub(super) wrong: Vec<String>,
}

impl Record {
    /// Records the result of creating or deleting an index.
    pub(super) fn note_fate(&mut self, name: String, is_new: bool, task: Option<u64>) {
        self.tasks.extend(task.map(|task| (task, "enqueued".to_owned())));
        let fate = self.indexes.entry(name).or_default();
        match (is_new, task) {
            (true, task) => fate.is_made = task.is_some(),
            (false, Some(_)) => fate.is_dropped = true,
            (false, None) => fate.is_doubtful = true,
        }
    }
}

/// What is known of an index that is created once and deleted at most a few times.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fate {
    pub(super) is_made: bool,
    pub(super) is_dropped: bool,
    /// A client tried to delete it, and the outcome is unknown.
    pub(super) is_doubtful: bool,
}

pub(super) type Known = Rc<RefCell<Record>>;

/// What is known of changes of the cluster's shape.
#[derive(Default)]
pub(super) struct Changes {
    /// The last known status of each operation.
    pub(super) statuses: BTreeMap<u64, String>,
    /// How many operations of a kind have come to an end, and to which.
    pub(super) ended: BTreeMap<String, u64>,
    pub(super) refused: u64,
    /// The node that the last change is about.
    pub(super) subject: Option<Site>,
    /// Everything has ended, and nothing more is asked for.
    pub(super) is_over: bool,
    /// What has not ended, as it was seen last.
    pub(super) open: Vec<String>,
}

/// A time in which a pod may not have known what the others knew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    since: Duration,
    until: Duration,
}

/// What a register is for certain: its value, and the number of operations that were asked of it by then.
pub(super) type Certain = BTreeMap<String, (usize, Option<u64>)>;

impl Record {
    /// Notes that a pod is out of touch with the others from now until then.
    pub(super) fn is_out_of_touch(&mut self, pod: Site, until: Duration) {
        let now = kernel().now();
        let absence = self.absences.entry(pod).or_insert(Absence { since: now, until });
        if now > absence.until + RECOVERY {
            absence.since = now;
        }
        absence.until = absence.until.max(until);
    }

    /// The time up to which a pod knows all that was done.
    fn informed_until(&self, pod: Site) -> Duration {
        let now = kernel().now();
        let absence = self.absences.get(&pod).filter(|absence| now <= absence.until + RECOVERY);
        absence.map_or(now, |absence| absence.since).saturating_sub(NEWS)
    }

    /// The registers whose values are certain to a pod.
    pub(super) fn certain(&self, pod: Site) -> Certain {
        let known = self.informed_until(pod);
        // One pod may take a node for down, and end tasks without it, that another one reads from.
        let mut unfinished = BTreeSet::new();
        self.nodes.values().for_each(|node| node.borrow().unfinished(&mut unfinished));
        let certain = self.registers.iter().filter_map(|(key, operations)| {
            let last = operations.last()?;
            (last.done? <= known && !unfinished.contains(key))
                .then(|| (key.clone(), (operations.len(), last.value)))
        });
        certain.collect()
    }

    /// Those that are still certain: nobody has asked for anything meanwhile.
    pub(super) fn still(&self, certain: Certain) -> BTreeMap<String, Option<u64>> {
        let is_still =
            |key: &String, count: usize| self.registers.get(key).is_some_and(|all| all.len() == count);
        let still = certain.into_iter().filter(|(key, (count, _))| is_still(key, *count));
        still.map(|(key, (_, value))| (key, value)).collect()
    }
}

//! One change of where documents are, from the wish to its end: which phase follows on what, and who may ask for what.
//!
//! Invariants: pure; an operation that has ended changes no more; before the cutover is activated it can be given up
//! and leaves what was, afterwards it only goes on.

use router::rebalance::ShapeChange;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// As operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Queued,
    Running,
    Paused,
    Succeeded,
    Failed,
    Aborted,
}

/// What an operation changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    Shape(ShapeChange),
    Index(IndexChange),
}

/// A change of the number of shards of one index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum IndexChange {
    Reshard {
        index: String,
        shards: u32,
        /// Documents a second; 0: as many as go.
        throttle: u32,
        schedule_window: Option<String>,
        auto_cutover: bool,
    },
    /// The copies that are kept from before a reshard serve again.
    RevertReshard { index: String },
    /// They are dropped.
    DropKept { index: String, node_uid: String },
}

impl IndexChange {
    #[must_use]
    pub fn index(&self) -> &str {
        match self {
            Self::Reshard { index, .. } | Self::RevertReshard { index } | Self::DropKept { index, .. } => {
                index
            }
        }
    }
}

/// What an operation on one index has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Copies {
    /// The name on the nodes of the copies that served when it began.
    pub serving: String,
    /// The name of those that are to serve; empty until they are made.
    pub twin: String,
    /// The shards of the serving copies that have been copied.
    pub filled: Vec<u32>,
    /// An operator has asked for the cutover.
    pub may_cut_over: bool,
    /// It waits for an operator to ask for the cutover.
    pub waits_for_cutover: bool,
}

/// What is being done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    ComputingAssignments,
    /// An index gets further copies under another number of shards, which are empty.
    ShadowCreate,
    /// Nodes that are to own shards are written to, and get what there is already.
    DualWrite,
    /// The further copies of an index are filled.
    Backfill,
    /// They are compared with those that serve.
    Verify,
    CutoverBegin,
    /// Writes that were on their way arrive.
    CutoverDraining,
    CutoverDeltaPass,
    CutoverActivate,
    /// Nodes that own shards no more are written to no more, and are swept.
    CutoverCleanup,
    Complete,
}

/// What an operator asks of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Pause,
    Resume,
    Abort,
    /// To cut over, where it waits to be told so.
    CutOver,
}

/// What happens to an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Begun,
    Planned {
        /// The version of the topology that the plan is of.
        base: u64,
        shards: Vec<u32>,
        documents: u64,
        /// The copies that are known, for an operation on one index.
        copies: Copies,
    },
    /// The further copies have been made, or are known.
    TwinMade {
        node_uid: String,
    },
    /// A shard of the serving copies has been copied.
    Filled {
        shard: u32,
    },
    /// All is ready for the cutover, which somebody has to ask for.
    Verified,
    /// The plan cannot be made.
    Refused {
        reason: String,
    },
    /// The phase is done.
    Done,
    /// The phase cannot be done for now.
    Failed {
        reason: String,
    },
    Copied {
        documents: u64,
        bytes: u64,
        is_delta: bool,
    },
    Asked(Wish),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub documents_moved: u64,
    pub documents_total: u64,
    pub bytes_moved: u64,
    pub delta_documents: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    pub operation: u64,
    pub change: Wanted,
    pub status: Status,
    pub phase: Phase,
    /// It is being given up: what has been begun is undone.
    pub is_undone: bool,
    pub progress: Progress,
    pub shards: Vec<u32>,
    pub reason: Option<String>,
    /// The version of the topology that its plan is of.
    pub base: u64,
    /// Only for an operation on one index.
    #[serde(default)]
    pub copies: Copies,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// Why something cannot be asked of an operation now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    #[error("it has ended")]
    Ended,
    #[error("its cutover is under way and ends by itself")]
    CuttingOver,
    #[error("it is not paused")]
    NotPaused,
    #[error("it is paused already")]
    Paused,
    #[error("it is being given up already")]
    BeingUndone,
    #[error("it cuts over by itself")]
    CutsOverByItself,
    #[error("its copies are not verified yet")]
    NotVerified,
    /// Something else has happened to it meanwhile.
    #[error("it has changed")]
    Changed,
}

impl Wanted {
    /// The phases of such a change, in their order.
    fn phases(&self) -> &'static [Phase] {
        use Phase::{
            Backfill, Complete, ComputingAssignments, CutoverActivate, CutoverBegin, CutoverCleanup,
            CutoverDeltaPass, CutoverDraining, DualWrite, ShadowCreate, Verify,
        };
        match self {
            Self::Shape(_) => &[
                ComputingAssignments,
                DualWrite,
                CutoverBegin,
                CutoverDraining,
                CutoverDeltaPass,
                CutoverActivate,
                CutoverCleanup,
                Complete,
            ],
            Self::Index(IndexChange::Reshard { .. }) => &[
                ComputingAssignments,
                ShadowCreate,
                DualWrite,
                Backfill,
                Verify,
                CutoverBegin,
                CutoverDraining,
                CutoverDeltaPass,
                CutoverActivate,
                CutoverCleanup,
                Complete,
            ],
            Self::Index(IndexChange::RevertReshard { .. }) => &[
                ComputingAssignments,
                Verify,
                CutoverBegin,
                CutoverDraining,
                CutoverDeltaPass,
                CutoverActivate,
                CutoverCleanup,
                Complete,
            ],
            Self::Index(IndexChange::DropKept { .. }) => &[ComputingAssignments, CutoverCleanup, Complete],
        }
    }
}

impl Operation {
    #[must_use]
    pub fn new(operation: u64, change: Wanted, now: OffsetDateTime) -> Self {
        Self {
            operation,
            change,
            status: Status::Queued,
            phase: Phase::ComputingAssignments,
            is_undone: false,
            progress: Progress::default(),
            shards: Vec::new(),
            reason: None,
            base: 0,
            copies: Copies::default(),
            created_at: now,
            started_at: None,
            finished_at: None,
        }
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Aborted)
    }

    /// Whether it stands where another reading of it stood, so that what was done for that one counts.
    #[must_use]
    pub fn stands_like(&self, other: &Self) -> bool {
        (self.status, self.phase, self.is_undone) == (other.status, other.phase, other.is_undone)
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// [`NotNow`] for a wish that cannot be fulfilled; nothing has changed then.
    pub fn step(&mut self, event: Event, now: OffsetDateTime) -> Result<(), NotNow> {
        if self.has_ended() {
            return Err(NotNow::Ended);
        }
        match event {
            Event::Begun => {
                self.status = Status::Running;
                self.started_at.get_or_insert(now);
            }
            Event::Planned { base, shards, documents, copies } => {
                (self.base, self.shards) = (base, shards);
                self.progress.documents_total = documents;
                self.copies = copies;
                self.phase = self.next();
            }
            Event::TwinMade { node_uid } => self.copies.twin = node_uid,
            Event::Filled { shard } => self.copies.filled.push(shard),
            Event::Verified => {
                self.copies.waits_for_cutover = true;
                self.status = Status::Paused;
                self.reason = Some("its copies are verified; it waits for `cutover`".to_owned());
            }
            Event::Refused { reason } => {
                self.reason = Some(reason);
                self.end(Status::Failed, now);
            }
            Event::Done => {
                self.phase = self.next();
                if self.phase == Phase::Complete {
                    self.end(if self.is_undone { Status::Aborted } else { Status::Succeeded }, now);
                }
            }
            Event::Failed { reason } => {
                self.reason = Some(reason);
                self.status = Status::Paused;
            }
            Event::Copied { documents, bytes, is_delta } => {
                self.progress.documents_moved += documents;
                self.progress.bytes_moved += bytes;
                self.progress.delta_documents += if is_delta { documents } else { 0 };
            }
            Event::Asked(wish) => self.heed(wish, now)?,
        }
        Ok(())
    }

    fn next(&self) -> Phase {
        let mut following = self.change.phases().iter().skip_while(|phase| **phase != self.phase).skip(1);
        following.next().copied().unwrap_or(Phase::Complete)
    }

    fn heed(&mut self, wish: Wish, now: OffsetDateTime) -> Result<(), NotNow> {
        let cuts_over = self.phase >= Phase::CutoverActivate;
        match wish {
            Wish::Resume if self.status != Status::Paused => Err(NotNow::NotPaused),
            Wish::Resume => {
                (self.reason, self.copies.waits_for_cutover) = (None, false);
                self.status = if self.started_at.is_some() { Status::Running } else { Status::Queued };
                Ok(())
            }
            Wish::CutOver if self.copies.waits_for_cutover => {
                (self.copies.waits_for_cutover, self.copies.may_cut_over) = (false, true);
                (self.status, self.reason) = (Status::Running, None);
                Ok(())
            }
            Wish::CutOver if cuts_over || self.is_undone => Err(NotNow::CuttingOver),
            Wish::CutOver if self.waits_for_operator() => Err(NotNow::NotVerified),
            Wish::CutOver => Err(NotNow::CutsOverByItself),
            Wish::Pause | Wish::Abort if self.is_undone => Err(NotNow::BeingUndone),
            Wish::Pause | Wish::Abort if cuts_over => Err(NotNow::CuttingOver),
            Wish::Pause if self.status == Status::Paused => Err(NotNow::Paused),
            Wish::Pause => {
                self.reason = Some("it was asked to".to_owned());
                self.status = Status::Paused;
                Ok(())
            }
            Wish::Abort if self.phase == Phase::ComputingAssignments => {
                self.end(Status::Aborted, now);
                Ok(())
            }
            Wish::Abort => {
                self.is_undone = true;
                self.reason = None;
                self.copies.waits_for_cutover = false;
                (self.status, self.phase) = (Status::Running, Phase::CutoverCleanup);
                Ok(())
            }
        }
    }

    /// Whether it cuts over only when it is asked to.
    #[must_use]
    pub fn waits_for_operator(&self) -> bool {
        matches!(&self.change, Wanted::Index(IndexChange::Reshard { auto_cutover: false, .. }))
            && !self.copies.may_cut_over
    }

    fn end(&mut self, status: Status, now: OffsetDateTime) {
        (self.status, self.finished_at) = (status, Some(now));
    }

    /// The change's name in the management API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.change {
            Wanted::Shape(ShapeChange::AddNode { .. }) => "addNode",
            Wanted::Shape(ShapeChange::DrainNode { .. }) => "drainNode",
            Wanted::Shape(ShapeChange::RemoveNode { .. }) => "removeNode",
            Wanted::Shape(ShapeChange::ReplaceNode { .. }) => "replaceNode",
            Wanted::Shape(ShapeChange::SetReplicationFactor { .. }) => "setReplicationFactor",
            Wanted::Shape(ShapeChange::RemoveGroup { .. }) => "removeGroup",
            Wanted::Shape(ShapeChange::EvenOut) => "rebalance",
            Wanted::Index(IndexChange::Reshard { .. }) => "reshard",
            Wanted::Index(IndexChange::RevertReshard { .. }) => "revertReshard",
            Wanted::Index(IndexChange::DropKept { .. }) => "dropKept",
        }
    }

    /// The index that it is about.
    #[must_use]
    pub fn index(&self) -> Option<&str> {
        match &self.change {
            Wanted::Shape(_) => None,
            Wanted::Index(change) => Some(change.index()),
        }
    }

    /// As the management API shows it.
    #[must_use]
    pub fn view(&self, now: OffsetDateTime) -> Value {
        let progress = &self.progress;
        let until = self.finished_at.unwrap_or(now);
        let seconds = self.started_at.map_or(0.0, |started| (until - started).as_seconds_f64());
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate, rounded"
        )]
        let rate = if seconds > 0.0 { (progress.documents_moved as f64 / seconds) as u64 } else { 0 };
        let left = progress.documents_total.saturating_sub(progress.documents_moved);
        let seconds_left = (self.status == Status::Running).then(|| left.checked_div(rate)).flatten();
        let date = |at: Option<OffsetDateTime>| {
            at.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        };
        json!({
            "operation": self.operation,
            "kind": self.kind(),
            "index": self.index(),
            "status": self.status,
            "phase": self.phase,
            "progress": {
                "documentsMoved": progress.documents_moved,
                "documentsTotal": progress.documents_total,
                "bytesMoved": progress.bytes_moved,
                "documentsPerSecond": rate,
                "secondsLeft": seconds_left,
                "deltaDocuments": progress.delta_documents,
            },
            "shards": self.shards,
            "reason": self.reason,
            "startedAt": date(self.started_at),
            "finishedAt": date(self.finished_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn planned() -> Operation {
        planned_as(Wanted::Shape(ShapeChange::EvenOut))
    }

    fn planned_as(change: Wanted) -> Operation {
        let mut operation = Operation::new(1, change, NOW);
        operation.step(Event::Begun, NOW).unwrap();
        let copies = Copies { serving: "films-1".to_owned(), ..Copies::default() };
        let planned = Event::Planned { base: 7, shards: vec![1], documents: 5, copies };
        operation.step(planned, NOW).unwrap();
        operation
    }

    fn reshard(auto_cutover: bool) -> Wanted {
        let (index, schedule_window) = ("films".to_owned(), None);
        Wanted::Index(IndexChange::Reshard { index, shards: 8, throttle: 0, schedule_window, auto_cutover })
    }

    /// In a phase that comes after so many others.
    fn after(phases: usize) -> Operation {
        let mut operation = planned();
        (0..phases).for_each(|_| operation.step(Event::Done, NOW).unwrap());
        operation
    }

    #[test]
    fn phases_follow_each_other_to_the_end() {
        let phases = (0..=6).map(|count| after(count).phase).collect::<Vec<_>>();
        assert!(phases.is_sorted() && phases[0] == Phase::DualWrite && phases[6] == Phase::Complete);
        let mut ended = after(6);
        assert_eq!((ended.status, ended.finished_at), (Status::Succeeded, Some(NOW)));
        assert_eq!(ended.step(Event::Done, NOW), Err(NotNow::Ended));
        assert_eq!(ended.step(Event::Asked(Wish::Abort), NOW), Err(NotNow::Ended));
    }

    #[test]
    fn it_is_given_up_before_its_cutover_and_not_after() {
        for phases in 0..=3 {
            let mut operation = after(phases);
            operation.step(Event::Asked(Wish::Abort), NOW).unwrap();
            assert_eq!((operation.phase, operation.is_undone), (Phase::CutoverCleanup, true));
            assert_eq!(operation.step(Event::Asked(Wish::Abort), NOW), Err(NotNow::BeingUndone));
            operation.step(Event::Done, NOW).unwrap();
            assert_eq!(operation.status, Status::Aborted);
        }
        for phases in 4..=5 {
            let mut operation = after(phases);
            for wish in [Wish::Abort, Wish::Pause] {
                assert_eq!(operation.step(Event::Asked(wish), NOW), Err(NotNow::CuttingOver));
            }
            let cut_over = operation.step(Event::Asked(Wish::CutOver), NOW);
            assert_eq!(cut_over, Err(NotNow::CuttingOver));
        }
    }

    #[test]
    fn a_cutover_that_is_to_be_asked_for_is_waited_for() {
        let mut operation = planned_as(reshard(false));
        assert_eq!(operation.phase, Phase::ShadowCreate);
        while operation.phase != Phase::CutoverBegin {
            let early = operation.step(Event::Asked(Wish::CutOver), NOW);
            assert_eq!(early, Err(NotNow::NotVerified), "{:?}", operation.phase);
            operation.step(Event::Done, NOW).unwrap();
        }
        operation.step(Event::Verified, NOW).unwrap();
        assert_eq!((operation.status, operation.waits_for_operator()), (Status::Paused, true));
        operation.step(Event::Asked(Wish::CutOver), NOW).unwrap();
        assert_eq!((operation.status, operation.waits_for_operator()), (Status::Running, false));
        while !operation.has_ended() {
            operation.step(Event::Done, NOW).unwrap();
        }
        assert_eq!(operation.status, Status::Succeeded);
        let mut alone = planned_as(reshard(true));
        assert_eq!(alone.step(Event::Asked(Wish::CutOver), NOW), Err(NotNow::CutsOverByItself));
    }

    #[test]
    fn it_pauses_with_a_reason_and_goes_on_where_it_was() {
        let mut operation = after(2);
        operation.step(Event::Failed { reason: "disk full".to_owned() }, NOW).unwrap();
        assert_eq!((operation.status, operation.reason.as_deref()), (Status::Paused, Some("disk full")));
        assert_eq!(operation.step(Event::Asked(Wish::Pause), NOW), Err(NotNow::Paused));
        operation.step(Event::Asked(Wish::Resume), NOW).unwrap();
        assert_eq!((operation.status, operation.phase), (Status::Running, Phase::CutoverDraining));
        assert_eq!(operation.step(Event::Asked(Wish::Resume), NOW), Err(NotNow::NotPaused));
    }

    #[test]
    fn what_was_done_before_it_was_given_up_does_not_count_afterwards() {
        let working = after(1);
        let mut given_up = working.clone();
        given_up.step(Event::Asked(Wish::Abort), NOW).unwrap();
        assert!(working.stands_like(&after(1)) && !given_up.stands_like(&working));
    }

    #[test]
    fn a_stored_operation_is_read_back() {
        let operation = after(3);
        let stored = serde_json::to_value(&operation).unwrap();
        assert_eq!(serde_json::from_value::<Operation>(stored).unwrap(), operation);
        let view = operation.view(NOW);
        assert_eq!((&view["phase"], &view["kind"]), (&json!("CutoverDeltaPass"), &json!("rebalance")));
        for change in [reshard(true), Wanted::Index(IndexChange::RevertReshard { index: "a".to_owned() })] {
            let stored = serde_json::to_value(planned_as(change.clone())).unwrap();
            assert_eq!(serde_json::from_value::<Operation>(stored).unwrap().change, change);
        }
    }
}

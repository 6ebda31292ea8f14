//! Carries operations out, phase by phase, on the control executor of the pod that leads.
//!
//! Invariants: whatever is done in a phase may be done twice; versions of the topology follow on that of the plan one
//! by one, so that a pod which takes over sees what has been done; what cannot be done for a while pauses the
//! operation and says why.

use std::sync::Arc;

use router::{NodeIndex, Topology, TopologyError, rebalance::ShapeChange};

use crate::{
    config::limits,
    membership::{
        catch_up::has_suspects,
        rebalance::{
            absences::Absences,
            forecast,
            operation::{Copies, Event, Operation, Phase, Status, Wanted},
            pods::{wait_for_reads, wait_for_writes},
            queue::{self, QueueError},
            shards,
            work::{Moves, Trouble, Work},
        },
        reshard,
    },
    nodes::health::NodeState,
    observe::log,
    state::{
        core::Core,
        leadership::{Term, scope},
        placed,
    },
    wire::runtime,
    write::lane,
};

/// Versions after that of the plan.
const PREPARED: u64 = 1;
const BEGUN: u64 = 2;
const MADE: u64 = 3;
const ALONE: u64 = 4;
const SETTLED: u64 = 5;

/// Works on the operation whose turn it is until it ends, pauses, or is another pod's.
pub(crate) async fn work_off(core: &Core, absences: &Absences) {
    let Some(term) = core.shared.coordinator.term(scope::TOPOLOGY) else { return };
    if let Err(error) = absences.look(&core.shared).await {
        return log::warn("operations_not_read", &[("reason", &error.to_string())]);
    }
    let (mut attempts, mut level) = (0, None);
    while !core.shared.coordinator.is_draining() {
        let operation = match queue::current(&core.shared).await {
            Ok(Some(operation)) => operation,
            Ok(None) => return,
            Err(error) => return log::warn("operations_not_read", &[("reason", &error.to_string())]),
        };
        let event = match perform((core, &term, absences), operation.clone(), &mut level).await {
            Ok(event) => event,
            Err(trouble) if trouble.is_over => {
                attempts = 0;
                if core.shared.coordinator.term(scope::TOPOLOGY).as_ref() != Some(&term) {
                    return;
                }
                continue;
            }
            Err(trouble) if attempts < limits::OPERATION_ATTEMPTS_MAX => {
                attempts += 1;
                let fields = [("operation", &*operation.operation.to_string()), ("reason", &trouble.reason)];
                log::warn("operation_waits", &fields);
                runtime::sleep(limits::OPERATION_RETRY_PAUSE).await;
                continue;
            }
            Err(trouble) => Event::Failed { reason: trouble.reason },
        };
        attempts = 0;
        match queue::advance(&core.shared, &term, &operation, event).await {
            Ok(operation) => note(&operation),
            Err(QueueError::NotNow(_)) => {}
            Err(error) => return log::warn("operation_not_stored", &[("reason", &error.to_string())]),
        }
    }
}

fn note(operation: &Operation) {
    let phase = format!("{:?}", operation.phase);
    let status = format!("{:?}", operation.status);
    let reason = operation.reason.clone().unwrap_or_default();
    log::info(
        "operation",
        &[
            ("operation", &operation.operation.to_string()),
            ("kind", operation.kind()),
            ("status", &status),
            ("phase", &phase),
            ("reason", &reason),
        ],
    );
    let is_running = f64::from(u8::from(operation.status == Status::Running));
    match &operation.change {
        Wanted::Shape(_) => {
            metrics::counter!("miroir_rebalance_phases_total", "phase" => phase).increment(1);
            metrics::gauge!("miroir_rebalance_in_progress").set(is_running);
        }
        Wanted::Index(_) => {
            metrics::counter!("miroir_reshard_phases_total", "phase" => phase).increment(1);
            metrics::gauge!("miroir_reshard_in_progress").set(is_running);
        }
    }
}

/// Does what the phase asks for; answers what has happened then. `level` is the operation on an index whose copies this
/// run has found to be equal.
async fn perform(
    (core, term, absences): (&Core, &Term, &Absences),
    operation: Operation,
    level: &mut Option<u64>,
) -> Result<Event, Trouble> {
    placed::refresh(&core.shared).await?;
    let wanted = operation.change.clone();
    let work = Work { core, term: term.clone(), operation, absences };
    match wanted {
        Wanted::Index(change) => reshard::phases::perform(&work, &change, level).await,
        Wanted::Shape(change) => perform_shape(work, &change).await,
    }
}

async fn perform_shape(work: Work<'_>, change: &ShapeChange) -> Result<Event, Trouble> {
    let (core, operation) = (work.core, &work.operation);
    if operation.status == Status::Queued {
        return Ok(Event::Begun);
    }
    if operation.phase == Phase::ComputingAssignments {
        return compute(core, operation.operation, change).await;
    }
    let plan = queue::plan(&core.shared, operation.operation).await?;
    let phase = operation.phase;
    let moves = Moves { work, plan };
    match phase {
        Phase::ComputingAssignments
        | Phase::ShadowCreate
        | Phase::Backfill
        | Phase::Verify
        | Phase::Complete => {}
        Phase::DualWrite => moves.write_to_both().await?,
        Phase::CutoverBegin => moves.check_targets().await?,
        Phase::CutoverDraining => wait_for_writes(core).await?,
        Phase::CutoverDeltaPass if core.shared.config.migration_skip_delta_pass => {}
        Phase::CutoverDeltaPass => moves.compare(true).await?,
        Phase::CutoverActivate => moves.activate().await?,
        Phase::CutoverCleanup if moves.operation.is_undone => moves.undo().await?,
        Phase::CutoverCleanup => moves.clean_up().await?,
    }
    Ok(Event::Done)
}

async fn compute(core: &Core, operation: u64, change: &ShapeChange) -> Result<Event, Trouble> {
    let topology = Arc::clone(&core.shared.snapshot().topology);
    let plan = match topology.plan(change) {
        Ok(plan) => plan,
        Err(error) => return Ok(Event::Refused { reason: error.to_string() }),
    };
    let documents = forecast::documents(core, &plan).await.map_or(0, |counted| counted.documents);
    queue::keep_plan(&core.shared, operation, &plan).await?;
    let shards = forecast::shards(&plan);
    Ok(Event::Planned { base: topology.version, shards, documents, copies: Copies::default() })
}

impl Moves<'_> {
    /// Makes a version of the topology unless it has been made; answers its number.
    async fn commit(
        &self,
        step: u64,
        next: impl FnOnce(&Topology) -> Result<Topology, TopologyError>,
    ) -> Result<u64, Trouble> {
        let shared = &self.core.shared;
        placed::refresh(shared).await?;
        let current = Arc::clone(&shared.snapshot().topology);
        let version = self.operation.base + step;
        if current.version >= version {
            return Ok(version);
        }
        if current.version + 1 != version {
            let found = current.version;
            return Err(Trouble::new(format!("the topology has version {found}, not {}", version - 1)));
        }
        let next = next(&current)?;
        let value = serde_json::to_value(&next).map_err(Trouble::new)?;
        shared.store.put_topology(Some(current.version), version, value).await?;
        drop(current);
        placed::adopt(shared, next).await?;
        Ok(version)
    }

    async fn write_to_both(&self) -> Result<(), Trouble> {
        // A read that asks nodes which get extra copies names its shards, before they get any.
        let version = self.commit(PREPARED, |topology| topology.with_moves_prepared(&self.plan)).await?;
        if self.core.shared.snapshot().topology.version == version {
            wait_for_reads(self, version).await?;
            // A document that comes to a node before its index would make one there without settings.
            self.wait_for_targets().await?;
        }
        self.commit(BEGUN, |topology| topology.with_moves_begun(&self.plan)).await?;
        wait_for_writes(self.core).await?;
        self.wait_for_targets().await?;
        self.compare(false).await
    }

    async fn wait_for_targets(&self) -> Result<(), Trouble> {
        let waited_for = |node: &NodeIndex| self.trouble_with(*node).is_some();
        let deadline = runtime::now() + limits::REPAIR_TASK_TIMEOUT;
        while self.targets().iter().any(waited_for) && runtime::now() < deadline {
            self.check_wish().await?;
            runtime::sleep(limits::OPERATION_LOOK_INTERVAL).await;
        }
        self.check_targets().await
    }

    /// What keeps a node from owning shards.
    fn trouble_with(&self, node: NodeIndex) -> Option<String> {
        let nodes = &self.core.shared.nodes;
        let id = &nodes.addresses[usize::from(node.0)].id;
        match nodes.health.state(node) {
            NodeState::Healthy if nodes.hints.lets_through(node) => None,
            NodeState::Healthy => Some(format!("node {id} has missed writes")),
            state @ (NodeState::Unknown
            | NodeState::Suspect
            | NodeState::Down
            | NodeState::Joining
            | NodeState::Draining) => Some(format!("node {id} is {}", state.as_str())),
        }
    }

    async fn check_targets(&self) -> Result<(), Trouble> {
        for node in self.targets() {
            if let Some(trouble) = self.trouble_with(node) {
                return Err(Trouble::new(trouble));
            }
            if has_suspects(self.core, node).await {
                let id = &self.core.shared.nodes.addresses[usize::from(node.0)].id;
                return Err(Trouble::new(format!("what node {id} holds is being compared with others")));
            }
        }
        Ok(())
    }

    async fn activate(&self) -> Result<(), Trouble> {
        let core = self.core;
        let snapshot = core.shared.snapshot();
        let is_made = snapshot.topology.version >= self.operation.base + MADE;
        let names = snapshot.in_order().into_iter().map(|index| index.record.uid.clone()).collect::<Vec<_>>();
        drop(snapshot);
        if !is_made {
            let names = names.iter().map(String::as_str).collect();
            let hold = lane::lock(core, names).await;
            let _hold = hold.map_err(|_| Trouble::new("the indexes are busy"))?;
            // With no write under way each target has all there is, and has done it.
            self.check_targets().await?;
            shards::wait_until_idle(core, &self.targets()).await?;
            self.check_targets().await?;
            self.commit(MADE, |topology| topology.with_moves_made(&self.plan)).await?;
        }
        wait_for_reads(self, self.operation.base + MADE).await
    }

    async fn clean_up(&self) -> Result<(), Trouble> {
        self.commit(ALONE, Topology::with_owners_only).await?;
        self.sweep_and_settle(SETTLED).await
    }

    /// Gives up what was begun.
    async fn undo(&self) -> Result<(), Trouble> {
        let base = self.operation.base;
        let version = self.core.shared.snapshot().topology.version;
        match version - base {
            // Nothing was.
            0 => return Ok(()),
            // What was never written to has nothing to be swept.
            PREPARED => drop(self.commit(BEGUN, |topology| topology.with_moves_begun(&self.plan)).await?),
            _ => {}
        }
        self.commit(MADE, Topology::with_owners_only).await?;
        self.sweep_and_settle(ALONE).await
    }

    async fn sweep_and_settle(&self, step: u64) -> Result<(), Trouble> {
        let shared = &self.core.shared;
        if shared.snapshot().topology.version < self.operation.base + step {
            wait_for_writes(self.core).await?;
            shards::sweep(self).await?;
        }
        let undone = self.operation.is_undone;
        self.commit(step, |topology| topology.settled(&self.plan, undone)).await?;
        let topology = Arc::clone(&shared.snapshot().topology);
        let mut cuts = Vec::new();
        for (position, node) in topology.nodes.iter().enumerate() {
            if topology.index_of(&node.id).is_none() {
                let index = NodeIndex(u16::try_from(position).unwrap_or(u16::MAX));
                cuts.extend(shared.nodes.hints.forget(index, &node.id));
            }
        }
        if !cuts.is_empty() {
            shared.commit_by(&self.term, cuts).await?;
        }
        Ok(())
    }
}

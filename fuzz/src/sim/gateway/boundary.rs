//! Faults at the boundaries of phases: a pod or a node is killed, paused or cut off at the moment at which an operation
//! enters a phase, while clients write in a burst.
//! - The moment is that of the gateway's own log line, which follows on the commit of the phase.
//! - Which fault has met which phase is counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use gateway::observe;

use super::kernel::Site;
use super::{CALM, FAULTY, Flaw, World, network};

/// How long clients write without a pause.
const BURST: Duration = Duration::from_millis(400);
/// How many boundaries of a hundred are met by a fault.
const STRUCK_PERCENT: u8 = 40;
/// How many of a hundred copies that are being prepared slip.
const SLIPS_PERCENT: u8 = 30;

/// An operation has entered a phase, or has paused, or has ended.
#[derive(Debug, Clone)]
pub(super) struct Entered {
    pub(super) kind: String,
    pub(super) phase: String,
    pub(super) status: String,
    /// The pod that leads.
    pub(super) leader: Site,
}

thread_local! {
    static ENTERED: RefCell<VecDeque<Entered>> = RefCell::default();
    /// The phase that was entered last, of whichever operation.
    static PHASE: RefCell<String> = RefCell::default();
}

/// Takes note of a gateway's log line.
pub(super) fn heard(site: Site, event: &str, fields: &[(&str, &str)]) {
    if event != "operation" {
        return;
    }
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned()).unwrap_or_default()
    };
    let entered =
        Entered { kind: field("kind"), phase: field("phase"), status: field("status"), leader: site };
    PHASE.set(entered.phase.clone());
    ENTERED.with_borrow_mut(|all| all.push_back(entered));
}

pub(super) fn forget() {
    ENTERED.take();
    PHASE.take();
}

/// Whether something has been heard that was not taken yet.
pub(super) fn is_entered() -> bool {
    ENTERED.with_borrow(|all| !all.is_empty())
}

pub(super) fn take() -> Option<Entered> {
    ENTERED.with_borrow_mut(VecDeque::pop_front)
}

/// Whether the operation that was heard of last is in a phase.
pub(super) fn is_in(phases: &[&str]) -> bool {
    PHASE.with_borrow(|now| phases.contains(&now.as_str()))
}

/// What happens at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    KillLeader,
    PauseLeader,
    /// The leading pod does not reach the store, or no node.
    CutLeader,
    KillOther,
    PauseOther,
    CutOther,
    KillNode,
    PauseNode,
    CutNode,
}

impl Blow {
    pub const ALL: [Self; 9] = [
        Self::KillLeader,
        Self::PauseLeader,
        Self::CutLeader,
        Self::KillOther,
        Self::PauseOther,
        Self::CutOther,
        Self::KillNode,
        Self::PauseNode,
        Self::CutNode,
    ];
}

impl World {
    /// Strikes, or not, for all phases that were entered.
    pub(super) fn strike(&mut self) {
        while let Some(entered) = take() {
            self.kernel.note(("entered", &entered.kind, &entered.phase, &entered.status));
            if entered.status != "Running" {
                continue;
            }
            self.record.borrow_mut().burst_until = self.kernel.now() + BURST;
            if entered.phase == "CutoverBegin" {
                let always = self.flaw == Some(Flaw::DeltaPassSkipped);
                if self.kernel.random(|rng| rng.u8(0..100)) < SLIPS_PERCENT || always {
                    self.slip(entered.leader);
                }
            }
            let (drawn, blow, delay) = self
                .kernel
                .random(|rng| (rng.u8(0..100), Blow::ALL[rng.usize(0..Blow::ALL.len())], rng.u64(0..60)));
            let struck = match (self.flaw, entered.phase.as_str()) {
                (Some(Flaw::MovedTooEarly), "DualWrite") | (Some(Flaw::SweptTooEarly), "CutoverActivate") => {
                    Some((Blow::CutOther, 0))
                }
                // The worlds with other flaws of this kind are calm, so that operations come to their end.
                (Some(flaw), _) if flaw.changes_shape() => None,
                _ => (drawn < STRUCK_PERCENT).then_some((blow, delay / 30 * delay)),
            };
            if let Some((blow, delay)) = struck {
                *self.boundaries.entry((entered.phase.clone(), blow)).or_default() += 1;
                self.blow(blow, entered.leader, Duration::from_millis(delay));
            }
        }
    }

    fn blow(&mut self, blow: Blow, leader: Site, delay: Duration) {
        // Usually at once, sometimes when the first steps of the phase are done.
        if !delay.is_zero() {
            self.kernel.run_until(self.kernel.now() + delay);
        }
        let lasts = self.kernel.random(|rng| rng.u64(500..9_000));
        let until = (self.kernel.now() + Duration::from_millis(lasts)).min(CALM + FAULTY);
        let others: Vec<Site> = self.pods.keys().copied().filter(|pod| *pod != leader).collect();
        let (other, any_node, is_near) = self
            .kernel
            .random(|rng| (others[rng.usize(0..others.len())], rng.usize(0..self.nodes.len()), rng.bool()));
        let any_node = super::FIRST_NODE + any_node;
        let node = self.record.borrow().changes.subject.filter(|_| is_near).unwrap_or(any_node);
        self.faults += 1;
        let fields =
            [("blow", &*format!("{blow:?}")), ("node", &*node.to_string()), ("lasts", &lasts.to_string())];
        observe::log::info("blow", &fields);
        match blow {
            Blow::KillLeader => self.kill_pod(leader, until),
            Blow::PauseLeader => self.pause_pod(leader, until),
            Blow::CutLeader if is_near => self.cut_store(leader, until),
            Blow::CutLeader => self.nodes.keys().for_each(|node| network::cut(leader, *node, until)),
            Blow::KillOther => self.kill_pod(other, until),
            Blow::PauseOther => self.pause_pod(other, until),
            Blow::CutOther => self.cut_store(other, until),
            Blow::KillNode => self.kill_node(node, until, false),
            Blow::PauseNode => self.kernel.pause(node, until),
            Blow::CutNode => self.pods.keys().for_each(|pod| network::cut(*pod, node, until)),
        }
    }
}

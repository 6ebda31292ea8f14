//! Simulates whole gateways: data cores and control of several pods, their store and model nodes in one thread with a
//! simulated clock. Links are slow or cut, the store is unreachable, pods and nodes are paused, killed or without
//! power.
//! - The seed determines the whole run, and two runs of one seed have the same trace.
//! - The gateway's code is the product's; it runs on the third implementation of the runtime seam (`runtime`).
//! - Checkers watch all the time (`check`), and at the end, after all faults.

pub(crate) mod boundary;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod flaws;
pub(crate) mod http;
pub(crate) mod kernel;
pub(crate) mod model_node;
pub(crate) mod network;
pub(crate) mod operator;
pub(crate) mod pod;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod runtime;
pub(crate) mod store;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway::{clock, observe};

use self::store::Service;
pub use boundary::Blow;
use check::Checks;
use client::Client;
pub use flaws::Flaw;
use kernel::{Kernel, Run, Site, kernel};
use model_node::{Disk, Rest};
use network::Weather;
use operator::Operator;
use pod::{Plan, View};
use record::Known;

const FIRST_POD: Site = 1;
const FIRST_NODE: Site = 10;
const FIRST_CLIENT: Site = 30;
const OPERATOR: Site = 40;
/// The site of events that belong to no machine.
const WORLD: Site = 0;

/// How long everything has to start, how long faults occur, and how long copies have to become equal after them.
const CALM: Duration = Duration::from_secs(8);
const FAULTY: Duration = Duration::from_secs(50);
const QUIET_MIN: Duration = Duration::from_secs(35);
const QUIET_MAX: Duration = Duration::from_secs(300);
/// Servers that are no nodes at first, where the cluster changes its shape.
const SPARES: usize = 2;
/// Registers that are rarely written.
const KEPT: usize = 12;
/// How long a pod that is asked to stop has for that.
const DRAINED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(5);
const LAST_QUESTIONS: Duration = Duration::from_secs(120);

/// Figures of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// Equal for two runs of a seed.
    pub trace: u64,
    /// The number of turns of tasks.
    pub turns: u64,
    pub writes: usize,
    pub acknowledged: usize,
    pub reads: u64,
    /// Registers that were read while only one value was possible.
    pub certain_reads: u64,
    pub faults: u64,
    /// How often which fault met the beginning of which phase.
    pub boundaries: BTreeMap<(String, Blow), u64>,
    /// How many changes of shape of a kind have come to an end, and to which.
    pub changes: BTreeMap<String, u64>,
    /// Seconds from the last fault until copies were equal.
    pub level_after: u64,
}

struct World {
    kernel: Rc<Kernel>,
    plan: Plan,
    service: Rc<Service>,
    /// The store of the second pod, if there are two stores.
    other_service: Option<Rc<Service>>,
    pods: BTreeMap<Site, View>,
    nodes: BTreeMap<Site, Rc<RefCell<Disk>>>,
    record: Known,
    checks: Rc<Checks>,
    faults: u64,
    boundaries: BTreeMap<(String, Blow), u64>,
    /// Servers that may become nodes.
    spares: Vec<Site>,
    flaw: Option<Flaw>,
}

/// Runs one seed to its end.
///
/// # Panics
/// When a checker finds a violation; the message names it.
#[must_use]
pub fn run(seed: u64) -> Outcomes {
    run_world(seed, None, false)
}

/// Like [`run`], while an operator changes the cluster's shape.
///
/// # Panics
/// When a checker finds a violation; the message names it.
#[must_use]
pub fn run_changing(seed: u64) -> Outcomes {
    run_world(seed, None, true)
}

/// Like [`run`] or [`run_changing`] in a world with a flaw, which a checker should find.
///
/// # Panics
/// When a checker finds a violation.
#[must_use]
pub fn run_with(seed: u64, flaw: Flaw) -> Outcomes {
    run_world(seed, Some(flaw), flaw.changes_shape())
}

fn run_world(seed: u64, flaw: Option<Flaw>, changes_shape: bool) -> Outcomes {
    clock::set_wall(kernel::wall);
    observe::log::divert(check::heard);
    check::forget();
    let run = Run::begin(seed);
    runtime::SIMULATED.enter();
    let mut world = World::new(&run, flaw, changes_shape);
    world.live();
    world.finish()
}

impl World {
    fn new(run: &Run, flaw: Option<Flaw>, changes_shape: bool) -> Self {
        let kernel = Rc::clone(&run.0);
        let (weather, plan, pods) = kernel.random(|rng| {
            let weather = Weather { slow_permille: rng.u32(0..60), torn_permille: rng.u32(0..100) };
            let groups = rng.u16(1..=2);
            let replication_factor = if groups == 1 { 2 } else { rng.u16(1..=2) };
            let per_group = usize::from(replication_factor) + rng.usize(0..=1);
            let groups = (0..groups).flat_map(|group| std::iter::repeat_n(group, per_group));
            let nodes = groups.enumerate().map(|(number, group)| (FIRST_NODE + number, group)).collect();
            let plan = Plan {
                nodes,
                replication_factor,
                cores: rng.usize(1..=2),
                anti_entropy: true,
                skips_delta_pass: flaw == Some(Flaw::DeltaPassSkipped),
            };
            (weather, plan, rng.usize(2..=3))
        });
        let pods = if changes_shape { 3 } else { pods };
        let first_spare = FIRST_NODE + plan.nodes.len();
        let spares = if changes_shape { first_spare..first_spare + SPARES } else { 0..0 };
        let anti_entropy = flaw != Some(Flaw::HintsForgotten);
        network::begin(weather);
        let service = Service::begin(&kernel);
        Self {
            plan: Plan { anti_entropy, ..plan },
            other_service: (flaw == Some(Flaw::TwoStores)).then(|| Service::begin(&kernel)),
            pods: (0..pods).map(|number| (FIRST_POD + number, View::default())).collect(),
            nodes: BTreeMap::new(),
            record: Known::default(),
            checks: Rc::default(),
            faults: 0,
            boundaries: BTreeMap::new(),
            spares: spares.collect(),
            service,
            kernel,
            flaw,
        }
    }

    fn changes_shape(&self) -> bool {
        !self.spares.is_empty()
    }

    fn live(&mut self) {
        let servers = self.plan.nodes.iter().map(|(site, _)| *site).chain(self.spares.clone());
        for site in servers.collect::<Vec<_>>() {
            let (answer_ms, task_ms) = self.kernel.random(|rng| (rng.u64(1..8), rng.u64(5..120)));
            let disk = Rc::new(RefCell::new(Disk::default()));
            disk.borrow_mut().rest = Rest { answer_ms, task_ms };
            self.nodes.insert(site, disk);
            self.start_node(site);
        }
        let pods: Vec<Site> = self.pods.keys().copied().collect();
        for pod in &pods {
            self.start_pod(*pod);
        }
        self.record.borrow_mut().nodes = self.nodes.clone();
        self.begin_flaw();
        self.checks.watch_leaders(self.pods.values().cloned().collect());
        let client = Client { pods, record: Rc::clone(&self.record) };
        let preparing = client.clone();
        self.kernel.on(FIRST_CLIENT, || self.kernel.spawn(async move { preparing.prepare().await }));
        self.kernel.run_until(CALM);
        self.begin_clients(&client);
        while self.kernel.now() < CALM + FAULTY {
            let pause = self.kernel.random(|rng| rng.u64(self.pauses()));
            let until = (self.kernel.now() + Duration::from_millis(pause)).min(CALM + FAULTY);
            while self.kernel.now() < until {
                self.kernel.run_while(until, || !boundary::is_entered());
                self.strike();
            }
            self.checks.hold(&self.record);
            self.fault();
        }
    }

    /// The milliseconds between two faults; with fewer faults operations get farther.
    fn pauses(&self) -> Range<u64> {
        if self.changes_shape() { 1_000..14_000 } else { 200..5_000 }
    }

    fn begin_clients(&self, client: &Client) {
        let over = CALM + FAULTY;
        for number in 0..self.kernel.random(|rng| rng.usize(2..=4)) {
            let keys = (0..4).map(|key| format!("c{number}-k{key}")).collect();
            let working = client.clone().work(keys, over);
            self.kernel.on(FIRST_CLIENT + number, || self.kernel.spawn(working));
        }
        let (building, keys) = (client.clone().build(over), (0..KEPT).map(|key| format!("kept-{key}")));
        let (keeping, watching) = (client.clone().keep(keys.collect(), over), client.clone().watch(over));
        self.kernel.on(FIRST_CLIENT, || {
            self.kernel.spawn(building);
            self.kernel.spawn(keeping);
            self.kernel.spawn(watching);
        });
        if self.changes_shape() {
            let servers = self.nodes.keys().copied().collect();
            let operating = Operator { client: client.clone(), servers }.work(over);
            self.kernel.on(OPERATOR, || self.kernel.spawn(operating));
        } else {
            self.record.borrow_mut().changes.is_over = true;
        }
    }

    fn start_node(&self, site: Site) {
        self.kernel.on(site, || model_node::start(&self.nodes[&site]));
    }

    fn start_pod(&self, site: Site) {
        pod::start(&self.plan, site, self.service_of(site), &self.pods[&site]);
    }

    fn service_of(&self, site: Site) -> &Rc<Service> {
        self.other_service.as_ref().filter(|_| site != FIRST_POD).unwrap_or(&self.service)
    }

    fn random_pod(&self) -> Site {
        self.kernel.random(|rng| FIRST_POD + rng.usize(0..self.pods.len()))
    }

    fn random_node(&self) -> Site {
        self.kernel.random(|rng| FIRST_NODE + rng.usize(0..self.nodes.len()))
    }

    /// Injects a fault for some time.
    fn fault(&mut self) {
        let now = self.kernel.now();
        if now >= CALM + FAULTY {
            return;
        }
        self.faults += 1;
        let longest = if self.changes_shape() { 6_000 } else { 12_000 };
        let (kind, lasts) = self.kernel.random(|rng| (rng.u8(0..17), rng.u64(100..longest)));
        let until = (now + Duration::from_millis(lasts)).min(CALM + FAULTY);
        let (pod, node) = (self.random_pod(), self.random_node());
        match kind {
            0..3 => self.kill_pod(pod, until),
            3..5 => self.pause_pod(pod, until),
            5..7 => self.kill_node(node, until, false),
            7 => self.kill_node(node, until, true),
            8 => self.kernel.pause(node, until),
            16 => self.drain_pod(pod, until),
            9..11 => network::cut(pod, node, until),
            11 => self.nodes.keys().for_each(|node| network::cut(pod, *node, until)),
            12..14 => self.cut_store(pod, until),
            14 => self.pods.keys().for_each(|pod| self.cut_store(*pod, until)),
            _ => {
                let service = Rc::clone(&self.service);
                service.slow(Duration::from_millis(lasts / 20));
                self.pods.keys().for_each(|pod| self.record.borrow_mut().is_out_of_touch(*pod, until));
                self.kernel.at(until, move || service.slow(Duration::ZERO));
            }
        }
        self.kernel.note(("fault", kind, pod, node));
        observe::log::info(
            "fault",
            &[
                ("kind", &kind.to_string()),
                ("pod", &pod.to_string()),
                ("node", &node.to_string()),
                ("lasts", &lasts.to_string()),
            ],
        );
    }

    fn pause_pod(&self, site: Site, until: Duration) {
        self.record.borrow_mut().is_out_of_touch(site, until);
        self.kernel.pause(site, until);
    }

    /// Cuts a pod off from its store.
    fn cut_store(&self, site: Site, until: Duration) {
        self.record.borrow_mut().is_out_of_touch(site, until);
        self.service.cut(site, until);
    }

    fn kill_pod(&self, site: Site, until: Duration) {
        self.record.borrow_mut().is_out_of_touch(site, until);
        let view = &self.pods[&site];
        let was_up = view.borrow_mut().take().is_some();
        if !was_up {
            return;
        }
        self.kernel.kill(site);
        let (plan, service, view) = (self.plan.clone(), Rc::clone(self.service_of(site)), Rc::clone(view));
        self.kernel.at(until, move || pod::start(&plan, site, &service, &view));
    }

    /// Asks a pod to stop: it releases what it holds, and is killed a little later whether or not it succeeded.
    fn drain_pod(&self, site: Site, until: Duration) {
        let view = self.pods[&site].borrow().clone();
        let Some(shared) = view else { return };
        self.record.borrow_mut().is_out_of_touch(site, until);
        shared.draining.store(true, Ordering::Relaxed);
        shared.coordinator.drain();
        let (plan, service, view) =
            (self.plan.clone(), Rc::clone(self.service_of(site)), Rc::clone(&self.pods[&site]));
        self.kernel.at(self.kernel.now() + DRAINED, move || {
            let is_it = view.borrow().as_ref().is_some_and(|now| Arc::ptr_eq(now, &shared));
            if is_it {
                view.borrow_mut().take();
                kernel().kill(site);
                kernel().at(until, move || pod::start(&plan, site, &service, &view));
            }
        });
    }

    fn kill_node(&self, site: Site, until: Duration, is_dark: bool) {
        if is_dark {
            network::set_silent(site, true);
        }
        self.kernel.kill(site);
        let disk = Rc::clone(&self.nodes[&site]);
        self.kernel.at(until, move || {
            network::set_silent(site, false);
            // The node may have been killed twice.
            kernel().kill(site);
            kernel().on(site, || model_node::start(&disk));
        });
    }

    /// After all faults: acknowledged writes are there, copies are equal, tasks have ended everywhere.
    fn finish(self) -> Outcomes {
        let over = self.kernel.now();
        let client = Client { pods: self.pods.keys().copied().collect(), record: Rc::clone(&self.record) };
        let mut differing;
        loop {
            self.kernel.run_until(self.kernel.now() + LOOK);
            self.checks.hold(&self.record);
            differing = check::differing(&self.pods, &self.nodes);
            let changes = &self.record.borrow().changes;
            if !changes.is_over {
                differing.push(format!("the operator is at work: {:?}", changes.open));
            }
            let waited = self.kernel.now() - over;
            if (differing.is_empty() && waited >= QUIET_MIN) || waited >= QUIET_MAX {
                break;
            }
        }
        let level_after = (self.kernel.now() - over).as_secs();
        assert!(
            differing.is_empty(),
            "copies differ {level_after} s after the last fault: {}",
            listed(&differing)
        );
        self.spoil();
        let (checks, asking) = (Rc::clone(&self.checks), client);
        let done = Rc::new(RefCell::new(false));
        let told = Rc::clone(&done);
        self.kernel.on(FIRST_CLIENT, || {
            self.kernel.spawn(async move {
                checks.final_state(&asking).await;
                *told.borrow_mut() = true;
            });
        });
        let last = self.kernel.now() + LAST_QUESTIONS;
        while !*done.borrow() && self.kernel.now() < last {
            self.kernel.run_until(self.kernel.now() + Duration::from_secs(1));
        }
        self.checks.hold(&self.record);
        assert!(*done.borrow(), "the last questions are not answered");
        let record = self.record.borrow();
        let operations = || record.registers.values().flatten();
        Outcomes {
            trace: self.kernel.trace(),
            turns: self.kernel.turns(),
            writes: operations().count(),
            acknowledged: operations().filter(|operation| operation.acknowledged.is_some()).count(),
            reads: record.reads + record.lists,
            certain_reads: record.certain_reads,
            boundaries: self.boundaries.clone(),
            changes: record.changes.ended.clone(),
            faults: self.faults,
            level_after,
        }
    }
}

/// The first few of the findings.
fn listed(found: &[String]) -> String {
    let mut text = String::new();
    for line in found.iter().take(6) {
        let _ = write!(text, "\n  {line}");
    }
    text
}

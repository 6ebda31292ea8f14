//! Simulates whole gateways: data cores and control of several pods, their store and model nodes in one thread with a
//! simulated clock. Links are slow or cut, the store is unreachable, pods and nodes are paused, killed or without
//! power.
//! - The seed determines the whole run, and two runs of one seed have the same trace.
//! - The gateway's code is the product's; it runs on the third implementation of the runtime seam (`runtime`).
//! - Checkers watch all the time (`check`), and at the end, after all faults.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod http;
pub(crate) mod kernel;
pub(crate) mod model_node;
pub(crate) mod network;
pub(crate) mod pod;
pub(crate) mod runtime;
pub(crate) mod store;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::store::Change;
use gateway::nodes::hints::{HINTS, SUSPECT_SHARDS};
use gateway::{clock, observe};
use serde_json::json;

use self::store::Service;
use check::Checks;
use client::{Client, Known, Operation};
use kernel::{Kernel, Run, Site, kernel};
use model_node::{Disk, Rest};
use network::Weather;
use pod::{Plan, View};

const FIRST_POD: Site = 1;
const FIRST_NODE: Site = 10;
const FIRST_CLIENT: Site = 30;
/// The site of events that belong to no machine.
const WORLD: Site = 0;

/// How long everything has to start, how long faults occur, and how long copies have to become equal after them.
const CALM: Duration = Duration::from_secs(8);
const FAULTY: Duration = Duration::from_secs(50);
const QUIET_MIN: Duration = Duration::from_secs(35);
const QUIET_MAX: Duration = Duration::from_secs(300);
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
    pub faults: u64,
    /// Seconds from the last fault until copies were equal.
    pub level_after: u64,
}

/// A flaw of the simulated world, which the checkers must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The store forgets the hints (the writes that nodes have missed), and copies are not compared.
    HintsForgotten,
    /// Each of two pods has a store of its own, so both lead.
    TwoStores,
    /// A deleted document reappears on all its nodes.
    DeleteUndone,
    /// An overwritten value reappears on all its nodes.
    WriteLost,
    /// The store forgets a task that clients know.
    TaskForgotten,
}

impl Flaw {
    pub const ALL: [Self; 5] =
        [Self::HintsForgotten, Self::TwoStores, Self::DeleteUndone, Self::WriteLost, Self::TaskForgotten];
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
    flaw: Option<Flaw>,
}

/// Runs one seed to its end.
///
/// # Panics
/// When a checker finds a violation; the message names it.
#[must_use]
pub fn run(seed: u64) -> Outcomes {
    run_with(seed, None)
}

/// Like [`run`] in a world with a flaw, which a checker should find.
///
/// # Panics
/// When a checker finds a violation.
#[must_use]
pub fn run_with(seed: u64, flaw: Option<Flaw>) -> Outcomes {
    clock::set_wall(kernel::wall);
    observe::log::divert(check::heard);
    check::forget();
    let run = Run::begin(seed);
    runtime::SIMULATED.enter();
    let mut world = World::new(&run, flaw);
    world.live();
    world.finish()
}

impl World {
    fn new(run: &Run, flaw: Option<Flaw>) -> Self {
        let kernel = Rc::clone(&run.0);
        let (weather, plan, pods) = kernel.random(|rng| {
            let weather = Weather { slow_permille: rng.u32(0..60), torn_permille: rng.u32(0..100) };
            let groups = rng.u16(1..=2);
            let replication_factor = if groups == 1 { 2 } else { rng.u16(1..=2) };
            let per_group = usize::from(replication_factor) + rng.usize(0..=1);
            let groups = (0..groups).flat_map(|group| std::iter::repeat_n(group, per_group));
            let nodes = groups.enumerate().map(|(number, group)| (FIRST_NODE + number, group)).collect();
            let plan = Plan { nodes, replication_factor, cores: rng.usize(1..=2), anti_entropy: true };
            (weather, plan, rng.usize(2..=3))
        });
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
            service,
            kernel,
            flaw,
        }
    }

    fn live(&mut self) {
        for (site, _) in self.plan.nodes.clone() {
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
        if self.flaw == Some(Flaw::HintsForgotten) {
            self.forget_hints();
        }
        self.checks.watch_leaders(self.pods.values().cloned().collect());
        let client = Client { pods, record: Rc::clone(&self.record) };
        let preparing = client.clone();
        self.kernel.on(FIRST_CLIENT, || self.kernel.spawn(async move { preparing.prepare().await }));
        self.kernel.run_until(CALM);
        for number in 0..self.kernel.random(|rng| rng.usize(2..=4)) {
            let keys = (0..4).map(|key| format!("c{number}-k{key}")).collect();
            let working = client.clone().work(keys, CALM + FAULTY);
            self.kernel.on(FIRST_CLIENT + number, || self.kernel.spawn(working));
        }
        let building = client.build(CALM + FAULTY);
        self.kernel.on(FIRST_CLIENT, || self.kernel.spawn(building));
        while self.kernel.now() < CALM + FAULTY {
            let pause = self.kernel.random(|rng| rng.u64(200..5_000));
            let until = (self.kernel.now() + Duration::from_millis(pause)).min(CALM + FAULTY);
            self.kernel.run_until(until);
            self.checks.hold(&self.record);
            self.fault();
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
        let (kind, lasts) = self.kernel.random(|rng| (rng.u8(0..17), rng.u64(100..12_000)));
        let until = (now + Duration::from_millis(lasts)).min(CALM + FAULTY);
        let (pod, node) = (self.random_pod(), self.random_node());
        match kind {
            0..3 => self.kill_pod(pod, until),
            3..5 => self.kernel.pause(pod, until),
            5..7 => self.kill_node(node, until, false),
            7 => self.kill_node(node, until, true),
            8 => self.kernel.pause(node, until),
            16 => self.drain_pod(pod, until),
            9..11 => network::cut(pod, node, until),
            11 => self.nodes.keys().for_each(|node| network::cut(pod, *node, until)),
            12..14 => self.service.cut(pod, until),
            14 => self.pods.keys().for_each(|pod| self.service.cut(*pod, until)),
            _ => {
                let service = Rc::clone(&self.service);
                service.slow(Duration::from_millis(lasts / 20));
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

    fn kill_pod(&self, site: Site, until: Duration) {
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
            reads: record.reads,
            faults: self.faults,
            level_after,
        }
    }

    /// Performs a flaw that takes effect at the end, if there is one and something to apply it to.
    fn spoil(&self) {
        let record = self.record.borrow();
        let register = |wanted: fn(&Option<u64>) -> bool| {
            let certain = |(key, operations): (&String, &Vec<Operation>)| {
                let allowed = check::allowed(operations);
                (allowed.len() == 1 && allowed.iter().all(wanted)).then(|| key.clone())
            };
            record.registers.iter().find_map(certain)
        };
        match self.flaw {
            Some(Flaw::DeleteUndone) => {
                register(Option::is_none).into_iter().for_each(|key| self.overwrite(&key, 1));
            }
            Some(Flaw::WriteLost) => {
                register(Option::is_some).into_iter().for_each(|key| self.overwrite(&key, 1_000_000));
            }
            Some(Flaw::TaskForgotten) => {
                let tasks =
                    record.tasks.keys().filter_map(|task| u32::try_from(*task).ok()).take(1).collect();
                let store = self.service.connect(WORLD);
                self.kernel.on(WORLD, || {
                    self.kernel.spawn(async move { drop(store.delete_tasks(tasks).await) });
                });
            }
            Some(Flaw::HintsForgotten | Flaw::TwoStores) | None => {}
        }
    }

    /// Writes a value into a register on all nodes that own it, without the pods' knowledge.
    fn overwrite(&self, key: &str, value: u64) {
        let view = self.pods.values().find_map(|pod| pod.borrow().clone()).expect("a pod is up at the end");
        let snapshot = view.snapshot();
        let index = &snapshot.indexes[client::INDEX];
        let shard = router::shard_of(key, index.record.shards);
        let filter = router::shard_filter(&[shard].into_iter().collect());
        let marker = filter.split('"').nth(1).unwrap_or_default();
        let document = json!({"_miroir_shard": marker, "id": key, "value": value});
        for group in 0..snapshot.topology.groups().len() {
            for owner in index.placement.owners(group, shard) {
                let mut disk = self.nodes[&(FIRST_NODE + usize::from(owner.0))].borrow_mut();
                let held = disk.indexes.get_mut(&index.record.node_uid).map(|index| &mut index.documents);
                let document = document.as_object().cloned().unwrap_or_default();
                held.into_iter().for_each(|held| drop(held.insert(key.to_owned(), document.clone())));
            }
        }
    }

    /// Makes the store forget each hint as soon as it is stored.
    fn forget_hints(&self) {
        let store = self.service.connect(WORLD);
        self.kernel.on(WORLD, || {
            self.kernel.spawn(async move {
                loop {
                    for log in [HINTS, SUSPECT_SHARDS] {
                        for size in store.log_sizes(log).await.unwrap_or_default() {
                            let cut = Change::Truncate { log, stream: size.stream, through: u64::MAX - 1 };
                            drop(store.commit(vec![cut]).await);
                        }
                    }
                    kernel::sleep(Duration::from_millis(20)).await;
                }
            });
        });
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

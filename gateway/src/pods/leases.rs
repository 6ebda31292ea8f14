//! The shell of the election: performs its actions on the store and publishes its state. Runs on the control
//! executor.
//!
//! Invariant: every question to the store is a task of its own, so that a slow answer holds up no other.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    observe::log,
    pods::{
        election::{Action, Event, LEASE_TTL, Machine, PODS},
        job_claim,
    },
    state::{
        leadership::{Coordinator, Known, scope},
        placed,
        shared::Shared,
    },
    wire::runtime,
};

/// How often the election's clock ticks.
const TICK: Duration = Duration::from_millis(100);

/// Keeps this pod's leases for as long as the process lives, and gives them back at its end.
pub(crate) async fn run(shared: Arc<Shared>) {
    let coordinator = &shared.coordinator;
    if !coordinator.is_shared() {
        while !coordinator.is_draining() {
            runtime::sleep(TICK).await;
        }
        job_claim::give_back(&shared).await;
        coordinator.gave_back();
        return;
    }
    let machine = Rc::new(RefCell::new(Machine::new(coordinator.pod(), &scope::ALL)));
    loop {
        if coordinator.is_draining() {
            return give_back(&shared, &machine).await;
        }
        feed(&shared, &machine, Event::Tick);
        runtime::sleep(TICK).await;
    }
}

fn feed(shared: &Arc<Shared>, machine: &Rc<RefCell<Machine>>, event: Event) {
    let coordinator = &shared.coordinator;
    let mut actions = Vec::new();
    machine.borrow_mut().step(coordinator.now(), event, &mut actions);
    publish(coordinator, &machine.borrow());
    for action in actions {
        runtime::spawn(perform(Arc::clone(shared), Rc::clone(machine), action));
    }
}

async fn perform(shared: Arc<Shared>, machine: Rc<RefCell<Machine>>, action: Action) {
    let (store, coordinator) = (&shared.store, &shared.coordinator);
    let asked_at = coordinator.now();
    let event = match action {
        Action::Acquire { scope } => {
            let about = json!({"listen": shared.config.listen.to_string()});
            let answer = store.acquire_lease(&scope, coordinator.pod(), about, LEASE_TTL).await;
            Event::Acquired { scope, asked_at, answer }
        }
        Action::Renew { lease } => {
            let answer = store.renew_lease(&lease, LEASE_TTL).await;
            Event::Renewed { scope: lease.scope, asked_at, answer }
        }
        Action::Release { lease } => return drop(store.release_lease(&lease).await),
        Action::List => Event::Listed { answer: store.leases(PODS).await },
    };
    feed(&shared, &machine, event);
}

async fn give_back(shared: &Arc<Shared>, machine: &Rc<RefCell<Machine>>) {
    let coordinator = &shared.coordinator;
    let mut actions = Vec::new();
    machine.borrow_mut().step(coordinator.now(), Event::Drain, &mut actions);
    publish(coordinator, &machine.borrow());
    let releases = actions.into_iter().map(|action| perform(Arc::clone(shared), Rc::clone(machine), action));
    join_all(releases).await;
    job_claim::give_back(shared).await;
    // The process ends by then at the latest.
    let deadline = runtime::now() + shared.config.drain_timeout;
    let in_flight = || shared.in_flight.iter().any(|count| count.load(Ordering::Relaxed) > 0);
    while in_flight() && runtime::now() < deadline {
        runtime::sleep(TICK).await;
    }
    if let Err(error) = placed::withdraw(shared).await {
        log::warn("not_withdrawn", &[("reason", &error.to_string())]);
    }
    coordinator.gave_back();
}

/// Publishes the election's state to all cores, and logs what is new.
fn publish(coordinator: &Coordinator, machine: &Machine) {
    let now = coordinator.now();
    let leases = machine.all_held().map(|(lease, ends)| (lease.scope.clone(), (lease.token, ends)));
    let after = Known { pods: machine.pods().to_vec(), leases: leases.collect() };
    let before = coordinator.known.load();
    if before.pods != after.pods {
        log::info("pods", &[("live", &after.pods.join(","))]);
        #[allow(clippy::cast_precision_loss, reason = "a handful of pods")]
        metrics::gauge!("miroir_peer_pod_count").set(after.pods.len() as f64);
    }
    for scope in scope::ALL {
        let leads = machine.held(scope, now).is_some();
        if leads != before.leases.contains_key(scope) {
            log::info(if leads { "leads" } else { "leads_no_more" }, &[("scope", scope)]);
            metrics::gauge!("miroir_leader", "scope" => scope).set(f64::from(u8::from(leads)));
        }
    }
    if coordinator.reached(machine.is_reached()) != machine.is_reached() {
        match machine.is_reached() {
            true => log::info("store_reached", &[]),
            false => log::warn("store_out_of_reach", &[("consequence", "reads go on; writes are refused")]),
        }
    }
    if *before.as_ref() != after {
        coordinator.known.store(Arc::new(after));
    }
}

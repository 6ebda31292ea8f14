//! The store of a run: one in memory for all pods, reached over links that are slow or cut for a time.
//! - A pod's writes arrive in order, unless its link was cut: then any of them may be lost, late, or performed without
//!   an answer.
//! - A request that arrives is performed at once and durably, even if its pod is dead by now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use store::memory::{Command, Inlet, Memory};
use store::{Store, StoreError};

use super::kernel::{Kernel, Site, kernel};

/// How long a pod waits for an unreachable store.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval at which a pending question for changes is repeated.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Service {
    memory: RefCell<Memory>,
    inlets: RefCell<BTreeMap<Site, Link>>,
    slow: RefCell<Duration>,
}

struct Link {
    inlet: Inlet,
    last_arrival: Duration,
    away_until: Duration,
}

impl Service {
    pub(super) fn begin(kernel: &Kernel) -> Rc<Self> {
        let clock = Arc::new(|| super::kernel::kernel().since_1970());
        let memory = Memory::new(clock).expect("an empty store in memory opens");
        let service = Rc::new(Self {
            memory: RefCell::new(memory),
            inlets: RefCell::default(),
            slow: RefCell::default(),
        });
        let watching = Rc::clone(&service);
        kernel.watch(move |site| watching.collect(site));
        service
    }

    /// A new handle for a site's pod, which replaces the old one.
    pub(super) fn connect(&self, site: Site) -> Store {
        let (store, inlet) = Memory::connect();
        let link = Link { inlet, last_arrival: Duration::ZERO, away_until: Duration::ZERO };
        let before = self.inlets.borrow_mut().insert(site, link);
        drop(before);
        store
    }

    /// Cuts a pod's link to the store for a time.
    pub(super) fn cut(&self, site: Site, until: Duration) {
        self.inlets.borrow_mut().get_mut(&site).into_iter().for_each(|link| link.away_until = until);
    }

    /// Sets the extra latency of the store.
    pub(super) fn slow(&self, by: Duration) {
        *self.slow.borrow_mut() = by;
    }

    /// Takes the commands that a site's pod has just sent.
    fn collect(self: &Rc<Self>, site: Site) {
        let kernel = kernel();
        let mut inlets = self.inlets.borrow_mut();
        let Some(link) = inlets.get_mut(&site) else { return };
        while let Some(command) = link.inlet.next() {
            let now = kernel.now();
            let micros = kernel.random(|rng| rng.u64(50..1500));
            let mut arrives = now + *self.slow.borrow() + Duration::from_micros(micros);
            if now < link.away_until {
                self.lose(command);
                continue;
            }
            if command.is_write() {
                arrives = arrives.max(link.last_arrival);
                link.last_arrival = arrives;
            }
            let service = Rc::clone(self);
            kernel.at(arrives, move || service.perform(site, command));
        }
    }

    /// Handles a command sent over a cut link.
    fn lose(self: &Rc<Self>, command: Command) {
        let kernel = kernel();
        let (told, gets_through) = (kernel.now() + PATIENCE, kernel.random(|rng| rng.u8(0..4)) == 0);
        let away = || StoreError::Unreachable("the link is away".to_owned());
        if !gets_through || !command.is_write() {
            return kernel.at(told, move || command.refuse(away()));
        }
        let arrives = kernel.now() + Duration::from_millis(kernel.random(|rng| rng.u64(0..8_000)));
        let service = Rc::clone(self);
        kernel.at(arrives, move || {
            let done = service.memory.borrow_mut().perform(command);
            if let Ok(done) = done {
                // By then the pod has given up, or is about to.
                super::kernel::kernel().at(told, move || done.answer(Some(&away())));
            }
        });
    }

    fn perform(self: &Rc<Self>, site: Site, command: Command) {
        let kernel = kernel();
        kernel.note(("store", site, command.is_write()));
        let done = self.memory.borrow_mut().perform(command);
        let service = Rc::clone(self);
        match done {
            Ok(done) => {
                let away = self.inlets.borrow().get(&site).map_or(Duration::ZERO, |link| link.away_until);
                let micros = kernel.random(|rng| rng.u64(50..1500));
                match kernel.now() < away {
                    // The command is done, but its answer is lost.
                    true => kernel.at(kernel.now() + PATIENCE, move || {
                        done.answer(Some(&StoreError::Unreachable("the link is away".to_owned())));
                    }),
                    false => {
                        kernel.at(kernel.now() + Duration::from_micros(micros), move || done.answer(None))
                    }
                }
            }
            // Nothing has changed yet.
            Err(command) => kernel.at(kernel.now() + LOOK, move || service.look(site, command)),
        }
    }

    fn look(self: &Rc<Self>, site: Site, command: Command) {
        let away = self.inlets.borrow().get(&site).map_or(Duration::ZERO, |link| link.away_until);
        match kernel().now() < away {
            true => self.lose(command),
            false => self.perform(site, command),
        }
    }
}

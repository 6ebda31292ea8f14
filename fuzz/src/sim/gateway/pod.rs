//! A pod: the gateway's own data cores and control on a site of its own, with everything that the executors run.
//!
//! Invariant: the configuration differs from the product's defaults only in times, so that a run is short.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway::config::{self, Config, Parsed};
use gateway::observe;
use gateway::process::startup::{self, Parts};
use gateway::state::leadership::Coordinator;
use gateway::state::shared::Shared;

use super::kernel::{Site, kernel, sleep};
use super::network::address_of;
use super::runtime::{SIMULATED, now};
use super::store::Service;

/// The pause before a process that could not start is started again.
const RESTART: Duration = Duration::from_secs(1);

/// The configuration shared by all pods of a run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The sites of nodes, with their groups.
    pub(super) nodes: Vec<(Site, u16)>,
    pub(super) replication_factor: u16,
    pub(super) cores: usize,
    pub(super) anti_entropy: bool,
    /// Moved shards are not compared again before their new copies serve, and nothing else compares them.
    pub(super) skips_delta_pass: bool,
}

/// A pod as seen from outside; `None` while it is down.
pub(super) type View = Rc<RefCell<Option<Arc<Shared>>>>;

impl Plan {
    fn config(&self, site: Site) -> Config {
        let mut options = format!(
            "--listen {} --metrics-listen off --cores {} --store redis://store --pod-id pod-{site} --shards 8 \
             --replication-factor {} --node-timeout 5s --request-timeout 15s --settings-drift-interval 20s",
            address_of(site),
            self.cores,
            self.replication_factor,
        );
        for (node, group) in &self.nodes {
            options.push_str(&format!(" --node node-{node}=http://{},group={group}", address_of(*node)));
        }
        options.push_str(match (self.anti_entropy, self.skips_delta_pass) {
            // A gateway refuses to leave the delta pass out while nothing compares copies, ever.
            (_, true) => " --migration-skip-delta-pass on --anti-entropy-interval 24h",
            (true, false) => " --anti-entropy-interval 30s",
            (false, false) => " --anti-entropy off",
        });
        match config::parse(&options.split_whitespace().collect::<Vec<_>>(), |_| None) {
            Ok(Parsed::Run(config)) => *config,
            Ok(_) => unreachable!("the options run a gateway"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Starts a pod, and restarts it after a failed start, as a service manager would.
pub(super) fn start(plan: &Plan, site: Site, service: &Rc<Service>, view: &View) {
    let (plan, service, view) = (plan.clone(), Rc::clone(service), Rc::clone(view));
    kernel().on(site, || {
        kernel().spawn(async move {
            loop {
                let name = format!("pod-{site}");
                let parts = Parts {
                    config: plan.config(site),
                    tls: None,
                    store: service.connect(site).named(&name),
                    coordinator: Coordinator::shared(name).with_clock(now),
                    prometheus: observe::metrics::silent(),
                    tracer: None,
                };
                let prepared = startup::prepare(parts, now, async |pause| sleep(pause).await).await;
                match prepared {
                    Ok(ready) => {
                        *view.borrow_mut() = Some(Arc::clone(&ready.shared));
                        ready.run(SIMULATED, address_of(site), Vec::new()).expect("executors start");
                        return;
                    }
                    Err(error) => observe::log::warn("not_started", &[("reason", &error.to_string())]),
                }
                sleep(RESTART).await;
            }
        });
    });
}

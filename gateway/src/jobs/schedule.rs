//! The control executor: runs all work that no client waits for.
//!
//! Invariants: it runs on the same runtime as the data cores, unpinned, with connections of its own. A job that fails
//! is tried again at its next interval, and never takes the process down.

use std::{panic::AssertUnwindSafe, rc::Rc, sync::Arc, thread::JoinHandle, time::Duration};

use futures_util::FutureExt;
use store::{Store, StoreError, TaskQuery, TaskRecord};

use crate::{
    clock,
    config::limits,
    dump::{backup, export, remote},
    events::{
        cdc::deliver,
        webhook_delivery::{self, Watched},
    },
    jobs::{console_feed, recover_intents, sweep, upkeep},
    lifecycle::{
        rollover::run::{self as rollover, Retries},
        ttl::{self, Sweeps},
    },
    membership::{high_water_marks, prober, rebalance, reshard},
    observe::log,
    operations::{self, Operation},
    pods::{follow, leases, peers},
    repair::{node_copy, pass, settings_drift},
    state::{
        change::LaneSender,
        core::Core,
        heartbeats,
        leadership::{Term, scope},
        shared::Shared,
    },
    traffic::{
        canaries::{self, Runner},
        shadow,
    },
    wire::runtime::{self, Runtime, StartError},
    write::{rename::run, tasks::status},
};

/// Starts the control executor; `interrupted` are the intents that the last process left behind, and the accepted
/// changes that the gateway itself has to end.
///
/// # Errors
/// When the executor cannot start.
pub fn start(
    runtime: Runtime,
    shared: Arc<Shared>,
    lanes: Arc<[LaneSender]>,
    interrupted: Vec<TaskRecord>,
) -> Result<Option<JoinHandle<()>>, StartError> {
    runtime.start("control".to_owned(), None, move || async move {
        // The slot after those of the data cores.
        let number = shared.config.cores;
        let core = Rc::new(Core::new(shared, lanes, number));
        prober::probe_all(&core).await;
        let (accepted, intents) = interrupted.into_iter().partition(|task| task.accepted);
        recover_intents::interrupted_changes(&core, intents, &Term::own()).await;
        for task in accepted {
            run::resume(&core, task);
        }
        prober::watch_all(&core);
        runtime::spawn(heartbeats::beat(Arc::clone(&core.shared.heartbeats), number));
        runtime::spawn(leases::run(Arc::clone(&core.shared)));
        runtime::spawn(follow::run(Arc::clone(&core.shared)));
        runtime::spawn(follow::announce(Arc::clone(&core.shared)));
        runtime::spawn(peers::watch(Arc::clone(&core.shared)));
        deliver::start(&core);
        start_jobs(&core);
        console_feed::start(&core.shared);
        run_every(core, "tasks", limits::TASK_SWEEP_INTERVAL, async |core| sweep_tasks(core).await).await;
    })
}

/// Starts every job that runs at an interval for as long as the process lives, and the threads of shadows.
fn start_jobs(core: &Rc<Core>) {
    shadow::start(&core.shared);
    every(core, "recovery", limits::POD_RECOVERY_INTERVAL, async |core| {
        recover_intents::of_dead_pods(core).await;
    });
    let watched = Watched::default();
    every(core, "webhooks", limits::WEBHOOK_INTERVAL, async move |core| {
        webhook_delivery::tell(core, &watched).await;
    });
    every(core, "dumps", limits::DUMP_INTERVAL, async |core| {
        if let Some(term) = core.shared.coordinator.term(scope::DUMPS) {
            export::work_off(core, &term).await;
            backup::work_off(core, &term).await;
            remote::work_off(core, &term).await;
        }
    });
    every(core, "imports", limits::IMPORT_LOOK_INTERVAL, async |core| {
        // A data core does the work, and asks the store nothing while there is none.
        let known = operations::all(&core.shared).await;
        if known.is_ok_and(|known| known.iter().any(Operation::is_import_with_work)) {
            core.shared.wakeups.import.notify_one();
        }
    });
    every(core, "anti_entropy", limits::REPAIR_PASS_PAUSE, async |core| pass::run(core).await);
    every(core, "copies", limits::REPAIR_PASS_PAUSE, async |core| node_copy::work_off(core).await);
    let absences = rebalance::absences::Absences::default();
    every(core, "rebalance", limits::OPERATION_LOOK_INTERVAL, async move |core| {
        rebalance::run::work_off(core, &absences).await;
    });
    let outages = rebalance::outages::Outages::default();
    every(core, "outages", limits::OPERATION_LOOK_INTERVAL, async move |core| outages.look(core).await);
    every(core, "kept", limits::KEPT_LOOK_INTERVAL, async |core| reshard::kept::sweep(core).await);
    let mut attempts = settings_drift::Attempts::default();
    every(core, "settings", limits::SETTINGS_TEND_INTERVAL, async move |core| {
        if let Some(term) = core.shared.coordinator.term(scope::SETTINGS) {
            settings_drift::commit_pending(core, &mut attempts, &term).await;
        }
    });
    let drift_interval = core.shared.config.settings_drift_interval;
    every(core, "drift", drift_interval, async |core| settings_drift::check(core).await);
    every(core, "expired", limits::EXPIRED_SWEEP_INTERVAL, async |core| sweep::expired(&core.shared).await);
    let sweeps = Sweeps::default();
    every(core, "ttl", limits::TTL_LOOK_INTERVAL, async move |core| ttl::sweep_due(core, &sweeps).await);
    let runner = Rc::new(Runner::default());
    every(core, "canaries", limits::CANARY_LOOK_INTERVAL, async move |core| {
        canaries::look(core, &runner).await;
    });
    let retries = Retries::default();
    every(core, "rollover", limits::ROLLOVER_LOOK_INTERVAL, async move |core| {
        rollover::look(core, &retries).await;
    });
    every(core, "metrics", limits::METRICS_UPKEEP_INTERVAL, async |core| upkeep::metrics(core).await);
}

/// Starts a job that runs at an interval for as long as the process lives.
fn every(core: &Rc<Core>, name: &'static str, interval: Duration, job: impl AsyncFnMut(&Rc<Core>) + 'static) {
    runtime::spawn(run_every(Rc::clone(core), name, interval, job));
}

/// Runs a job at an interval for ever, also after a panic.
async fn run_every(
    core: Rc<Core>,
    name: &'static str,
    interval: Duration,
    mut job: impl AsyncFnMut(&Rc<Core>),
) {
    loop {
        if AssertUnwindSafe(job(&core)).catch_unwind().await.is_err() {
            log::error("panic_in_job", &[("job", name)]);
        }
        runtime::sleep(interval).await;
    }
}

/// Ends tasks that no client polls, deletes old ones, and drops orphan indexes.
async fn sweep_tasks(core: &Core) {
    if let Err(error) = status::refresh_unfinished(core).await {
        log::warn("task_sweep_failed", &[("reason", &format!("{error:?}"))]);
    }
    let coordinator = &core.shared.coordinator;
    if coordinator.owns("task_pruning")
        && let Err(error) = prune_tasks(&core.shared.store).await
    {
        log::warn("task_pruning_failed", &[("reason", &error.to_string())]);
    }
    if let Some(term) = coordinator.term(scope::RECOVERY) {
        sweep::orphan_indexes(core, &term).await;
        high_water_marks::keep(core, &term).await;
    }
}

/// Deletes tasks that ended long ago, and the oldest ones where there are too many.
async fn prune_tasks(store: &Store) -> Result<(), StoreError> {
    let now = clock::utc();
    store.prune_tasks(now - limits::TASK_RETENTION, limits::TASKS_PRUNED_MAX).await?;
    let total = store.tasks(TaskQuery { limit: 0, ..TaskQuery::default() }).await?.total;
    let excess = usize::try_from(total.saturating_sub(limits::TASKS_KEPT_MAX)).unwrap_or(usize::MAX);
    if excess > 0 {
        store.prune_tasks(now, excess.min(limits::TASKS_PRUNED_MAX)).await?;
    }
    Ok(())
}

//! Runs canaries that are due, on the pod that owns each of them.
//!
//! Invariants: a canary runs at most once at a time, and a pod runs a bounded number at once. A run is judged with
//! the runs before it and stored with them. A run that ends after its canary was deleted leaves nothing.

use std::{
    cell::{Cell, RefCell},
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use futures_util::FutureExt;
use serde_json::{Value, json};
use store::{StoreError, Versioned};

use crate::{
    api::{
        canary::{CANARY_RUNS, Canary, Run, Runs, Seen, seen_in},
        error::{ApiError, Code},
        search::request::SearchRequest,
    },
    clock,
    config::limits,
    observe::log,
    read::{context::ReadContext, search::search_index},
    state::{core::Core, coverage::uncovered_shards, snapshot::find_index},
    traffic::capture::{self, Captured},
    wire::runtime,
};

/// What this process runs, and when it last began each canary.
#[derive(Default)]
pub(crate) struct Runner {
    running: RefCell<AHashSet<String>>,
    begun: RefCell<AHashMap<String, Instant>>,
    captured: Captured,
    /// When this pod first looked, and whether it may run canaries since.
    first_look: Cell<Option<Instant>>,
    is_ready: Cell<bool>,
}

/// Gives the canary's place back, also after a panic.
struct Place {
    runner: Rc<Runner>,
    name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runner.running.borrow_mut().remove(&self.name);
    }
}

/// Makes canaries of what was captured, and begins those that are due.
pub(crate) async fn look(core: &Rc<Core>, runner: &Rc<Runner>) {
    capture::take_in(core, &runner.captured).await;
    let canaries = core.shared.canaries.load_full();
    if canaries.is_empty() || !runner.is_ready(core) {
        return;
    }
    let now = runtime::now();
    runner.begun.borrow_mut().retain(|name, _| canaries.contains_key(name));
    let mut due =
        canaries.values().filter(|canary| runner.is_due(core, &canary.value, now)).collect::<Vec<_>>();
    // Those that have waited longest begin first.
    due.sort_by_key(|canary| runner.begun.borrow().get(&canary.value.name).copied());
    for canary in due {
        if runner.running.borrow().len() >= limits::CANARIES_AT_ONCE_MAX {
            return;
        }
        let name = canary.value.name.clone();
        runner.running.borrow_mut().insert(name.clone());
        runner.begun.borrow_mut().insert(name.clone(), now);
        let place = Place { runner: Rc::clone(runner), name };
        let (core, canary) = (Rc::clone(core), Arc::clone(canary));
        runtime::spawn(async move {
            if AssertUnwindSafe(run(&core, &canary)).catch_unwind().await.is_err() {
                log::error("panic_in_job", &[("job", "canary")]);
            }
            drop(place);
        });
    }
}

impl Runner {
    /// Whether the pod has been able to answer for every shard, or has waited long enough for that: before, a canary
    /// would only tell that the pod starts.
    fn is_ready(&self, core: &Core) -> bool {
        if !self.is_ready.get() {
            let now = runtime::now();
            let begun = self.first_look.get().unwrap_or(now);
            self.first_look.set(Some(begun));
            let has_waited = now.saturating_duration_since(begun) >= limits::CANARY_START_WAIT_MAX;
            let covers = || uncovered_shards(&core.shared, &core.shared.snapshot()) == 0;
            self.is_ready.set(has_waited || covers());
        }
        self.is_ready.get()
    }

    fn is_due(&self, core: &Core, canary: &Canary, now: Instant) -> bool {
        let interval = Duration::from_secs(u64::from(canary.interval_seconds));
        let begun = self.begun.borrow().get(&canary.name).copied();
        begun.is_none_or(|begun| now.saturating_duration_since(begun) >= interval)
            && !self.running.borrow().contains(&canary.name)
            && core.shared.coordinator.owns(&format!("canary/{}", canary.name))
    }
}

async fn run(core: &Core, canary: &Versioned<Canary>) {
    let (canary, at, started) = (&canary.value, clock::utc(), runtime::now());
    let outcome = see(core, canary).await.map_err(|error| error.into_task_error().message);
    let milliseconds = runtime::now().saturating_duration_since(started).as_secs_f64() * 1000.0;
    let add = |runs: &mut Runs| {
        let outcome = outcome.as_ref().map_err(String::as_str);
        runs.add(&canary.assertions, at, milliseconds, outcome).clone()
    };
    match store(core, &canary.name, add).await {
        Ok(Some(run)) => count(canary, &run),
        Ok(None) => {}
        Err(error) => {
            let fields = [("canary", canary.name.as_str()), ("reason", &error.to_string())];
            log::warn("canary_not_stored", &fields);
        }
    }
}

/// Runs the search of a canary.
///
/// # Errors
/// Those of the search; 404 for an index that is gone.
pub async fn see(core: &Core, canary: &Canary) -> Result<Seen, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = find_index(&snapshot, &canary.index)?;
    let primary_key = index.record.primary_key.as_deref();
    let body = canary.search_body(primary_key);
    let search = SearchRequest::parse(&body).map_err(|_| {
        ApiError::new(Code::BadRequest, "The query of the canary is none that the gateway understands.")
    })?;
    let context = ReadContext { core, snapshot: &snapshot, index, search: &search };
    let merged = Box::pin(search_index(context, None)).await?;
    let answer = serde_json::from_slice::<Value>(&merged.body)
        .map_err(|_| ApiError::new(Code::Internal, "An answer cannot be read."))?;
    Ok(seen_in(&answer, primary_key, index.record.settings_version))
}

/// Adds a run to the stored ones; `None` when the canary was deleted meanwhile.
async fn store(core: &Core, name: &str, add: impl Fn(&mut Runs) -> Run) -> Result<Option<Run>, StoreError> {
    let mut tries = 1;
    loop {
        let Some(record) = core.shared.store.record(CANARY_RUNS, name).await? else { return Ok(None) };
        let mut runs = serde_json::from_value::<Runs>(record.value).unwrap_or_default();
        let run = add(&mut runs);
        match core.shared.store.put_record(CANARY_RUNS, name, json!(runs), Some(record.revision)).await {
            Ok(_) => return Ok(Some(run)),
            // The canary moved to this pod while its last run elsewhere ended, or it was deleted.
            Err(StoreError::Conflict) if tries < limits::CANARY_STORE_TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Counts a run under the canary's name, which an operator has given.
fn count(canary: &Canary, run: &Run) {
    let name = || canary.name.clone();
    let result = if run.passed { "passed" } else { "failed" };
    metrics::counter!("miroir_canary_runs_total", "canary" => name(), "result" => result).increment(1);
    metrics::histogram!("miroir_canary_duration_seconds", "canary" => name())
        .record(run.milliseconds / 1000.0);
    metrics::gauge!("miroir_canary_passing", "canary" => name()).set(if run.passed { 1.0 } else { 0.0 });
    for failure in &run.failures {
        let labels = [("canary", name()), ("assertion_type", failure.kind.clone())];
        metrics::counter!("miroir_canary_assertion_failures_total", &labels).increment(1);
        log::warn("canary_failed", &[("canary", canary.name.as_str()), ("assertion", &failure.kind)]);
    }
}

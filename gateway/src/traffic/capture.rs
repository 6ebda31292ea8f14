//! Makes canaries of searches that clients made, with what these found as the assertions.
//!
//! Invariants: a query becomes one canary, however often it is asked. A capture ends with its last canary, or when
//! its time is over. It hears the searches of this pod alone.

use std::{cell::RefCell, sync::Arc, time::Instant};

use ahash::AHashSet;
use serde_json::Value;

use crate::{
    api::{
        canary::{Canary, seen_in},
        error::{ApiError, Code},
    },
    clock,
    config::limits,
    observe::log,
    state::{
        core::Core,
        heard::{Capture, Heard},
    },
    traffic::canary_table,
    wire::runtime,
};

/// What the present capture has made so far.
pub(crate) type Captured = RefCell<Option<Progress>>;

pub(crate) struct Progress {
    capture: Arc<Capture>,
    begun: Instant,
    queries: AHashSet<String>,
    /// The number of the next name.
    next: usize,
}

impl Progress {
    fn of(capture: &Arc<Capture>) -> Self {
        Self { capture: Arc::clone(capture), begun: runtime::now(), queries: AHashSet::new(), next: 1 }
    }
}

/// Makes canaries of the searches that were handed over since the last look.
pub(crate) async fn take_in(core: &Core, captured: &Captured) {
    let Some(capture) = core.shared.capture.load_full() else { return };
    let known = captured.take().filter(|progress| Arc::ptr_eq(&progress.capture, &capture));
    let mut progress = known.unwrap_or_else(|| Progress::of(&capture));
    while progress.queries.len() < capture.count
        && let Some(heard) = capture.take()
    {
        if let Err(error) = make(core, &mut progress, &heard).await {
            log::warn("not_captured", &[("reason", &error.into_task_error().message)]);
        }
    }
    let age = runtime::now().saturating_duration_since(progress.begun);
    if progress.queries.len() >= capture.count || age >= limits::CAPTURE_TIME_MAX {
        // A capture that was asked for meanwhile stays.
        core.shared.capture.rcu(|current| match current {
            Some(current) if !Arc::ptr_eq(current, &capture) => Some(Arc::clone(current)),
            Some(_) | None => None,
        });
    }
    captured.replace(Some(progress));
}

async fn make(core: &Core, progress: &mut Progress, heard: &Heard) -> Result<(), ApiError> {
    let Ok(query @ Value::Object(_)) = serde_json::from_slice::<Value>(&heard.body) else { return Ok(()) };
    let text = query.to_string();
    if text.len() > limits::CANARY_QUERY_BYTES_MAX || progress.queries.contains(&text) {
        return Ok(());
    }
    let answer = serde_json::from_slice::<Value>(&heard.answer).unwrap_or_default();
    let seen = seen_in(&answer, heard.primary_key.as_deref(), 0);
    let capture = Arc::clone(&progress.capture);
    loop {
        let name = format!("{}-{}", capture.name_prefix, progress.next);
        progress.next += 1;
        let canary = Canary::captured(name, &heard.index, query.clone(), &seen, clock::utc());
        match canary_table::create(&core.shared, canary).await {
            Ok(()) => {
                progress.queries.insert(text);
                return Ok(());
            }
            // Another canary has the name.
            Err(error)
                if error.code() == Some(Code::MiroirCanaryConflict)
                    && progress.next <= limits::CANARIES_MAX + limits::CAPTURES_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

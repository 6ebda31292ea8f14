//! Delivers the stream to sinks: the pod that leads has one loop for each of them.
//!
//! Invariants: a batch is repeated until its sink takes it, ever more rarely, up to once an hour; the entries behind it
//! wait. The cursor is stored after the delivery, so a crash repeats a batch and loses none.

use std::{rc::Rc, time::Duration};

use serde_json::Value;
use store::{LogEntry, StoreError};

use crate::{
    clock,
    config::{CdcSink, SinkKind, limits},
    events::cdc::{events, nats, status, trim, webhook},
    observe::log,
    state::{
        core::Core,
        leadership::{Term, scope},
        shared::Shared,
    },
    wire::{
        outbound::{self, blocking},
        runtime,
    },
    write::changes::{CHANGES, STREAM},
};

/// Delivers for as long as the process lives; returns at once where the stream is off.
pub(crate) fn start(core: &Rc<Core>) {
    let shared = &core.shared;
    if !shared.config.cdc.on {
        return;
    }
    for sink in shared.config.cdc.sinks.clone() {
        let core = Rc::clone(core);
        runtime::spawn(async move { run(&core, &sink).await });
    }
    let core = Rc::clone(core);
    runtime::spawn(async move {
        loop {
            if let Some(term) = core.shared.coordinator.term(scope::CDC)
                && let Err(error) = trimmed(&core.shared, &term).await
            {
                log::warn("cdc_not_trimmed", &[("reason", &error.to_string())]);
            }
            runtime::sleep(limits::CDC_TRIM_INTERVAL).await;
        }
    });
}

async fn trimmed(shared: &Shared, term: &Term) -> Result<(), StoreError> {
    let mut sinks = Vec::new();
    for sink in &shared.config.cdc.sinks {
        sinks.push((sink.clone(), status::load(shared, sink).await?));
    }
    trim::trim(shared, term, &mut sinks).await
}

/// What delivers to one sink.
enum Sender {
    Webhook { agent: ureq::Agent, secret: Option<String> },
    Nats(nats::Publisher),
}

async fn run(core: &Rc<Core>, sink: &CdcSink) {
    let shared = &core.shared;
    let sender = match sink.kind {
        SinkKind::Webhook => Sender::Webhook {
            agent: outbound::agent(&shared.config.allowed_ip_networks, limits::CDC_SEND_TIMEOUT),
            secret: webhook::secret(shared.config.admin_key.as_ref(), sink),
        },
        SinkKind::Nats => Sender::Nats(nats::Publisher::new(sink, &shared.config.allowed_ip_networks)),
    };
    let mut pause = limits::CDC_RETRY_MIN;
    loop {
        let Some(term) = shared.coordinator.term(scope::CDC) else {
            runtime::sleep(limits::CDC_LOOK_INTERVAL).await;
            continue;
        };
        match round(shared, &term, sink, &sender).await {
            Ok(true) => pause = limits::CDC_RETRY_MIN,
            Ok(false) => {
                pause = limits::CDC_RETRY_MIN;
                runtime::sleep(limits::CDC_LOOK_INTERVAL).await;
            }
            Err(reason) => {
                log::warn("cdc_not_delivered", &[("sink", &sink.name()), ("reason", &reason)]);
                metrics::counter!("miroir_cdc_failures_total", "sink" => sink.name()).increment(1);
                runtime::sleep(pause).await;
                pause = pause.saturating_mul(2).min(limits::CDC_RETRY_MAX);
            }
        }
    }
}

/// Delivers what one page of the stream has; gives whether there was anything.
async fn round(shared: &Shared, term: &Term, sink: &CdcSink, sender: &Sender) -> Result<bool, String> {
    let mut progress = status::load(shared, sink).await.map_err(|error| error.to_string())?;
    let read = |after| shared.store.entries(CHANGES, STREAM, after, page_bytes(shared));
    let mut entries = read(progress.cursor).await.map_err(|error| error.to_string())?;
    if entries.is_empty() {
        set_lag(sink, 0);
        return Ok(false);
    }
    if count(&entries) < sink.batch && sink.flush > Duration::ZERO {
        // A batch that is not full waits for more.
        runtime::sleep(sink.flush).await;
        entries = read(progress.cursor).await.map_err(|error| error.to_string())?;
    }
    let mut batch: Vec<Value> = Vec::new();
    let mut waiting = entries.iter().peekable();
    while let Some(entry) = waiting.next() {
        batch.extend(events::of_entry(entry, None, sink.body));
        if batch.len() < sink.batch && waiting.peek().is_some() {
            continue;
        }
        for part in batch.chunks(sink.batch) {
            if let Err(reason) = send(sender, sink, part).await {
                progress.failures = progress.failures.saturating_add(1);
                progress.last_error = Some(reason.clone());
                set_lag(sink, lag_seconds(entry));
                // The next round says it again.
                let _ = status::store(shared, term, sink, &mut progress).await;
                return Err(reason);
            }
        }
        let count = std::mem::take(&mut batch).len() as u64;
        metrics::counter!("miroir_cdc_delivered_total", "sink" => sink.name()).increment(count);
        set_lag(sink, lag_seconds(entry));
        progress.cursor = entry.sequence;
        progress.delivered_events += count;
        (progress.failures, progress.last_error) = (0, None);
        progress.delivered_at = clock::utc().unix_timestamp();
        status::store(shared, term, sink, &mut progress).await.map_err(|error| error.to_string())?;
    }
    Ok(true)
}

/// Bytes that one sink reads at once: all sinks together stay within the bound of the memory.
fn page_bytes(shared: &Shared) -> usize {
    // A page is there as entries and, for a batch of it, as events.
    (limits::CDC_MEMORY_BYTES_MAX / 4 / shared.config.cdc.sinks.len().max(1)).min(limits::CDC_PAGE_BYTES_MAX)
}

fn count(entries: &[LogEntry]) -> usize {
    entries.iter().map(|entry| events::of_entry(entry, None, false).len()).sum()
}

#[allow(clippy::cast_precision_loss, reason = "seconds for people")]
fn set_lag(sink: &CdcSink, seconds: u64) {
    metrics::gauge!("miroir_cdc_lag_seconds", "sink" => sink.name()).set(seconds as f64);
}

/// How long ago an entry was made.
pub(crate) fn lag_seconds(entry: &LogEntry) -> u64 {
    let events = events::of_entry(entry, None, false);
    let made = events.first().and_then(|event| event["timestamp"].as_str()).and_then(|date| {
        time::OffsetDateTime::parse(date, &time::format_description::well_known::Rfc3339).ok()
    });
    made.map_or(0, |made| u64::try_from((clock::utc() - made).whole_seconds()).unwrap_or(0))
}

async fn send(sender: &Sender, sink: &CdcSink, part: &[Value]) -> Result<(), String> {
    match sender {
        Sender::Webhook { agent, secret } => {
            let (agent, sink, secret, part) = (agent.clone(), sink.clone(), secret.clone(), part.to_vec());
            let sent = blocking("cdc", move || webhook::send(&agent, &sink, secret.as_deref(), &part)).await;
            sent.unwrap_or_else(|| Err("no thread could be had for it".to_owned()))
        }
        Sender::Nats(publisher) => publisher.send(part).await,
    }
}

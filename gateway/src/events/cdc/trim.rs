//! Keeps the stream within its bound: what all sinks have, and what is older than anybody may ask for, goes.
//!
//! Invariants: while the stream is within its bound nothing is lost that a sink has not got. Over it, either the oldest
//! entries are dropped, loudly, or writes are refused until sinks have caught up.

use store::StoreError;

use crate::{
    config::{CdcOverflow, CdcSink, limits},
    events::cdc::status::{self, Progress},
    observe::log,
    state::{leadership::Term, shared::Shared},
    write::changes::{CHANGES, STREAM},
};

/// Trims the stream where it is over its bound, and says whether writes have to wait.
///
/// # Errors
/// The store's.
pub(super) async fn trim(
    shared: &Shared,
    term: &Term,
    sinks: &mut [(CdcSink, Progress)],
) -> Result<(), StoreError> {
    let sizes = shared.store.log_sizes(CHANGES).await?;
    let bytes = sizes.iter().map(|size| size.bytes).sum::<u64>();
    #[allow(clippy::cast_precision_loss, reason = "a size for people")]
    metrics::gauge!("miroir_cdc_buffer_bytes").set(bytes as f64);
    shared.cdc.measured(bytes);
    let excess = bytes.saturating_sub(limits::CDC_STORE_BYTES_MAX);
    let slowest = sinks.iter().map(|(_, progress)| progress.cursor).min().unwrap_or(u64::MAX);
    let blocks = shared.config.cdc.overflow == CdcOverflow::Block;
    if excess == 0 {
        shared.cdc.block(false);
        return Ok(());
    }
    let (mut freed, mut through) = (0, 0);
    'entries: while freed < excess {
        let entries = shared.store.entries(CHANGES, STREAM, through, limits::CDC_PAGE_BYTES_MAX).await?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            if blocks && entry.sequence > slowest {
                break 'entries;
            }
            for (sink, progress) in sinks.iter_mut().filter(|(_, progress)| progress.cursor < entry.sequence)
            {
                progress.dropped += 1;
                metrics::counter!("miroir_cdc_dropped_total", "sink" => sink.name()).increment(1);
            }
            freed += entry.body.len() as u64;
            through = entry.sequence;
            if freed >= excess {
                break 'entries;
            }
        }
    }
    shared.cdc.block(blocks && freed < excess);
    if through == 0 {
        return Ok(());
    }
    for (sink, progress) in sinks.iter_mut().filter(|(_, progress)| progress.cursor < through) {
        let dropped = progress.dropped.to_string();
        log::error("cdc_dropped", &[("sink", &sink.name()), ("entries", &dropped)]);
        progress.cursor = through;
        status::store(shared, term, sink, progress).await?;
    }
    let truncate = store::Change::Truncate { log: CHANGES, stream: STREAM.to_owned(), through };
    shared.commit_by(term, vec![truncate]).await.map(drop)
}

//! Traces of requests: begins one where it is wanted, and hands it to the requests to nodes that are made meanwhile.
//!
//! Invariant: without a collector a request pays for one look at an option.

use std::{cell::RefCell, future::poll_fn, rc::Rc};

use crate::{config::limits, observe::spans::Trace, state::core::Core, wire::h1::Request};

/// The trace of a request that is to be traced.
pub(crate) fn begin(core: &Core, request: &Request) -> Option<Rc<Trace>> {
    let tracer = core.shared.tracer.as_ref()?;
    let state = request.header("tracestate").filter(|state| state.len() <= limits::TRACE_STATE_BYTES_MAX);
    tracer.begin(request.header("traceparent"), state)
}

/// Runs `serving`, the requests to nodes of which belong to the trace.
pub(crate) async fn within<F: Future>(core: &Core, trace: &Rc<Trace>, serving: F) -> F::Output {
    /// Takes the trace back when it is dropped, also after a panic: the next request that is polled has its own.
    struct Reset<'c>(&'c RefCell<Option<Rc<Trace>>>);
    impl Drop for Reset<'_> {
        fn drop(&mut self) {
            self.0.replace(None);
        }
    }
    let mut serving = Box::pin(serving);
    poll_fn(|context| {
        let traced = core.pools.traced();
        traced.replace(Some(Rc::clone(trace)));
        let _reset = Reset(traced);
        serving.as_mut().poll(context)
    })
    .await
}

/// Ends the trace of a request that was answered.
pub(crate) fn end(core: &Core, trace: &Trace, request: &Request, template: &str, status: u16) {
    if let Some(tracer) = &core.shared.tracer {
        tracer.end(trace, request.method.as_str(), template, status);
    }
}

//! Traces of requests: begins one where it is wanted, and ends it with the answer.
//!
//! Invariant: without a collector a request pays for one look at an option.

use std::rc::Rc;

use crate::{config::limits, observe::spans::Trace, state::core::Core, wire::h1::Request};

/// The trace of a request that is to be traced.
pub(crate) fn begin(core: &Core, request: &Request) -> Option<Rc<Trace>> {
    let tracer = core.shared.tracer.as_ref()?;
    let state = request.header("tracestate").filter(|state| state.len() <= limits::TRACE_STATE_BYTES_MAX);
    tracer.begin(request.header("traceparent"), state)
}

/// Ends the trace of a request that was answered.
pub(crate) fn end(core: &Core, trace: &Trace, request: &Request, template: &str, status: u16) {
    if let Some(tracer) = &core.shared.tracer {
        tracer.end(trace, request.method.as_str(), template, status);
    }
}

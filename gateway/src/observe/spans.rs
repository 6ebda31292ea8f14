//! Traces: what a request did and when, as spans that OpenTelemetry's collectors take.
//!
//! Invariants: a trace belongs to one request on one core; what a lane on another core does for it comes back through
//! a bounded queue. The number of its spans is bounded, and handing it over never waits. Spans hold names of routes, nodes and indexes on nodes, never queries or keys.
//! Source of the header: W3C Trace Context, level 1.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};

use crossbeam::{
    channel::{Receiver, Sender, bounded},
    queue::ArrayQueue,
};
use serde_json::{Value, json};

use super::span::{CLIENT, INTERNAL, SERVER, Span, SpanId, TraceId, half, hex, number, random, text};
use crate::clock;

/// Where finished traces go.
#[derive(Debug, Clone)]
pub struct Tracer {
    sender: Sender<Finished>,
    /// The share of requests without a trace of their own that are traced.
    share: f64,
    spans_max: usize,
}

/// A finished trace: its spans in OTLP's JSON form.
#[derive(Debug)]
pub struct Finished(pub Vec<Value>);

/// The trace of a request that is being served.
#[derive(Debug)]
pub struct Trace {
    id: TraceId,
    root: SpanId,
    /// The client's span.
    parent: Option<SpanId>,
    state: Option<String>,
    began: SystemTime,
    spans: RefCell<Vec<Value>>,
    spans_max: usize,
    /// What lanes do for the request.
    elsewhere: RefCell<Vec<Arc<Elsewhere>>>,
}

/// The part of a trace that is done by a lane, on whichever core that is.
#[derive(Debug)]
pub struct Elsewhere {
    trace: TraceId,
    /// The span of the request.
    root: SpanId,
    state: Option<String>,
    /// When the lane was asked.
    began: SystemTime,
    spans: ArrayQueue<Value>,
}

/// A step of a change; it is noted when this is dropped, as failed unless it has succeeded.
#[derive(Debug)]
pub struct StepSpan {
    trace: Rc<Trace>,
    name: &'static str,
    began: SystemTime,
    succeeded: Option<Vec<Value>>,
}

/// One request to a node within a trace; it is noted when this is dropped.
#[derive(Debug)]
pub struct LegSpan {
    trace: Rc<Trace>,
    id: SpanId,
    name: String,
    node: String,
    began: SystemTime,
    status: Cell<Option<u16>>,
    failure: RefCell<Option<String>>,
}

impl Tracer {
    /// A tracer, and where its traces come out; at most `waiting_max` of them wait there.
    #[must_use]
    pub fn new(share: f64, waiting_max: usize, spans_max: usize) -> (Self, Receiver<Finished>) {
        let (sender, receiver) = bounded(waiting_max);
        (Self { sender, share, spans_max }, receiver)
    }

    /// Begins the trace of a request, if it is to be traced: because its client traces it, or by chance.
    #[must_use]
    pub fn begin(&self, traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Rc<Trace>> {
        let (id, parent) = match traceparent.and_then(parse) {
            Some(Parent { sampled: false, .. }) => return None,
            Some(Parent { trace, span, .. }) => (trace, Some(span)),
            None if self.chosen() => (random(), None),
            None => return None,
        };
        let state = parent.and(tracestate).map(str::to_owned);
        let began = clock::wall();
        let (root, spans_max) = (half(random()), self.spans_max);
        let (spans, elsewhere) = (RefCell::default(), RefCell::default());
        Some(Rc::new(Trace { id, root, parent, state, began, spans, spans_max, elsewhere }))
    }

    /// Whether chance chooses a request.
    fn chosen(&self) -> bool {
        let [first, second, ..] = random();
        let drawn = f64::from(u16::from_be_bytes([first, second])) / f64::from(u16::MAX);
        self.share >= 1.0 || drawn < self.share
    }

    /// Ends the trace and hands it over; it is dropped and counted where too many wait.
    pub fn end(&self, trace: &Trace, method: &str, template: &str, status: u16) {
        let name = format!("{method} {template}");
        let attributes = vec![
            text("http.request.method", method),
            text("http.route", template),
            number("http.response.status_code", u64::from(status)),
        ];
        let failed = (status >= 500).then(String::new);
        let root = Span { id: trace.root, parent: trace.parent, name, kind: SERVER, attributes, failed };
        let mut spans = trace.spans.take();
        for part in trace.elsewhere.take() {
            while let Some(span) = part.spans.pop() {
                spans.push(span);
            }
        }
        spans.truncate(trace.spans_max.saturating_sub(1));
        spans.push(root.ended(&trace.id, trace.began));
        if self.sender.try_send(Finished(spans)).is_err() {
            metrics::counter!("miroir_traces_dropped_total").increment(1);
        }
    }
}

impl Trace {
    /// Begins a span for a request to a node, which is asked by a method for a target.
    #[must_use]
    pub fn leg(self: &Rc<Self>, node: &str, method: &str, target: &str) -> LegSpan {
        let path = target.split('?').next().unwrap_or_default();
        LegSpan {
            trace: Rc::clone(self),
            id: half(random()),
            name: format!("{method} {path}"),
            node: node.to_owned(),
            began: clock::wall(),
            status: Cell::new(None),
            failure: RefCell::default(),
        }
    }

    /// Begins a step that is no request to a node.
    #[must_use]
    pub fn step(self: &Rc<Self>, name: &'static str) -> StepSpan {
        StepSpan { trace: Rc::clone(self), name, began: clock::wall(), succeeded: None }
    }

    /// The part of the trace that a lane is about to do.
    #[must_use]
    pub fn elsewhere(&self) -> Arc<Elsewhere> {
        let part = Arc::new(Elsewhere {
            trace: self.id,
            root: self.root,
            state: self.state.clone(),
            began: clock::wall(),
            spans: ArrayQueue::new(self.spans_max),
        });
        self.elsewhere.borrow_mut().push(Arc::clone(&part));
        part
    }

    pub(super) fn take_spans(&self) -> Vec<Value> {
        self.spans.take()
    }

    /// Adds a span that ends now, if there is room besides the request's own.
    fn add(&self, span: Span, began: SystemTime) {
        let mut spans = self.spans.borrow_mut();
        if spans.len() + 1 < self.spans_max {
            spans.push(span.ended(&self.id, began));
        }
    }
}

impl Elsewhere {
    pub(super) fn trace(&self) -> TraceId {
        self.trace
    }

    pub(super) fn root(&self) -> SpanId {
        self.root
    }

    /// When the lane was asked.
    pub(super) fn began(&self) -> SystemTime {
        self.began
    }

    /// The trace as it goes on below a span.
    pub(super) fn continued(&self, span: SpanId) -> Rc<Trace> {
        Rc::new(Trace {
            id: self.trace,
            root: span,
            parent: None,
            state: self.state.clone(),
            began: clock::wall(),
            spans: RefCell::default(),
            spans_max: self.spans.capacity(),
            elsewhere: RefCell::default(),
        })
    }

    /// Adds a step of the request itself, which ends now.
    pub fn add_step(&self, name: &str, began: SystemTime, attributes: Vec<Value>) {
        let (id, parent, name) = (half(random()), Some(self.root), name.to_owned());
        self.add(Span { id, parent, name, kind: INTERNAL, attributes, failed: None }, began);
    }

    pub(super) fn add(&self, span: Span, began: SystemTime) {
        self.add_value(span.ended(&self.trace, began));
    }

    /// Adds a span; one for which there is no room is left out.
    pub(super) fn add_value(&self, span: Value) {
        let _ = self.spans.push(span);
    }
}

impl StepSpan {
    /// The step is done; the numbers tell how.
    pub fn succeeded(mut self, numbers: &[(&'static str, u64)]) {
        self.succeeded = Some(numbers.iter().map(|(name, value)| number(name, *value)).collect());
    }
}

impl Drop for StepSpan {
    fn drop(&mut self) {
        let failed = self.succeeded.is_none().then(String::new);
        let span = Span {
            id: half(random()),
            parent: Some(self.trace.root),
            name: self.name.to_owned(),
            kind: INTERNAL,
            attributes: self.succeeded.take().unwrap_or_default(),
            failed,
        };
        self.trace.add(span, self.began);
    }
}

impl LegSpan {
    /// The headers that hand the trace on, each with its line break.
    #[must_use]
    pub fn headers(&self) -> String {
        let mut headers = format!("traceparent: 00-{}-{}-01\r\n", hex(&self.trace.id), hex(&self.id));
        if let Some(state) = &self.trace.state {
            let _ = write!(headers, "tracestate: {state}\r\n");
        }
        headers
    }

    pub fn answered(&self, status: u16) {
        self.status.set(Some(status));
    }

    pub fn failed(&self, reason: String) {
        self.failure.replace(Some(reason));
    }
}

impl Drop for LegSpan {
    fn drop(&mut self) {
        let mut attributes = vec![text("miroir.node", &self.node)];
        let failed = match self.status.get() {
            Some(status) => {
                attributes.push(number("http.response.status_code", u64::from(status)));
                (status >= 500).then(String::new)
            }
            // Another leg was faster, or nobody waits any more.
            None => Some(self.failure.take().unwrap_or_else(|| "given up".to_owned())),
        };
        let (name, parent) = (std::mem::take(&mut self.name), Some(self.trace.root));
        let span = Span { id: self.id, parent, name, kind: CLIENT, attributes, failed };
        self.trace.add(span, self.began);
    }
}

/// A client's span, as its `traceparent` names it.
#[derive(Debug, PartialEq)]
struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// Reads a `traceparent`; `None` for what the standard does not allow, which begins a new trace.
fn parse(header: &str) -> Option<Parent> {
    let mut parts = header.split('-');
    let version = parts.next()?;
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    // Later versions may add parts, this one has none.
    if version == "ff" || version.len() != 2 || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let [_version] = bytes::<1>(version)?;
    let [flags] = bytes::<1>(flags)?;
    let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
    let is_set = trace != [0; 16] && span != [0; 8];
    is_set.then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

/// Reads lower-case hexadecimal of exactly so many bytes.
fn bytes<const COUNT: usize>(text: &str) -> Option<[u8; COUNT]> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * COUNT || !text.bytes().all(is_lower) {
        return None;
    }
    let mut bytes = [0; COUNT];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The body of a request to a collector.
#[must_use]
pub fn export(traces: Vec<Finished>, pod: &str) -> Value {
    let spans = traces.into_iter().flat_map(|trace| trace.0).collect::<Vec<_>>();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "miroir"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", pod),
            ]},
            "scopeSpans": [{"scope": {"name": "miroir", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let check = |header: &str, expected: Option<bool>| {
            assert_eq!(parse(header).map(|parent| parent.sampled), expected, "{header}");
        };
        check(PARENT, Some(true));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", Some(false));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", Some(true));
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "0é-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_trace_has_its_request_and_a_span_for_each_leg() {
        let (tracer, finished) = Tracer::new(0.0, 1, 3);
        let trace = tracer.begin(Some(PARENT), Some("a=1")).unwrap();
        for (node, status) in [("n0", Some(200)), ("n1", None), ("n2", Some(200))] {
            let leg = trace.leg(node, "POST", "/indexes/i/search?x=secret");
            assert!(leg.headers().starts_with("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"));
            assert!(leg.headers().ends_with("-01\r\ntracestate: a=1\r\n"));
            match status {
                Some(status) => leg.answered(status),
                None => leg.failed("no answer".to_owned()),
            }
        }
        tracer.end(&trace, "POST", "/indexes/{uid}/search", 200);
        // The channel is full, so this one is dropped without waiting.
        tracer.end(&trace, "POST", "/indexes/{uid}/search", 200);
        let body = export(vec![finished.try_recv().unwrap()], "pod-a");
        assert!(finished.try_recv().is_err());
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 3, "the third leg is one too many");
        let (root, leg, lost) = (&spans[2], &spans[0], &spans[1]);
        assert_eq!(root["parentSpanId"], "b7ad6b7169203331");
        assert_eq!(root["name"], "POST /indexes/{uid}/search");
        assert_eq!((&leg["parentSpanId"], &leg["traceId"]), (&root["spanId"], &root["traceId"]));
        assert_eq!((&leg["name"], &leg["kind"]), (&json!("POST /indexes/i/search"), &json!(3)));
        assert_eq!(lost["status"], json!({"code": 2, "message": "no answer"}));
        assert!(!body.to_string().contains("secret"));
    }

    #[test]
    fn chance_chooses_requests_without_a_trace_and_clients_may_decline() {
        let (never, _finished) = Tracer::new(0.0, 1, 8);
        assert!(never.begin(None, None).is_none() && never.begin(Some("nonsense"), None).is_none());
        let (always, _finished) = Tracer::new(1.0, 1, 8);
        let trace = always.begin(None, Some("a=1")).unwrap();
        assert!(trace.parent.is_none() && trace.state.is_none());
        let declined = PARENT.replace("-01", "-00");
        assert!(always.begin(Some(&declined), None).is_none());
    }
}

//! Traces: what a request did and when, as spans that OpenTelemetry's collectors take.
//!
//! Invariants: a trace belongs to one request on one core. The number of its spans is bounded, and handing it over
//! never waits. Spans hold names of routes, nodes and indexes on nodes, never queries or keys.
//! Source of the header: W3C Trace Context, level 1.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};

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
    id: [u8; 16],
    root: [u8; 8],
    /// The client's span.
    parent: Option<[u8; 8]>,
    state: Option<String>,
    began: SystemTime,
    spans: RefCell<Vec<Value>>,
    spans_max: usize,
}

/// One request to a node within a trace; it is noted when this is dropped.
#[derive(Debug)]
pub struct LegSpan {
    trace: Rc<Trace>,
    id: [u8; 8],
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
        let (spans, spans_max) = (RefCell::default(), self.spans_max);
        Some(Rc::new(Trace { id, root: half(random()), parent, state, began, spans, spans_max }))
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
        spans.push(trace.span(root, trace.began));
        if self.sender.try_send(Finished(spans)).is_err() {
            metrics::counter!("miroir_traces_dropped_total").increment(1);
        }
    }
}

/// Kinds of spans, as OTLP numbers them.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// What a span is made of.
struct Span {
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
    kind: u8,
    attributes: Vec<Value>,
    /// Set when it failed, with the reason where one is known.
    failed: Option<String>,
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

    /// A span that ends now, in OTLP's JSON form.
    fn span(&self, span: Span, began: SystemTime) -> Value {
        let mut value = json!({
            "traceId": hex(&self.id),
            "spanId": hex(&span.id),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": nanoseconds(began),
            "endTimeUnixNano": nanoseconds(clock::wall().max(began)),
            "attributes": span.attributes,
        });
        if let Some(parent) = span.parent {
            value["parentSpanId"] = json!(hex(&parent));
        }
        if let Some(reason) = span.failed {
            value["status"] =
                if reason.is_empty() { json!({"code": 2}) } else { json!({"code": 2, "message": reason}) };
        }
        value
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
        if self.trace.spans.borrow().len() + 1 >= self.trace.spans_max {
            return;
        }
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
        let value = self.trace.span(span, self.began);
        self.trace.spans.borrow_mut().push(value);
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

fn random() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// Half of random bytes, which are not all zero: one of them holds the variant of a UUID.
fn half(bytes: [u8; 16]) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&bytes[8..]);
    half
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// OTLP writes 64-bit numbers as strings.
fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
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

//! What a lane does for traced changes: how long each waited, the turn in which it was done with others, and what the
//! turn asked of nodes.
//!
//! Invariants: every traced change of a turn gets spans of its own; those of a request that several share link to the
//! one that the nodes were told of. The spans are there before the changes are answered.

use std::{rc::Rc, sync::Arc, time::SystemTime};

use serde_json::{Value, json};

use super::{
    span::{INTERNAL, Span, SpanId, half, hex, number, random, text},
    spans::{Elsewhere, Trace},
};
use crate::clock;

/// A turn of a lane that has traced changes.
#[derive(Debug)]
pub struct Turn {
    /// The traced changes with the spans of this turn.
    members: Vec<(Arc<Elsewhere>, SpanId)>,
    /// Collects what is asked of nodes, as a part of the first member's trace.
    trace: Rc<Trace>,
    began: SystemTime,
    /// Changes of the turn, traced or not.
    changes: usize,
}

impl Turn {
    /// Begins a turn of so many changes, which ends the wait of those that are traced; `None` when none is.
    #[must_use]
    pub fn begin(index: &str, traced: Vec<Arc<Elsewhere>>, changes: usize) -> Option<Self> {
        let began = clock::wall();
        let members = traced.into_iter().map(|member| {
            let attributes = vec![text("miroir.index", index)];
            member.add_step("lane wait", member.began(), attributes);
            (member, half(random()))
        });
        let members = members.collect::<Vec<_>>();
        let (first, span) = members.first()?;
        let trace = first.continued(*span);
        Some(Self { members, trace, began, changes })
    }

    /// The trace to which what the turn asks of nodes belongs.
    #[must_use]
    pub fn trace(&self) -> &Rc<Trace> {
        &self.trace
    }

    /// Ends the turn: each traced change gets the turn's span, and those of what was asked of nodes.
    pub fn end(self) {
        let spans = self.trace.take_spans();
        for (position, (member, span)) in self.members.iter().enumerate() {
            let attributes = vec![number("miroir.batch.writes", self.changes as u64)];
            let turn = Span {
                id: *span,
                parent: Some(member.root()),
                name: "batch".to_owned(),
                kind: INTERNAL,
                attributes,
                failed: None,
            };
            member.add(turn, self.began);
            for value in &spans {
                let is_first = position == 0;
                member.add_value(if is_first { value.clone() } else { shared(value, member, *span) });
            }
        }
    }
}

/// A span of the first change's trace as another change of the same turn has it.
fn shared(original: &Value, member: &Elsewhere, parent: SpanId) -> Value {
    let mut span = original.clone();
    span["links"] = json!([{"traceId": original["traceId"], "spanId": original["spanId"]}]);
    span["traceId"] = json!(hex(&member.trace()));
    span["spanId"] = json!(hex(&half(random())));
    span["parentSpanId"] = json!(hex(&parent));
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::spans::Tracer;

    #[test]
    fn changes_of_one_turn_have_spans_of_their_own() {
        let (tracer, finished) = Tracer::new(1.0, 2, 16);
        let traces = [tracer.begin(None, None).unwrap(), tracer.begin(None, None).unwrap()];
        let traced = traces.iter().map(|trace| trace.elsewhere()).collect();
        let turn = Turn::begin("films", traced, 3).unwrap();
        turn.trace().leg("n0", "POST", "/indexes/i/documents").answered(202);
        turn.trace().step("quorum").succeeded(&[("miroir.quorum.nodes", 1)]);
        turn.end();
        for trace in &traces {
            tracer.end(trace, "POST", "/indexes/{uid}/documents", 202);
        }
        let names =
            ["lane wait", "batch", "POST /indexes/i/documents", "quorum", "POST /indexes/{uid}/documents"];
        let mut first_leg = Value::Null;
        for (position, trace) in finished.try_iter().enumerate() {
            let spans = trace.0;
            assert_eq!(spans.iter().map(|span| span["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
            let [wait, batch, leg, quorum, root] = spans.as_slice() else { panic!("{spans:?}") };
            assert!(spans.iter().all(|span| span["traceId"] == root["traceId"]), "{spans:?}");
            for (child, parent) in [(wait, root), (batch, root), (leg, batch), (quorum, batch)] {
                assert_eq!(child["parentSpanId"], parent["spanId"], "{child}");
            }
            assert_eq!(batch["attributes"][0]["value"]["intValue"], "3");
            match position {
                0 => {
                    assert!(leg["links"].is_null(), "{leg}");
                    first_leg = leg.clone();
                }
                _ => {
                    assert_eq!(leg["links"][0]["spanId"], first_leg["spanId"]);
                    assert_eq!(leg["links"][0]["traceId"], first_leg["traceId"]);
                    assert_ne!(
                        (&leg["spanId"], &leg["traceId"]),
                        (&first_leg["spanId"], &first_leg["traceId"])
                    );
                }
            }
        }
        assert!(!first_leg.is_null());
        assert!(Turn::begin("films", Vec::new(), 1).is_none());
    }
}

//! Draws from a seed which fault occurs on which node, and for how long.
//! Invariant: one node at a time has a fault, except briefly when the next fault begins just before the last one ends.

use std::time::Duration;

use crate::faulty_proxy::Trouble;

/// A fault of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; the node is started again when the fault ends.
    Killed,
    /// SIGSTOP; SIGCONT when the fault ends.
    Stopped,
    /// The proxy between gateway and node misbehaves.
    Line(Trouble),
}

/// One fault of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    pub node: usize,
    pub fault: Fault,
    pub lasts: Duration,
    /// Time from the end of this incident to the start of the next, or, with `overlap`, how much earlier the next
    /// starts.
    pub pause: Duration,
    pub overlap: Duration,
}

/// The additional latency of a delayed node.
pub const DELAY: Duration = Duration::from_millis(500);

/// Draws the next incident, on another node than `last` if there is one.
pub(super) fn draw(
    random: &mut fastrand::Rng,
    nodes: usize,
    last: Option<usize>,
    longest: Duration,
) -> Incident {
    let node = match last {
        Some(last) if nodes > 1 => (last + random.usize(1..nodes)) % nodes,
        _ => random.usize(..nodes),
    };
    let fault = match random.u8(..7) {
        0 => Fault::Killed,
        1 => Fault::Stopped,
        2 => Fault::Line(Trouble::Cut),
        3 => Fault::Line(Trouble::Silence),
        4 => Fault::Line(Trouble::Delay(DELAY)),
        5 => Fault::Line(Trouble::InternalError),
        _ => Fault::Line(Trouble::HalfAnswer),
    };
    let part = |random: &mut fastrand::Rng| longest.mul_f64(0.2 + 0.8 * random.f64());
    let edge = Duration::from_millis(random.u64(..300));
    let overlaps = random.bool();
    Incident {
        node,
        fault,
        lasts: if fault == Fault::Stopped { longest } else { part(random) },
        pause: if overlaps { Duration::ZERO } else { edge * 3 },
        overlap: if overlaps { edge } else { Duration::ZERO },
    }
}

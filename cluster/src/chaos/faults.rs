//! Which fault befalls which node, and for how long: drawn from a seed.
//! Invariant: one node at a time is in trouble, but for a moment at the edges, where the next fault may begin
//! just before the last one is over.

use std::time::Duration;

use crate::faulty_proxy::Trouble;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again when the fault is over.
    Killed,
    /// SIGSTOP; SIGCONT when the fault is over.
    Stopped,
    /// Something is wrong between gateway and node.
    Line(Trouble),
}

/// One fault of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    pub node: usize,
    pub fault: Fault,
    pub lasts: Duration,
    /// From the end of this incident to the begin of the next; the next begins earlier by `overlap` instead.
    pub pause: Duration,
    pub overlap: Duration,
}

/// How long a delayed node's answers take longer.
pub const DELAY: Duration = Duration::from_millis(500);

/// Draws the next incident; it befalls another node than `last`, where there is one.
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

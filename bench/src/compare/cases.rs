//! The cases that are compared: what the legs answer and how many clients ask at once.

use crate::corpus::Shape;

/// One line of the history.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Legs x hits, then connections.
    pub name: &'static str,
    pub shape: Shape,
    /// Client connections, each with one request in flight.
    pub connections: usize,
}

/// All cases, the plainest first.
pub const CASES: [Case; 7] = [
    case("3x20-c4", 3, 20, 4),
    case("3x20-c32", 3, 20, 32),
    case("3x20-c64", 3, 20, 64),
    case("3x20-c128", 3, 20, 128),
    case("1x20-c32", 1, 20, 32),
    case("8x20-c32", 8, 20, 32),
    case("3x200-c32", 3, 200, 32),
];

impl Case {
    /// True when one of `names` is part of the case's name, or there are none.
    pub(super) fn is_chosen(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| self.name.contains(name.as_str()))
    }
}

const fn case(name: &'static str, legs: usize, hits: usize, connections: usize) -> Case {
    Case { name, shape: Shape { legs, hits, document_bytes: 200 }, connections }
}

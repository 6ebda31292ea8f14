//! The allowed states of one document, given every operation on it and its answer.
//! Invariants: one client at a time changes a document, and waits for its answer. An acknowledged operation has
//! happened. An unacknowledged one may have happened, but never after a later acknowledged one.

use std::collections::BTreeSet;

/// A state; `None` when there is no document. Both fields contain numbers of operations.
pub(super) type State = Option<Content>;

/// The content of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    /// The operation that wrote the whole document.
    pub(super) whole: Option<u64>,
    /// The last operation that wrote only this field.
    pub(super) part: Option<u64>,
}

/// An operation of a client on a document. Numbers identify operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Replace(u64),
    Update(u64),
    Delete,
}

impl Operation {
    fn apply(self, before: State) -> State {
        match self {
            Self::Replace(number) => Some(Content { whole: Some(number), part: None }),
            Self::Update(number) => Some(Content { part: Some(number), ..before.unwrap_or_default() }),
            Self::Delete => None,
        }
    }
}

/// All states in which one document may be.
#[derive(Debug, Clone)]
pub(super) struct Register {
    possible: BTreeSet<State>,
    /// Recent operations, for the report.
    history: Vec<(Operation, bool)>,
}

/// The most operations that a report shows.
const HISTORY_SHOWN: usize = 8;

impl Register {
    pub(super) fn new() -> Self {
        Self { possible: BTreeSet::from([None]), history: Vec::new() }
    }

    /// Records an operation and whether it was acknowledged.
    pub(super) fn note(&mut self, operation: Operation, acknowledged: bool) {
        let after = self.possible.iter().map(|state| operation.apply(*state)).collect::<BTreeSet<_>>();
        if acknowledged {
            self.possible = after;
        } else {
            self.possible.extend(after);
        }
        if self.history.len() == HISTORY_SHOWN {
            self.history.remove(0);
        }
        self.history.push((operation, acknowledged));
    }

    pub(super) fn allows(&self, state: State) -> bool {
        self.possible.contains(&state)
    }

    /// Whether a disallowed state restores a document that an acknowledged deletion removed.
    pub(super) fn undoes_a_deletion(&self, state: State) -> bool {
        state.is_some() && self.possible.iter().all(Option::is_none)
    }

    /// Describes the expected states.
    pub(super) fn describe(&self) -> String {
        format!("may be {:?} after {:?}", self.possible, self.history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_acknowledged_is_open() {
        let mut register = Register::new();
        register.note(Operation::Replace(1), true);
        register.note(Operation::Update(2), false);
        let one = Content { whole: Some(1), part: None };
        let both = Content { part: Some(2), ..one };
        assert!(register.allows(Some(one)) && register.allows(Some(both)) && !register.allows(None));
        register.note(Operation::Delete, true);
        assert!(register.allows(None) && register.undoes_a_deletion(Some(one)));
        register.note(Operation::Update(3), true);
        assert!(
            register.allows(Some(Content { whole: None, part: Some(3) })) && !register.allows(Some(both))
        );
        assert!(!register.undoes_a_deletion(Some(both)), "that is a lost write");
    }
}

//! Single flight: questions under way on one core, which identical ones may join.
//!
//! Invariants: a question can be joined for a bounded time after it began, and never past the end of a task that a
//! client may know of. When a leader is dropped before its answer, those that joined it ask for themselves.

use std::{
    cell::{Cell, RefCell},
    hash::Hash,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use ahash::AHashMap;
use bytes::Bytes;
use futures_channel::oneshot;

use crate::{
    api::error::ApiError,
    config::limits,
    state::{merged_answer::MergedAnswer, read_preference::TenantGroup, snapshot::Index},
};

pub(crate) type Outcome = Result<MergedAnswer, ApiError>;

/// What makes two searches identical. The index is held so that no other one gets its address.
pub(crate) struct Question {
    pub(crate) index: Arc<Index>,
    pub(crate) body: Bytes,
    pub(crate) rules: Option<String>,
    /// The group that it reads for a tenant.
    pub(crate) tenant: Option<TenantGroup>,
}

impl Question {
    fn key(&self) -> (usize, &[u8], Option<&str>, Option<TenantGroup>) {
        (Arc::as_ptr(&self.index).addr(), &self.body, self.rules.as_deref(), self.tenant)
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Question {}

impl Hash for Question {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// A question under way, and those that wait for its answer.
struct Flight<Answer> {
    number: u64,
    started: Instant,
    /// How many tasks had ended, as far as clients could know, when it began.
    tasks_ended: u64,
    waiting: RefCell<Vec<oneshot::Sender<Answer>>>,
}

/// The questions under way on one core; no more than it has requests in flight.
pub(crate) struct Flights<Query, Answer> {
    flights: RefCell<AHashMap<Rc<Query>, Rc<Flight<Answer>>>>,
    last_number: Cell<u64>,
}

/// The searches under way on one core.
pub(crate) type Searches = Flights<Question, Outcome>;

/// The role of a question: it joins another one, or leads a flight of its own.
pub(crate) enum Role<'f, Query: Eq + Hash, Answer> {
    Joined(oneshot::Receiver<Answer>),
    Alone(Leader<'f, Query, Answer>),
}

/// Leads a flight, and removes it when it has landed or is dropped.
pub(crate) struct Leader<'f, Query: Eq + Hash, Answer> {
    flights: &'f Flights<Query, Answer>,
    question: Rc<Query>,
    flight: Rc<Flight<Answer>>,
}

impl<Query, Answer> Default for Flights<Query, Answer> {
    fn default() -> Self {
        Self { flights: RefCell::default(), last_number: Cell::new(0) }
    }
}

impl<Query: Eq + Hash, Answer> Flights<Query, Answer> {
    pub(crate) fn join_or_lead(
        &self,
        question: Query,
        now: Instant,
        tasks_ended: u64,
    ) -> Role<'_, Query, Answer> {
        let mut flights = self.flights.borrow_mut();
        if let Some(flight) = flights.get(&question)
            && flight.tasks_ended == tasks_ended
            && now.saturating_duration_since(flight.started) <= limits::QUERY_COALESCING_WINDOW
        {
            let (waits, answer) = oneshot::channel();
            flight.waiting.borrow_mut().push(waits);
            return Role::Joined(answer);
        }
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        let question = Rc::new(question);
        let flight = Rc::new(Flight { number, started: now, tasks_ended, waiting: RefCell::default() });
        // The flight replaced here can no longer be joined, but still lands for those that wait in it.
        flights.insert(Rc::clone(&question), Rc::clone(&flight));
        Role::Alone(Leader { flights: self, question, flight })
    }
}

impl<Query: Eq + Hash, Answer: Clone> Leader<'_, Query, Answer> {
    pub(crate) fn land(self, answer: &Answer) {
        for waits in self.flight.waiting.take() {
            let _ = waits.send(answer.clone());
        }
    }
}

impl<Query: Eq + Hash, Answer> Drop for Leader<'_, Query, Answer> {
    fn drop(&mut self) {
        let mut flights = self.flights.flights.borrow_mut();
        if flights.get(&self.question).is_some_and(|flight| flight.number == self.flight.number) {
            flights.remove(&self.question);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use std::time::Duration;

    use super::*;

    type Words = Flights<&'static str, u32>;

    fn alone<'f>(role: Role<'f, &'static str, u32>) -> Leader<'f, &'static str, u32> {
        match role {
            Role::Alone(leader) => leader,
            Role::Joined(_) => panic!("joined another"),
        }
    }

    fn joined(role: Role<'_, &'static str, u32>) -> oneshot::Receiver<u32> {
        match role {
            Role::Joined(answer) => answer,
            Role::Alone(_) => panic!("joined nobody"),
        }
    }

    #[test]
    fn who_comes_in_time_gets_the_answer_under_way() {
        let (words, now) = (Words::default(), Instant::now());
        let first = alone(words.join_or_lead("a", now, 0));
        let last_moment = now + limits::QUERY_COALESCING_WINDOW;
        let (second, third) =
            (joined(words.join_or_lead("a", now, 0)), joined(words.join_or_lead("a", last_moment, 0)));
        let other = alone(words.join_or_lead("b", now, 0));
        first.land(&7);
        assert_eq!((second.now_or_never(), third.now_or_never()), (Some(Ok(7)), Some(Ok(7))));
        drop(other);
        assert!(words.flights.borrow().is_empty());
        let _again = alone(words.join_or_lead("a", now, 0));
    }

    #[test]
    fn nobody_joins_what_is_old_or_may_lack_an_ended_write() {
        let (words, now) = (Words::default(), Instant::now());
        let first = alone(words.join_or_lead("a", now, 0));
        let waits = joined(words.join_or_lead("a", now, 0));
        let late = now + limits::QUERY_COALESCING_WINDOW + Duration::from_millis(1);
        let second = alone(words.join_or_lead("a", late, 0));
        let third = alone(words.join_or_lead("a", late, 1));
        // The older flights land for those that joined them, and leave the newest in place.
        second.land(&2);
        first.land(&1);
        assert_eq!(waits.now_or_never(), Some(Ok(1)));
        let with_third = joined(words.join_or_lead("a", late, 1));
        third.land(&3);
        assert_eq!(with_third.now_or_never(), Some(Ok(3)));
    }

    #[test]
    fn a_flight_that_is_given_up_lets_the_others_go() {
        let (words, now) = (Words::default(), Instant::now());
        let first = alone(words.join_or_lead("a", now, 0));
        let waits = joined(words.join_or_lead("a", now, 0));
        drop(first);
        assert_eq!(waits.now_or_never(), Some(Err(oneshot::Canceled)));
        assert!(words.flights.borrow().is_empty());
    }
}

//! A model of the store for the simulated pods: the store's own rules on plain maps, a clock that may jump, and the
//! checkers, which look at every step that is done.
//! - Of one scope only the newest token gets anything done, and a token is one pod's.
//! - A job's cursor moves on by one from where it was, moved by the newest claim; a job is completed once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use store::coordination::{
    Act, After, JOBS, LEASES, Outcome, Step, decide, is_newest, job_view, lease_view, pick,
};
use store::{HeldLease, Job, StoreError};

#[derive(Default)]
pub(super) struct Model {
    records: BTreeMap<(&'static str, String), Value>,
    /// What the clock is ahead of true time, in milliseconds.
    pub(super) skew: u64,
    /// Which pod was given each token of a scope.
    holders: BTreeMap<(String, u64), usize>,
    /// The highest token that has got something done, by scope.
    highest: BTreeMap<String, u64>,
    cursors: BTreeMap<String, (u64, u64)>,
    completed: BTreeSet<String>,
    /// What leaders have done, by scope: each fenced commit adds one.
    pub(super) commits: BTreeMap<String, u64>,
}

impl Model {
    fn now(&self, time: Duration) -> Duration {
        Duration::from_secs(1_000_000) + time + Duration::from_millis(self.skew)
    }

    /// Does one step as a backend does, for a pod.
    pub(super) fn step(&mut self, pod: usize, step: &Step, time: Duration) -> Result<Outcome, StoreError> {
        let now = self.now(time);
        let mut step = step.clone();
        if matches!(step.act, Act::Claim { .. }) {
            let prefix = format!("{}/", step.key);
            let jobs = self
                .records
                .iter()
                .filter(|((table, key), _)| *table == JOBS.name() && key.starts_with(&prefix));
            let Some(picked) = pick(jobs.map(|((_, key), value)| (key.as_str(), value)), now) else {
                return Ok(Outcome::Job(None));
            };
            step.key = picked;
        }
        let place = (step.table.name(), step.key.clone());
        let (after, outcome) = decide(&step, self.records.get(&place), now)?;
        match after {
            After::Keep => {}
            After::Put(value) => drop(self.records.insert(place, value)),
            After::Delete => drop(self.records.remove(&place)),
        }
        self.check(pod, &step, &outcome);
        Ok(outcome)
    }

    /// A leader's commit: counted when the token is the newest.
    pub(super) fn commit(&mut self, pod: usize, scope: &str, token: u64) -> Result<(), StoreError> {
        if !is_newest(self.records.get(&(LEASES.name(), scope.to_owned())), token) {
            return Err(StoreError::Fenced);
        }
        self.acted(pod, scope, token);
        *self.commits.entry(scope.to_owned()).or_default() += 1;
        Ok(())
    }

    pub(super) fn leases(&self, prefix: &str, time: Duration) -> Vec<HeldLease> {
        let now = self.now(time);
        let ours = self
            .records
            .iter()
            .filter(|((table, key), _)| *table == LEASES.name() && key.starts_with(prefix));
        ours.filter_map(|((_, key), value)| lease_view(key, value, now)).collect()
    }

    pub(super) fn jobs(&self, time: Duration) -> Vec<Job> {
        let now = self.now(time);
        let ours = self.records.iter().filter(|((table, _), _)| *table == JOBS.name());
        ours.filter_map(|((_, key), value)| job_view(key, value, now)).collect()
    }

    fn check(&mut self, pod: usize, step: &Step, outcome: &Outcome) {
        match (&step.act, outcome) {
            (Act::Acquire { .. }, Outcome::Token(Some(token))) => {
                let before = self.holders.insert((step.key.clone(), *token), pod);
                assert!(before.is_none(), "the token {token} of {} was given twice", step.key);
                self.acted(pod, &step.key, *token);
            }
            (Act::Renew { token, .. } | Act::Release { token }, _) => self.acted(pod, &step.key, *token),
            (Act::Claim { .. }, Outcome::Job(Some(job))) => {
                let cursor = self.cursors.entry(step.key.clone()).or_default();
                assert!(job.token > cursor.0, "a claim of {} has an old token", step.key);
                assert_eq!(job.cursor.as_u64().unwrap_or(0), cursor.1, "progress of {} is lost", step.key);
                cursor.0 = job.token;
            }
            (Act::Progress { token, cursor, .. }, _) => {
                let known = self.cursors.entry(step.key.clone()).or_default();
                assert_eq!(*token, known.0, "{} is moved by who does not hold it", step.key);
                assert_eq!(cursor.as_u64(), Some(known.1 + 1), "{} is done twice, or by leaps", step.key);
                known.1 += 1;
            }
            (Act::Complete { token }, _) => {
                let known = self.cursors.entry(step.key.clone()).or_default();
                assert_eq!(*token, known.0, "{} is completed by who does not hold it", step.key);
                assert!(self.completed.insert(step.key.clone()), "{} is completed twice", step.key);
            }
            _ => {}
        }
    }

    /// Somebody has got something done by right of a token.
    fn acted(&mut self, pod: usize, scope: &str, token: u64) {
        let holder = self.holders.get(&(scope.to_owned(), token));
        assert_eq!(holder, Some(&pod), "the token {token} of {scope} is another pod's");
        let highest = self.highest.entry(scope.to_owned()).or_default();
        assert!(token >= *highest, "the stale token {token} of {scope} got something done after {highest}");
        *highest = token;
    }

    pub(super) fn completed(&self) -> usize {
        self.completed.len()
    }
}

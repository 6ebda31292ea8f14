//! A model of the store for the simulated pods: the store's own rules on plain maps, a clock that may jump, and
//! checkers that examine every step.
//! - In each scope only the newest token has an effect, and a token belongs to one pod.
//! - Only the newest claim advances a job's cursor, by one each time. No pod gets a claim before the previous one has
//!   expired. A job is completed once.
//! - A bug can be planted, which the checkers must find.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use store::coordination::{
    Act, After, JOBS, LEASES, Outcome, Step, decide, is_newest, job_view, lease_view, pick,
};
use store::{HeldLease, Job, StoreError};

/// A bug of the store, or of a pod, planted on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The store accepts a leader's commit whatever its token.
    NoFence,
    /// The store grants a lease before another holder's has expired.
    LeaseNotChecked,
    /// The store grants a job before another holder's claim has expired.
    ClaimNotChecked,
    /// A pod that claims a job starts over.
    CursorLost,
    /// A stale claim advances its job, and completes it.
    JobNotFenced,
    /// A lease that is taken over keeps the token of the previous holder.
    TokenAgain,
    /// A lease counts from the arrival of its answer, not from its request.
    LateLease,
    /// A holder whose renewal failed keeps working until the lease's very end.
    NeverGivenUp,
}

impl Bug {
    pub const ALL: [Self; 8] = [
        Self::NoFence,
        Self::LeaseNotChecked,
        Self::ClaimNotChecked,
        Self::CursorLost,
        Self::JobNotFenced,
        Self::TokenAgain,
        Self::LateLease,
        Self::NeverGivenUp,
    ];
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) bug: Option<Bug>,
    /// Each with its revision.
    records: BTreeMap<(&'static str, String), (u64, Value)>,
    revision: u64,
    /// When the newest claim of each job expires, by the store's clock.
    claimed_until: BTreeMap<String, Duration>,
    /// How far the clock is ahead of true time, in milliseconds.
    pub(super) skew: u64,
    /// The pod that was given each token of a scope.
    holders: BTreeMap<(String, u64), usize>,
    /// The highest token that has had an effect, by scope.
    highest: BTreeMap<String, u64>,
    cursors: BTreeMap<String, (u64, u64)>,
    completed: BTreeSet<String>,
    /// Commits of leaders, by scope: each fenced commit adds one.
    pub(super) commits: BTreeMap<String, u64>,
}

impl Model {
    pub(super) fn with(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    fn now(&self, time: Duration) -> Duration {
        Duration::from_secs(1_000_000) + time + Duration::from_millis(self.skew)
    }

    /// Performs one step for a pod, as a backend does.
    pub(super) fn step(&mut self, pod: usize, step: &Step, time: Duration) -> Result<Outcome, StoreError> {
        let mut now = self.now(time);
        if self.bug == Some(Bug::LeaseNotChecked) && matches!(step.act, Act::Acquire { .. })
            || self.bug == Some(Bug::ClaimNotChecked) && matches!(step.act, Act::Claim { .. })
        {
            now += Duration::from_secs(3600);
        }
        let mut step = step.clone();
        if matches!(step.act, Act::Claim { .. }) {
            let prefix = format!("{}/", step.key);
            let jobs = self
                .records
                .iter()
                .filter(|((table, key), _)| *table == JOBS.name() && key.starts_with(&prefix));
            let Some(picked) = pick(jobs.map(|((_, key), (_, value))| (key.as_str(), value)), now) else {
                return Ok(Outcome::Job(None));
            };
            step.key = picked;
        }
        let place = (step.table.name(), step.key.clone());
        let known = self.records.get(&place).cloned();
        let asked = step.clone();
        if self.bug == Some(Bug::JobNotFenced)
            && let Act::Progress { token, .. } | Act::Complete { token } = &mut step.act
        {
            *token = known.as_ref().and_then(|(_, job)| job["token"].as_u64()).unwrap_or(*token);
        }
        let (revision, record) = known.unzip();
        let (mut after, mut outcome) = decide(&step, record.as_ref(), revision.unwrap_or(0), now)?;
        self.spoil(record.as_ref(), &mut after, &mut outcome);
        match after {
            After::Keep => {}
            After::Put(value) => {
                self.revision += 1;
                self.records.insert(place, (self.revision, value));
            }
            After::Delete => drop(self.records.remove(&place)),
        }
        self.check(pod, &asked, &outcome, self.now(time));
        Ok(outcome)
    }

    /// Changes the outcome of a step as the planted bug would.
    fn spoil(&self, before: Option<&Value>, after: &mut After, outcome: &mut Outcome) {
        match (self.bug, outcome, after) {
            (Some(Bug::CursorLost), Outcome::Job(Some(job)), After::Put(_)) => job.cursor = Value::Null,
            (Some(Bug::TokenAgain), Outcome::Token(Some(token)), After::Put(lease)) => {
                if let Some(last) = before.and_then(|before| before["token"].as_u64()) {
                    *token = last;
                    lease["token"] = Value::from(last);
                }
            }
            _ => {}
        }
    }

    /// Performs a leader's commit: it counts if the token is the newest.
    pub(super) fn commit(&mut self, pod: usize, scope: &str, token: u64) -> Result<(), StoreError> {
        let lease = self.records.get(&(LEASES.name(), scope.to_owned())).map(|(_, lease)| lease);
        if self.bug != Some(Bug::NoFence) && !is_newest(lease, token) {
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
        ours.filter_map(|((_, key), (_, value))| lease_view(key, value, now)).collect()
    }

    pub(super) fn jobs(&self, time: Duration) -> Vec<Job> {
        let now = self.now(time);
        let ours = self.records.iter().filter(|((table, _), _)| *table == JOBS.name());
        ours.filter_map(|((_, key), (_, value))| job_view(key, value, now)).collect()
    }

    fn check(&mut self, pod: usize, step: &Step, outcome: &Outcome, now: Duration) {
        if let Act::Claim { ttl, .. } | Act::Heartbeat { ttl, .. } | Act::Progress { ttl, .. } = &step.act
            && !matches!(outcome, Outcome::Job(None))
        {
            let until = self.claimed_until.insert(step.key.clone(), now + *ttl);
            let is_claim = matches!(step.act, Act::Claim { .. });
            assert!(
                !is_claim || until.is_none_or(|until| until <= now),
                "{} is done twice at once",
                step.key
            );
        }
        if let Act::Fail { .. } | Act::Complete { .. } = &step.act {
            self.claimed_until.remove(&step.key);
        }
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

    /// Checks the token by virtue of which a pod has had an effect.
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

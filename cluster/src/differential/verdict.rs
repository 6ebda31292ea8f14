//! The verdict on one question: equal, not served, explained, or different.
//! Invariant: a missing answer of the cluster is a difference; it never ends the run.

use serde_json::json;

use crate::differential::compare::{Difference, compare};
use crate::differential::known_differences::{Cause, agrees, without_ties};
use crate::differential::question::Question;
use crate::differential::targets::{Both, Case};

/// The result of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    /// The gateway says that it does not serve this.
    NotServed,
    /// The single node does not support it, so there is nothing to compare with.
    NotAsked,
    Explained(Cause),
    /// At least one difference.
    Differs(Vec<Difference>),
}

impl Both<'_> {
    /// Asks both about the index that the question names, or about a copy of it.
    pub(super) fn judge(&self, question: &Question, uid: &str) -> anyhow::Result<Verdict> {
        let (expected, found) = self.ask(question, uid)?;
        if expected.is_absent() {
            return Ok(Verdict::NotAsked);
        }
        if found.is_not_served() && expected.body["code"] != found.body["code"] {
            return Ok(Verdict::NotServed);
        }
        let differences = compare(&expected, &found);
        if differences.is_empty() {
            return Ok(Verdict::Equal);
        }
        let differences = without_ties(self, question, uid, &differences)?;
        if differences.is_empty() {
            return Ok(Verdict::Explained(Cause::EqualRanks));
        }
        let case = Case { both: self, question, uid, kinds: &differences };
        if question.path == "/multi-search" {
            let cause = self.cause_of_a_part(&case)?;
            return Ok(cause.map_or(Verdict::Differs(differences), Verdict::Explained));
        }
        for cause in Cause::ALL {
            if cause.explains(&case)? {
                return Ok(Verdict::Explained(*cause));
            }
        }
        Ok(Verdict::Differs(differences))
    }

    /// The cause of a multi-search's difference: some of its searches must differ for that cause on their own, and the
    /// others must agree.
    fn cause_of_a_part(&self, case: &Case<'_>) -> anyhow::Result<Option<Cause>> {
        let Some(queries) = case.question.member("queries").as_array() else { return Ok(None) };
        let (mut found, mut others) = (None, Vec::new());
        for query in queries {
            let index = query["indexUid"].as_str().and_then(|uid| self.corpus.index(uid));
            let Some(index) = index else { return Ok(None) };
            let alone = Question::search(index.uid, query.clone());
            let mut alone = alone.without("indexUid").without("federationOptions");
            if !case.question.member("federation").is_null() {
                // Hits of a federation always show their score.
                alone = alone.with("showRankingScore", json!(true));
            }
            match self.judge(&alone, index.uid)? {
                Verdict::Equal => others.push(query.clone()),
                Verdict::Explained(cause) => found = Some(cause),
                Verdict::NotServed | Verdict::NotAsked | Verdict::Differs(_) => return Ok(None),
            }
        }
        if found.is_none()
            || others.is_empty()
            || agrees(case, &case.question.with("queries", json!(others)))?
        {
            return Ok(found);
        }
        Ok(None)
    }
}

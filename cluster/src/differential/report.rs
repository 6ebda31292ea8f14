//! The result of a run: counts by family, and the unexplained differences.
//! Invariant: asked = equal + not served + explained + unexplained; questions that the nodes do not support are counted
//! separately.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::differential::compare::{Difference, shown};
use crate::differential::families::Family;
use crate::differential::known_differences::Cause;
use crate::differential::question::Question;
use crate::differential::verdict::Verdict;

/// The most documents that the Markdown shows.
const DOCUMENTS_SHOWN_MAX: usize = 4;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// Describes what was compared.
    pub(super) title: String,
    pub(super) families: Vec<Counts>,
    pub(super) differences: Vec<Found>,
}

/// The results of a family's questions.
#[derive(Debug)]
pub(super) struct Counts {
    family: &'static str,
    exact: bool,
    equal: usize,
    not_served: usize,
    not_asked: usize,
    explained: BTreeMap<Cause, usize>,
    unexplained: usize,
}

/// An unexplained difference.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) family: &'static str,
    /// The number of the question in the run.
    pub(super) number: usize,
    pub(super) question: Question,
    pub(super) differences: Vec<Difference>,
    /// The smallest question, if there was time to search for it.
    pub(super) smallest: Option<Question>,
    /// The fewest documents, if there was time to search for them.
    pub(super) documents: Option<Vec<Value>>,
}

impl Counts {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            family: family.name,
            exact: family.exact,
            equal: 0,
            not_served: 0,
            not_asked: 0,
            explained: BTreeMap::new(),
            unexplained: 0,
        }
    }

    pub(super) fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Equal => self.equal += 1,
            Verdict::NotServed => self.not_served += 1,
            Verdict::NotAsked => self.not_asked += 1,
            Verdict::Explained(cause) => *self.explained.entry(*cause).or_default() += 1,
            Verdict::Differs(_) => self.unexplained += 1,
        }
    }

    fn asked(&self) -> usize {
        self.equal + self.not_served + self.explained.values().sum::<usize>() + self.unexplained
    }

    fn causes(&self) -> String {
        let causes = self.explained.iter().map(|(cause, count)| format!("{} {count}", cause.name()));
        causes.collect::<Vec<_>>().join(", ")
    }
}

impl Report {
    /// Whether something that must be exact differs without a cause.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.families.iter().any(|counts| counts.exact && counts.unexplained > 0)
    }

    /// The number of questions that differ without a cause, in all families.
    #[must_use]
    pub fn unexplained(&self) -> usize {
        self.families.iter().map(|counts| counts.unexplained).sum()
    }

    /// The number of questions that both answered.
    #[must_use]
    pub fn compared(&self) -> usize {
        self.families.iter().map(|counts| counts.asked() - counts.not_served).sum()
    }

    /// The families with questions that the gateway does not serve, and their numbers.
    #[must_use]
    pub fn not_served(&self) -> Vec<(&'static str, usize)> {
        let some = self.families.iter().filter(|counts| counts.not_served > 0);
        some.map(|counts| (counts.family, counts.not_served)).collect()
    }

    /// A table of families and a list of differences, as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# One node and a cluster compared\n\n{}\n\n", self.title);
        text.push_str("| family | must be exact | asked | equal | not served | explained | unexplained |\n");
        text.push_str("|---|---|---:|---:|---:|---|---:|\n");
        for counts in &self.families {
            let exact = if counts.exact { "yes" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {exact} | {} | {} | {} | {} | {} |",
                counts.family,
                counts.asked(),
                counts.equal,
                counts.not_served,
                counts.causes(),
                counts.unexplained
            );
        }
        let _ =
            writeln!(text, "\n{} questions compared, {} unexplained.", self.compared(), self.unexplained());
        for found in &self.differences {
            text.push_str(&found.to_markdown());
        }
        text
    }

    /// One JSON object per line: the run, each family, each difference.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        let mut lines = vec![json!({"run": self.title})];
        lines.extend(self.families.iter().map(|counts| {
            let causes =
                counts.explained.iter().map(|(cause, count)| (cause.name().to_owned(), json!(count)));
            json!({
                "family": counts.family,
                "exact": counts.exact,
                "asked": counts.asked(),
                "equal": counts.equal,
                "notServed": counts.not_served,
                "notAsked": counts.not_asked,
                "explained": Value::Object(causes.collect()),
                "unexplained": counts.unexplained,
            })
        }));
        lines.extend(self.differences.iter().map(|found| {
            json!({
                "difference": found.family,
                "number": found.number,
                "question": found.question.to_json(),
                "smallest": found.smallest.as_ref().map(Question::to_json),
                "documents": found.documents,
                "differences": found.differences.iter().map(|one| &one.text).collect::<Vec<_>>(),
            })
        }));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Found {
    fn to_markdown(&self) -> String {
        let question = self.smallest.as_ref().unwrap_or(&self.question);
        let mut text = format!("\n## {}, question {}\n\n", self.family, self.number);
        let _ = writeln!(text, "    {} {}", question.method, question.target(question.index));
        if let Some(body) = &question.body {
            let _ = writeln!(text, "    {body}");
        }
        if let Some(difference) = self.differences.first() {
            let _ = writeln!(text, "\n`{}` {}", difference.kind, difference.text);
        }
        if let Some(documents) = &self.documents {
            let _ = writeln!(text, "\n{} documents are enough:", documents.len());
            for document in documents.iter().take(DOCUMENTS_SHOWN_MAX) {
                let _ = writeln!(text, "\n    {}", shown(document));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::families::FAMILIES;

    #[test]
    fn only_what_must_be_exact_fails() {
        let exact = FAMILIES.iter().find(|family| family.exact).unwrap();
        let other = FAMILIES.iter().find(|family| !family.exact).unwrap();
        let difference =
            Difference { kind: "hits".to_owned(), text: "/hits: one node 1, cluster 2".to_owned() };
        let verdicts = [
            Verdict::Equal,
            Verdict::NotServed,
            Verdict::NotAsked,
            Verdict::Explained(Cause::TypoMaximum),
            Verdict::Differs(vec![difference]),
        ];
        for (family, failed) in [(exact, true), (other, false)] {
            let mut counts = Counts::new(family);
            verdicts.iter().for_each(|verdict| counts.count(verdict));
            assert_eq!(counts.asked(), 4);
            let report = Report { title: String::new(), families: vec![counts], differences: Vec::new() };
            assert_eq!((report.failed(), report.compared(), report.unexplained()), (failed, 3, 1));
            assert!(report.to_markdown().contains("typo-maximum 1"));
        }
    }
}

//! What hits of different lists are compared by: scores times a weight, and the values of sort rules.
//!
//! Rules between two sort rules count together as one score (milli's `ScoreDetails::score_values`). The ranking score
//! of a hit is that score wherever no sort rule stands between the others. Where one does, the score of the rules
//! before it is taken from their own scores: exact up to what the rules behind them add, less than one rank.

use std::cmp::Ordering;

use crate::error::Fault;
use crate::json::{Members, number};
use crate::key::{Key, RuleKind};

/// A hit's values in the order of its rules.
pub(crate) struct Scores<'a> {
    key: Key<'a>,
    values: Vec<Value>,
    /// What scores are multiplied with.
    weight: f64,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Score(f64),
    /// The value of the sort rule at this place of the key.
    Sort(usize),
}

impl<'a> Scores<'a> {
    /// Reads the values of the raw hit `text`. `tie_break`: the rule that one node does not have.
    ///
    /// # Errors
    /// If the hit has no ranking score or no readable details.
    pub(crate) fn read(
        text: &'a str,
        details: &'a str,
        weight: f64,
        tie_break: Option<&str>,
    ) -> Result<Self, Fault> {
        let mut key = Key::default();
        key.read(details)?;
        let score = ranking_score(text)?;
        let mut values = Vec::new();
        let groups = key.rank_groups(tie_break);
        let only_one = groups.iter().filter(|group| matches!(group.kind, RuleKind::Rank)).count() <= 1;
        for group in groups {
            values.push(match group.kind {
                RuleKind::Rank if only_one => Value::Score(score),
                RuleKind::Rank => Value::Score(group.score),
                RuleKind::Vector => Value::Score(group.score),
                RuleKind::Sort => Value::Sort(group.at),
            });
        }
        Ok(Self { key, values, weight })
    }

    /// `Greater` means that this hit comes first.
    pub(crate) fn compare(&self, other: &Self) -> Result<Ordering, Fault> {
        let (mut ours, mut theirs) = (self.values.iter(), other.values.iter());
        loop {
            let ordering = match (ours.next(), theirs.next()) {
                (None, None) => return Ok(Ordering::Equal),
                (None, Some(_)) => return Ok(Ordering::Less),
                (Some(_), None) => return Ok(Ordering::Greater),
                (Some(Value::Score(left)), Some(Value::Score(right))) => {
                    let (left, right) = (left * self.weight, right * other.weight);
                    let same = (left - right).abs() <= f64::EPSILON;
                    if same { Ordering::Equal } else { left.total_cmp(&right) }
                }
                (Some(Value::Sort(left)), Some(Value::Sort(right))) => {
                    self.key.compare_values(*left, &other.key, *right)
                }
                (Some(Value::Score(score)), Some(Value::Sort(_))) => {
                    return Ok(if *score == 0.0 { Ordering::Less } else { Ordering::Greater });
                }
                (Some(Value::Sort(_)), Some(Value::Score(score))) => {
                    return Ok(if *score == 0.0 { Ordering::Greater } else { Ordering::Less });
                }
            };
            if ordering != Ordering::Equal {
                return Ok(ordering);
            }
        }
    }
}

/// The `_rankingScore` of a raw hit.
pub(crate) fn ranking_score(text: &str) -> Result<f64, Fault> {
    let score = Members::of(text).into_iter().flatten().find(|member| member.key == "_rankingScore");
    let score = score.and_then(|member| number(member.value));
    score.ok_or_else(|| Fault::new("a hit has no _rankingScore"))
}

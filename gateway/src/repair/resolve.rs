//! Conflict resolution: which of several copies of one document is right. Pure.
//!
//! Invariants: an untrusted copy's version never wins. A deletion wins over every write before it, and over none
//! after it. A document is given up only for a deletion, or when the only nodes that have it were written to behind
//! the gateway's back.

/// What is known of one document and its copies, by position of the copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub versions: &'a [Option<Version>],
    pub trusted: &'a [bool],
    /// Nodes that took document changes that the gateway had not made; `None` while that was not checked.
    pub foreign: Option<&'a [bool]>,
    /// When the document was last deleted.
    pub deleted_at: Option<u64>,
}

/// One copy of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub content: u64,
    pub stamp: Option<u64>,
    /// Whether it is marked with the shard that it belongs to.
    pub in_place: bool,
    pub raw: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All copies are equal.
    Same,
    /// The document is deleted everywhere.
    Delete,
    /// This copy's version is written everywhere.
    Keep(usize),
    /// The case is resolved again once `foreign` is known.
    LookForForeign,
    /// No copy is trusted.
    Unknown,
}

/// Resolves one document.
pub(crate) fn resolve(case: Case<'_>) -> Verdict {
    let Case { versions, trusted, foreign, deleted_at } = case;
    if are_equal(versions) {
        return Verdict::Same;
    }
    if !trusted.contains(&true) {
        return Verdict::Unknown;
    }
    let held = versions.iter().enumerate().filter_map(|(copy, version)| Some((copy, version.as_ref()?)));
    let mut held = held.filter(|(copy, _)| trusted[*copy]).collect::<Vec<_>>();
    if held.iter().any(|(_, version)| version.in_place) {
        held.retain(|(_, version)| version.in_place);
    }
    let Some(newest) = held.iter().map(|(_, version)| version.stamp).max() else {
        // Only untrusted copies have it.
        return Verdict::Delete;
    };
    if deleted_at.is_some_and(|deleted| newest.is_none_or(|newest| newest < deleted)) {
        return Verdict::Delete;
    }
    let lacking = (0..versions.len()).filter(|copy| trusted[*copy] && versions[*copy].is_none());
    let lacking = lacking.collect::<Vec<_>>();
    let unstamped = newest.is_none() || !held[0].1.in_place;
    if unstamped && !lacking.is_empty() {
        let Some(foreign) = foreign else { return Verdict::LookForForeign };
        let suspicious = held.iter().all(|(copy, _)| foreign[*copy]);
        if suspicious && lacking.iter().all(|copy| !foreign[*copy]) {
            return Verdict::Delete;
        }
    }
    held.retain(|(_, version)| version.stamp == newest);
    most_likely(&held, foreign)
}

/// Whether these copies are one version, in the place where it belongs, or none.
pub(crate) fn are_equal(versions: &[Option<Version>]) -> bool {
    let like = |one: &Option<Version>, other: &Option<Version>| match (one, other) {
        (Some(one), Some(other)) => one.content == other.content && one.in_place && other.in_place,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    versions.windows(2).all(|pair| like(&pair[0], &pair[1]))
}

/// Among versions of one age: the one of most copies, then one of a node that only the gateway wrote to, then the
/// first.
fn most_likely(held: &[(usize, &Version)], foreign: Option<&[bool]>) -> Verdict {
    let votes = |version: &Version| held.iter().filter(|(_, other)| other.content == version.content).count();
    let most = held.iter().map(|(_, version)| votes(version)).max().unwrap_or(0);
    let best = held.iter().filter(|(_, version)| votes(version) == most).collect::<Vec<_>>();
    let (first, version) = best[0];
    if best.iter().all(|(_, other)| other.content == version.content) {
        return Verdict::Keep(*first);
    }
    let Some(foreign) = foreign else { return Verdict::LookForForeign };
    Verdict::Keep(best.iter().find(|(copy, _)| !foreign[*copy]).map_or(*first, |(copy, _)| *copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(content: u64, stamp: Option<u64>) -> Option<Version> {
        Some(Version { content, stamp, in_place: true, raw: String::new() })
    }

    fn check(versions: &[Option<Version>], deleted_at: Option<u64>, foreign: &[bool], expected: Verdict) {
        let trusted = vec![true; versions.len()];
        let case = Case { versions, trusted: &trusted, foreign: Some(foreign), deleted_at };
        assert_eq!(resolve(case), expected, "{versions:?}");
    }

    #[test]
    fn the_newest_write_wins() {
        let pair = [version(1, Some(5)), version(2, Some(6))];
        check(&pair, None, &[false; 2], Verdict::Keep(1));
        check(&[version(1, Some(5)), version(2, None)], None, &[false; 2], Verdict::Keep(0));
        check(&[version(1, Some(5)), None], None, &[true, false], Verdict::Keep(0));
        check(&[version(1, Some(5)), version(1, Some(6))], None, &[false; 2], Verdict::Same);
        check(&[None, None], None, &[false; 2], Verdict::Same);
    }

    #[test]
    fn deletions_win_over_what_was_before_them_only() {
        let pair = [version(1, Some(5)), None];
        check(&pair, Some(6), &[false; 2], Verdict::Delete);
        check(&pair, Some(4), &[false; 2], Verdict::Keep(0));
        check(&[version(1, None), None], Some(1), &[false; 2], Verdict::Delete);
    }

    #[test]
    fn equals_in_age_are_settled_by_majority_then_by_who_was_tampered_with() {
        let three = [version(1, Some(5)), version(2, Some(5)), version(2, Some(5))];
        check(&three, None, &[false; 3], Verdict::Keep(1));
        let two = [version(1, Some(5)), version(2, Some(5))];
        check(&two, None, &[true, false], Verdict::Keep(1));
        check(&two, None, &[false, true], Verdict::Keep(0));
        check(&two, None, &[true, true], Verdict::Keep(0));
        let trusted = [true; 2];
        let case = Case { versions: &two, trusted: &trusted, foreign: None, deleted_at: None };
        assert_eq!(resolve(case), Verdict::LookForForeign);
    }

    #[test]
    fn what_one_node_alone_was_given_behind_the_gateway_goes() {
        let alone = [version(1, None), None];
        check(&alone, None, &[true, false], Verdict::Delete);
        check(&alone, None, &[false, true], Verdict::Keep(0));
        check(&alone, None, &[true, true], Verdict::Keep(0));
        let mut misplaced = [version(1, Some(9)), None];
        misplaced[0].as_mut().unwrap().in_place = false;
        check(&misplaced, None, &[true, false], Verdict::Delete);
        check(&misplaced, None, &[false, false], Verdict::Keep(0));
        let beside = [misplaced[0].clone(), version(2, None)];
        check(&beside, None, &[false, false], Verdict::Keep(1));
    }

    #[test]
    fn distrusted_copies_never_win() {
        let resolve_with = |versions: &[Option<Version>], trusted: &[bool]| {
            resolve(Case { versions, trusted, foreign: None, deleted_at: None })
        };
        assert_eq!(
            resolve_with(&[version(1, Some(9)), version(2, Some(5))], &[false, true]),
            Verdict::Keep(1)
        );
        assert_eq!(resolve_with(&[version(1, Some(9)), None], &[false, true]), Verdict::Delete);
        assert_eq!(resolve_with(&[version(1, Some(9)), None], &[false, false]), Verdict::Unknown);
        assert_eq!(resolve_with(&[None, version(2, Some(5))], &[false, true]), Verdict::Keep(1));
    }
}

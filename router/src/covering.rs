//! Covering sets: which nodes of a group one query asks, and for which shards each of them answers.
//!
//! Invariants: every wanted shard is in exactly one leg or, when no usable node owns it, in `uncovered`. No leg is
//! empty. Legs are in node order. The number of legs is the least possible while the search stays within its limits, as
//! it does for small groups; otherwise it is that of the greedy choice. Work is bounded either way.

use crate::node::NodeIndex;
use crate::placement::Placement;
use crate::shard::ShardSet;
use crate::topology::Topology;

/// Search steps after which the search stops and returns the best covering set so far.
const SEARCH_STEPS_MAX: u32 = 1_000;
/// The most usable nodes for which the search runs: one bit each.
const SEARCH_NODES_MAX: usize = u64::BITS as usize;
/// The most distinct combinations of owners for which the search runs.
const SEARCH_COMBINATIONS_MAX: usize = 256;

/// One node of a covering set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub node: NodeIndex,
    /// The shards that the node answers for; never empty.
    pub shards: ShardSet,
    /// Whether the leg has every shard that the placement gives the node. Then the query needs no shard filter,
    /// provided the node holds nothing beyond its placement (as it may while shards move).
    pub whole_node: bool,
}

/// The nodes of one group asked by one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveringSet {
    pub group: usize,
    /// By ascending node index.
    pub legs: Vec<Leg>,
    /// Wanted shards without a usable owner in this group.
    pub uncovered: ShardSet,
}

/// The covering set with the fewest nodes and, among those, the lowest total score.
///
/// `score` is 0 or more, lower is better (a negative score counts as 0); `None` or NaN excludes the node. `wanted`
/// limits the set to some shards; `None` wants all. A `group` that does not exist gives no legs.
pub fn covering_set(
    placement: &Placement,
    topology: &Topology,
    group: usize,
    wanted: Option<&ShardSet>,
    score: impl Fn(NodeIndex) -> Option<f32>,
) -> CoveringSet {
    let members = topology.groups().get(group).map_or(&[][..], Vec::as_slice);
    let mut candidates: Vec<Candidate> = members
        .iter()
        .filter_map(|&node| {
            let score = score(node).filter(|score| !score.is_nan())?.max(0.0);
            let held = placement.shards_of(node);
            let shards = wanted.map_or_else(|| held.clone(), |wanted| held.intersection(wanted));
            (!shards.is_empty()).then_some(Candidate { node, score, shards })
        })
        .collect();
    candidates.sort_unstable_by(|one, two| one.score.total_cmp(&two.score).then(one.node.cmp(&two.node)));
    let covered = candidates.iter().fold(ShardSet::new(), |covered, each| covered.union(&each.shards));
    let every = ShardSet::all(placement.shards());
    let uncovered =
        wanted.map_or_else(|| every.clone(), |wanted| wanted.intersection(&every)).difference(&covered);

    let overlap = candidates.iter().map(|each| each.shards.len()).sum::<u32>() > covered.len();
    let chosen = if overlap {
        let greedy = without_redundant(&candidates, choose_greedily(&candidates, &covered));
        Search::run(&candidates, &covered, placement.shards(), &greedy).unwrap_or(greedy)
    } else {
        (0..candidates.len()).collect()
    };
    CoveringSet { group, legs: share_out(&candidates, &chosen, covered, placement), uncovered }
}

/// A usable node that owns wanted shards. Candidates are sorted best first and referred to by position.
struct Candidate {
    node: NodeIndex,
    score: f32,
    shards: ShardSet,
}

/// Repeatedly chooses the node with the most uncovered shards until all are covered. Of equals it prefers the better
/// score.
fn choose_greedily(candidates: &[Candidate], covered: &ShardSet) -> Vec<usize> {
    let mut remaining = covered.clone();
    let mut chosen = Vec::new();
    while !remaining.is_empty() {
        let gain = |&candidate: &usize| candidates[candidate].shards.intersection_len(&remaining);
        // `max_by_key` returns the last of equals, so the best one comes last.
        let best = (0..candidates.len()).rev().max_by_key(gain).expect("a covered shard has a candidate");
        remaining.subtract(&candidates[best].shards);
        chosen.push(best);
    }
    chosen.sort_unstable();
    chosen
}

/// Removes nodes whose shards the others cover too, the worst first.
fn without_redundant(candidates: &[Candidate], mut chosen: Vec<usize>) -> Vec<usize> {
    for position in (0..chosen.len()).rev() {
        let others = chosen.iter().enumerate().filter(|&(other, _)| other != position);
        let rest = others.fold(ShardSet::new(), |rest, (_, &other)| rest.union(&candidates[other].shards));
        if candidates[chosen[position]].shards.is_subset(&rest) {
            chosen.remove(position);
        }
    }
    chosen
}

/// Assigns each covered shard to one chosen node: first whole nodes, which need no filter, then the remaining shards to
/// the best node that owns them.
fn share_out(
    candidates: &[Candidate],
    chosen: &[usize],
    covered: ShardSet,
    placement: &Placement,
) -> Vec<Leg> {
    let mut remaining = covered;
    let mut legs = Vec::with_capacity(chosen.len());
    let mut partial = Vec::new();
    for candidate in chosen.iter().map(|&candidate| &candidates[candidate]) {
        let all_it_owns = candidate.shards.len() == placement.shards_of(candidate.node).len();
        if all_it_owns && candidate.shards.is_subset(&remaining) {
            remaining.subtract(&candidate.shards);
            let whole_node = !placement.may_hold_more(candidate.node);
            legs.push(Leg { node: candidate.node, shards: candidate.shards.clone(), whole_node });
        } else {
            partial.push(candidate);
        }
    }
    for candidate in partial {
        let shards = candidate.shards.intersection(&remaining);
        remaining.subtract(&shards);
        if !shards.is_empty() {
            legs.push(Leg { node: candidate.node, shards, whole_node: false });
        }
    }
    legs.sort_unstable_by_key(|leg| leg.node);
    legs
}

/// Branch and bound for the least hitting set. Shards with the same owners form one combination, a bit per candidate; a
/// covering set has a bit in common with every combination.
struct Search {
    scores: Vec<f32>,
    best: Choice,
    steps: u32,
}

#[derive(Clone, Copy, Default)]
struct Choice {
    members: u64,
    score: f32,
}

impl Search {
    fn run(
        candidates: &[Candidate],
        covered: &ShardSet,
        shards: u32,
        greedy: &[usize],
    ) -> Option<Vec<usize>> {
        if candidates.len() > SEARCH_NODES_MAX {
            return None;
        }
        let mut combinations = vec![0_u64; shards as usize];
        for (candidate, each) in candidates.iter().enumerate() {
            for shard in each.shards.iter() {
                combinations[shard as usize] |= 1 << candidate;
            }
        }
        debug_assert_eq!(combinations.iter().filter(|&&owners| owners != 0).count(), covered.len() as usize);
        combinations.retain(|&owners| owners != 0);
        // Fewest owners first: the search branches on the narrowest choice first, and narrow combinations give a better
        // lower bound.
        combinations.sort_unstable_by_key(|&owners| (owners.count_ones(), owners));
        combinations.dedup();
        if combinations.len() > SEARCH_COMBINATIONS_MAX {
            return None;
        }
        let scores: Vec<f32> = candidates.iter().map(|candidate| candidate.score).collect();
        let best = greedy.iter().fold(Choice::default(), |choice, &candidate| Choice {
            members: choice.members | 1 << candidate,
            score: choice.score + scores[candidate],
        });
        let mut search = Search { scores, best, steps: 0 };
        search.branch(&combinations, Choice::default(), 0);
        let members = search.best.members;
        Some((0..candidates.len()).filter(|&candidate| members & 1 << candidate != 0).collect())
    }

    /// Extends `choice` by each candidate of the first combination not hit yet. `refused` are candidates whose branches
    /// are done, so that no set is visited twice.
    fn branch(&mut self, combinations: &[u64], choice: Choice, refused: u64) {
        self.steps += 1;
        if self.steps > SEARCH_STEPS_MAX {
            return;
        }
        let missed: Vec<u64> =
            combinations.iter().copied().filter(|owners| owners & choice.members == 0).collect();
        let Some(&branched) = missed.iter().min_by_key(|&owners| (owners & !refused).count_ones()) else {
            if self.improves(choice, 0) {
                self.best = choice;
            }
            return;
        };
        if !self.improves(choice, disjoint_at_least(&missed, refused)) {
            return;
        }
        let mut refused = refused;
        for candidate in 0..self.scores.len() {
            if branched & !refused & 1 << candidate != 0 {
                let score = choice.score + self.scores[candidate];
                self.branch(&missed, Choice { members: choice.members | 1 << candidate, score }, refused);
                refused |= 1 << candidate;
            }
        }
    }

    /// Whether `choice` with `further` more members can still beat the best.
    fn improves(&self, choice: Choice, further: u32) -> bool {
        let members = choice.members.count_ones() + further;
        let best = self.best.members.count_ones();
        members < best || (members == best && choice.score < self.best.score)
    }
}

/// A lower bound: combinations without a common owner each need a member of their own.
fn disjoint_at_least(missed: &[u64], refused: u64) -> u32 {
    let mut taken = 0_u64;
    let mut count = 0;
    for owners in missed.iter().map(|owners| owners & !refused) {
        if owners & taken == 0 {
            taken |= owners;
            count += 1;
        }
    }
    count
}

//! Properties of covering sets over random clusters and random health, and the least number of legs by brute force.
//!
//! Invariant: the brute force here shares no code with the crate's search.

use crate::random::{Random, node};
use router::{CoveringSet, NodeIndex, Placement, ShardSet, Topology, covering_set};

struct Case {
    topology: Topology,
    shards: u32,
    scores: Vec<Option<f32>>,
    wanted: Option<ShardSet>,
}

impl Case {
    fn random(seed: u64, nodes_max: usize) -> Case {
        let mut random = Random::new(seed);
        let size = random.between(1, nodes_max);
        let replication_factor = u16::try_from(random.between(1, size.min(3))).unwrap();
        let shards = [1, 4, 16, 64, 100][random.below(5)];
        let mut nodes = random.nodes(size, 0);
        nodes.extend(["x", "y", "z"].map(|id| node(id, 1)));
        random.shuffle(&mut nodes);
        let topology = Topology::new(nodes, replication_factor).unwrap().with_placement_for(shards);
        let sick = random.below(3);
        let scores = (0..topology.nodes.len())
            .map(|_| (random.below(10) >= sick).then(|| f32::from(u16::try_from(random.below(100)).unwrap())))
            .collect();
        let wanted = (random.below(3) == 0).then(|| (0..shards).filter(|_| random.below(4) == 0).collect());
        Case { topology, shards, scores, wanted }
    }

    fn placement(&self) -> &Placement {
        self.topology.placement(self.shards).unwrap()
    }

    fn score(&self, node: NodeIndex) -> Option<f32> {
        self.scores[usize::from(node.0)]
    }

    fn covering_set(&self) -> CoveringSet {
        covering_set(self.placement(), &self.topology, 0, self.wanted.as_ref(), |node| self.score(node))
    }

    fn wanted(&self) -> ShardSet {
        self.wanted.clone().unwrap_or_else(|| ShardSet::all(self.shards))
    }

    fn total(&self, set: &CoveringSet) -> f32 {
        set.legs.iter().map(|leg| self.score(leg.node).unwrap()).sum()
    }
}

#[test]
fn every_wanted_shard_is_answered_for_exactly_once() {
    for seed in 0..2000 {
        let case = Case::random(seed, 40);
        let set = case.covering_set();
        let wanted = case.wanted();
        let mut answered = ShardSet::new();
        for leg in &set.legs {
            let held = case.placement().shards_of(leg.node);
            assert!(case.score(leg.node).is_some() && case.topology.node(leg.node).group == 0);
            assert!(!leg.shards.is_empty() && leg.shards.is_subset(held) && leg.shards.is_subset(&wanted));
            assert_eq!(leg.whole_node, leg.shards == *held);
            assert_eq!(answered.intersection_len(&leg.shards), 0, "seed {seed}");
            answered = answered.union(&leg.shards);
        }
        assert!(set.legs.is_sorted_by_key(|leg| leg.node));
        assert_eq!(answered, wanted.difference(&set.uncovered));
        let usable =
            |shard| case.placement().owners(0, shard).iter().any(|&owner| case.score(owner).is_some());
        let expected: ShardSet = wanted.iter().filter(|&shard| !usable(shard)).collect();
        assert_eq!(set.uncovered, expected, "seed {seed}");
    }
}

/// The least number of nodes that cover all coverable shards, and their least total score, over all subsets.
fn brute_force(case: &Case) -> (u32, f32) {
    let usable: Vec<NodeIndex> =
        case.topology.groups()[0].iter().copied().filter(|&node| case.score(node).is_some()).collect();
    let wanted = case.wanted();
    let cover = |subset: u32| {
        let members = (0..usable.len()).filter(|&at| subset & 1 << at != 0).map(|at| usable[at]);
        members.fold((ShardSet::new(), 0.0), |(covered, score), node| {
            let shards = case.placement().shards_of(node).intersection(&wanted);
            (covered.union(&shards), score + case.score(node).unwrap())
        })
    };
    let all = cover((1 << usable.len()) - 1).0;
    (0..1_u32 << usable.len())
        .filter_map(|subset| {
            let (covered, score) = cover(subset);
            (covered == all).then_some((subset.count_ones(), score))
        })
        .min_by(|one, two| one.0.cmp(&two.0).then(one.1.total_cmp(&two.1)))
        .unwrap()
}

#[test]
fn legs_are_the_fewest_then_the_best() {
    for seed in 0..600 {
        let case = Case::random(seed, 9);
        let set = case.covering_set();
        let (legs, score) = brute_force(&case);
        assert_eq!((u32::try_from(set.legs.len()).unwrap(), case.total(&set)), (legs, score), "seed {seed}");
    }
}

#[test]
fn larger_groups_stay_near_the_fewest() {
    let (mut legs_total, mut best_total, mut optimal) = (0, 0, 0);
    let large = |case: &Case| case.topology.groups()[0].len() >= 11 && case.topology.replication_factor >= 2;
    for case in (0..).map(|seed| Case::random(seed, 13)).filter(large).take(60) {
        let set = case.covering_set();
        let (legs, score) = brute_force(&case);
        legs_total += set.legs.len();
        best_total += legs as usize;
        optimal += u32::from(set.legs.len() == legs as usize && case.total(&set) <= score);
    }
    println!("11 to 13 nodes: {legs_total} legs where {best_total} are least, {optimal} of 60 sets optimal");
    assert!(legs_total as f64 <= best_total as f64 * 1.05);
}

#[test]
fn narrow_and_empty_cases() {
    let nodes = vec![node("a", 0), node("b", 0), node("c", 0)];
    let topology = Topology::new(nodes, 3).unwrap().with_placement_for(8);
    let placement = topology.placement(8).unwrap();
    let scores = [Some(2.0), Some(1.0), Some(3.0)];
    let best = covering_set(placement, &topology, 0, None, |node| scores[usize::from(node.0)]);
    assert_eq!(best.legs.len(), 1);
    assert!(best.legs[0].whole_node && best.legs[0].node == NodeIndex(1) && best.uncovered.is_empty());

    let one: ShardSet = [5].into_iter().collect();
    let narrowed = covering_set(placement, &topology, 0, Some(&one), |node| scores[usize::from(node.0)]);
    assert_eq!(narrowed.legs.len(), 1);
    assert!(!narrowed.legs[0].whole_node && narrowed.legs[0].shards == one);

    let nothing = covering_set(placement, &topology, 0, Some(&ShardSet::new()), |_| Some(0.0));
    assert!(nothing.legs.is_empty() && nothing.uncovered.is_empty());
    let unusable = covering_set(placement, &topology, 0, None, |_| Some(f32::NAN));
    assert!(unusable.legs.is_empty());
    assert_eq!(unusable.uncovered, ShardSet::all(8));
    let absent = covering_set(placement, &topology, 9, Some(&one), |_| Some(0.0));
    assert_eq!(absent.uncovered, one);
    let out_of_range: ShardSet = [100].into_iter().collect();
    let beyond = covering_set(placement, &topology, 0, Some(&out_of_range), |_| Some(0.0));
    assert!(beyond.legs.is_empty() && beyond.uncovered.is_empty());
}

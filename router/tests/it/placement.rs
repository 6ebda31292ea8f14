//! Properties of placement over 1000 random id sets: determinism, the load bound, least movement, independent groups.
//!
//! Invariants: the tests compute the bounds and the least movement themselves, without the crate's code. They print
//! measured figures, shown with `--nocapture`.

use crate::random::{Random, node};
use router::{Node, NodeIndex, Placement, Topology};
use std::collections::BTreeSet;

const SHARDS: u32 = 64;
const ID_SETS: u64 = 1000;

/// One copy of a shard, as group, shard and node id, which outlive a topology version.
type Copy = (u16, u32, String);

fn placed(nodes: Vec<Node>, replication_factor: u16, shards: u32) -> Topology {
    Topology::new(nodes, replication_factor).unwrap().with_placement_for(shards)
}

fn copies(topology: &Topology, shards: u32) -> BTreeSet<Copy> {
    let placement = topology.placement(shards).unwrap();
    let mut copies = BTreeSet::new();
    for group in topology.group_numbers() {
        for shard in 0..shards {
            let owners = placement.owners(group, shard);
            assert_eq!(owners.len(), usize::from(topology.replication_factor));
            for &owner in owners {
                let node = topology.node(owner);
                assert_eq!(usize::from(node.group), group);
                assert!(placement.shards_of(owner).contains(shard));
                assert!(copies.insert((node.group, shard, node.id.clone())), "owners are distinct");
            }
        }
    }
    let held: u32 = (0..topology.nodes.len()).map(|at| held(placement, at)).sum();
    assert_eq!(held as usize, copies.len());
    copies
}

fn held(placement: &Placement, position: usize) -> u32 {
    placement.shards_of(NodeIndex(u16::try_from(position).unwrap())).len()
}

/// Copies in `after` that are not in `before`.
fn moved(before: &BTreeSet<Copy>, after: &BTreeSet<Copy>) -> Vec<Copy> {
    after.difference(before).cloned().collect()
}

fn share(copies: f64, capacity: f64, nodes: &[Node]) -> f64 {
    copies * capacity / nodes.iter().map(|node| node.capacity).sum::<f64>()
}

/// The least factor, at least 1.25, with room for all copies in whole numbers, found by trying each factor that
/// matters.
fn bound_factor(nodes: &[Node], copies: f64, shards: f64) -> f64 {
    let shares: Vec<f64> = nodes.iter().map(|node| share(copies, node.capacity, nodes)).collect();
    let room =
        |factor: f64| -> f64 { shares.iter().map(|share| (factor * share + 1e-9).floor().min(shards)).sum() };
    let mut factors: Vec<f64> = vec![1.25];
    for whole in 1..=200 {
        factors.extend(shares.iter().map(|share| f64::from(whole) / share).filter(|&factor| factor > 1.25));
    }
    factors.sort_by(f64::total_cmp);
    factors.into_iter().find(|&factor| room(factor) + 1e-6 >= copies).unwrap()
}

fn check_bound(topology: &Topology, shards: u32) {
    let placement = topology.placement(shards).unwrap();
    let copies = f64::from(shards) * f64::from(topology.replication_factor);
    for group in topology.group_numbers() {
        let nodes: Vec<Node> = topology.groups()[group].iter().map(|&at| topology.node(at).clone()).collect();
        let factor = bound_factor(&nodes, copies, f64::from(shards));
        for &at in &topology.groups()[group] {
            let load = f64::from(placement.shards_of(at).len());
            let bound = factor * share(copies, topology.node(at).capacity, &nodes);
            assert!(load <= bound + 1e-6, "load {load}, bound {bound}, factor {factor}, {nodes:?}");
        }
    }
}

#[test]
fn the_order_of_nodes_does_not_matter() {
    for seed in 0..ID_SETS {
        let mut random = Random::new(seed);
        let size = random.between(1, 20);
        let replication_factor = u16::try_from(random.between(1, size.min(3))).unwrap();
        let nodes = random.nodes(size, 0);
        let mut shuffled = nodes.clone();
        random.shuffle(&mut shuffled);
        let one = placed(nodes, replication_factor, SHARDS);
        let two = placed(shuffled.clone(), replication_factor, SHARDS);
        assert_eq!(copies(&one, SHARDS), copies(&two, SHARDS));
        let best_first = |topology: &Topology, shard| -> Vec<String> {
            let owners = topology.placement(SHARDS).unwrap().owners(0, shard);
            owners.iter().map(|&owner| topology.node(owner).id.clone()).collect()
        };
        assert!((0..SHARDS).all(|shard| best_first(&one, shard) == best_first(&two, shard)));

        let newcomer = node("the newcomer", 0);
        let join = |topology: &Topology| {
            let mut nodes = topology.nodes.clone();
            nodes.insert(usize::from(nodes.len() > 3), newcomer.clone());
            topology.with_nodes(nodes).unwrap()
        };
        assert_eq!(copies(&join(&one), SHARDS), copies(&join(&two), SHARDS));
    }
}

#[test]
fn no_node_is_over_the_bound() {
    let (mut worst, mut weighted_worst) = (0.0_f64, 0.0_f64);
    for seed in 0..ID_SETS {
        let mut random = Random::new(seed);
        let size = random.between(1, 24);
        let replication_factor = random.between(1, size.min(4));
        let weighted = seed % 2 == 1 && size >= 2 * replication_factor;
        let mut nodes = random.nodes(size, 0);
        if weighted {
            for node in &mut nodes {
                node.capacity = [0.5, 1.0, 1.5, 2.0][random.below(4)];
            }
        }
        // Skips clusters where a node's fair share exceeds all shards; that case has its own test.
        let total: f64 = nodes.iter().map(|node| node.capacity).sum();
        if nodes.iter().any(|node| node.capacity * replication_factor as f64 > total) {
            continue;
        }
        let topology = placed(nodes, u16::try_from(replication_factor).unwrap(), SHARDS);
        copies(&topology, SHARDS);
        check_bound(&topology, SHARDS);
        let copies = f64::from(SHARDS) * replication_factor as f64;
        for (at, node) in topology.nodes.iter().enumerate() {
            let load = f64::from(held(topology.placement(SHARDS).unwrap(), at));
            let relative = load / share(copies, node.capacity, &topology.nodes);
            let worst = if weighted { &mut weighted_worst } else { &mut worst };
            *worst = worst.max(relative);
        }
    }
    println!(
        "highest load over fair share, whole numbers included: {worst:.3}, weighted {weighted_worst:.3}"
    );
}

#[test]
fn bounds_in_whole_numbers() {
    // Shards, nodes, replication factor, the most copies that a node may hold.
    for (shards, size, replication_factor, expected) in [
        (4, 3, 1, 2),
        (1, 3, 2, 1),
        (64, 3, 1, 26),
        (64, 50, 1, 2),
        (64, 100, 1, 1),
        (64, 30, 1, 3),
        (64, 4, 2, 40),
        (64, 2, 2, 64),
        (5, 4, 3, 4),
    ] {
        for seed in 0..50 {
            let topology = placed(Random::new(seed).nodes(size, 0), replication_factor, shards);
            copies(&topology, shards);
            let placement = topology.placement(shards).unwrap();
            let most = (0..size).map(|at| held(placement, at)).max().unwrap();
            assert!(most <= expected, "{shards} shards, {size} nodes: {most} over {expected}");
        }
    }
}

#[test]
fn a_capacity_worth_more_than_all_shards_counts_as_all_of_them() {
    for seed in 0..50 {
        let mut nodes = Random::new(seed).nodes(5, 0);
        nodes[2].capacity = 1000.0;
        let topology = placed(nodes, 2, SHARDS);
        copies(&topology, SHARDS);
        let placement = topology.placement(SHARDS).unwrap();
        assert_eq!(held(placement, 2), SHARDS);
        // The other 64 copies go to four equal nodes: 16 each, at most 20.
        assert!([0, 1, 3, 4].iter().all(|&at| held(placement, at) <= 20));
    }
}

#[derive(Default)]
struct Movement {
    ratios: Vec<f64>,
    beyond: u32,
}

impl Movement {
    fn add(&mut self, moved: usize, least: f64) {
        self.ratios.push(moved as f64 / least);
    }

    fn report(&self, what: &str) {
        let mean = self.ratios.iter().sum::<f64>() / self.ratios.len() as f64;
        let worst = self.ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{what}: {} changes, moved over least: mean {mean:.4}, worst {worst:.4}; {} copies moved for whole numbers",
            self.ratios.len(),
            self.beyond,
        );
        assert!(mean <= 1.15, "{what}: mean {mean}");
        assert!(worst <= 1.5, "{what}: worst {worst}");
    }
}

#[test]
fn a_join_moves_the_newcomers_share_only() {
    let mut movement = Movement::default();
    for seed in 0..ID_SETS {
        let mut random = Random::new(seed);
        let size = random.between(1, 16);
        let replication_factor = random.between(1, size.min(3));
        let mut nodes = random.nodes(size, 0);
        let before = placed(nodes.clone(), u16::try_from(replication_factor).unwrap(), SHARDS);
        nodes.insert(random.below(size + 1), node("the newcomer", 0));
        let after = before.with_nodes(nodes).unwrap();
        check_bound(&after, SHARDS);
        let moved = moved(&copies(&before, SHARDS), &copies(&after, SHARDS));
        movement.beyond +=
            u32::try_from(moved.iter().filter(|copy| copy.2 != "the newcomer").count()).unwrap();
        movement.add(moved.len(), f64::from(SHARDS) * replication_factor as f64 / (size + 1) as f64);
    }
    movement.report("join");
    assert_eq!(movement.beyond, 0, "only the newcomer receives copies");
}

#[test]
fn a_leave_moves_the_leavers_copies_only() {
    let mut movement = Movement::default();
    for seed in 0..ID_SETS {
        let mut random = Random::new(seed);
        let size = random.between(2, 17);
        let replication_factor = random.between(1, (size - 1).min(3));
        let mut nodes = random.nodes(size, 0);
        let before = placed(nodes.clone(), u16::try_from(replication_factor).unwrap(), SHARDS);
        let leaver = random.below(size);
        let least = held(before.placement(SHARDS).unwrap(), leaver);
        nodes.remove(leaver);
        random.shuffle(&mut nodes);
        let after = before.with_nodes(nodes).unwrap();
        check_bound(&after, SHARDS);
        let moved = moved(&copies(&before, SHARDS), &copies(&after, SHARDS)).len();
        movement.beyond += u32::try_from(moved).unwrap().saturating_sub(least);
        if least > 0 {
            movement.add(moved, f64::from(least));
        } else {
            assert_eq!(moved, 0);
        }
    }
    movement.report("leave");
}

#[test]
fn a_long_life_of_changes_keeps_every_promise() {
    let (mut joins, mut leaves, mut swaps) = (Movement::default(), Movement::default(), Movement::default());
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let replication_factor = u16::try_from(random.between(1, 3)).unwrap();
        let mut topology = placed(random.nodes(6, 0), replication_factor, SHARDS);
        for change in 0..30 {
            let mut nodes = topology.nodes.clone();
            let choice = random.below(3);
            let join = choice == 0 && nodes.len() < 14 || nodes.len() <= 4;
            let all = f64::from(SHARDS) * f64::from(replication_factor);
            let mut least = all / (nodes.len() + 1) as f64;
            let movement = if join {
                &mut joins
            } else if choice == 1 {
                &mut leaves
            } else {
                &mut swaps
            };
            if !join {
                let leaver = random.below(nodes.len());
                least = f64::from(held(topology.placement(SHARDS).unwrap(), leaver));
                nodes.remove(leaver);
            }
            if join || choice != 1 {
                nodes.push(node(&format!("newcomer {change}"), 0));
            }
            if !join && choice != 1 {
                // A replacement has to receive its share or the leaver's copies, whichever is more.
                least = least.max(all / nodes.len() as f64);
            }
            let after = topology.with_nodes(nodes).unwrap();
            check_bound(&after, SHARDS);
            let moved = moved(&copies(&topology, SHARDS), &copies(&after, SHARDS));
            movement.add(moved.len(), least);
            topology = after;
        }
    }
    joins.report("join in a long life");
    leaves.report("leave in a long life");
    swaps.report("replacement in a long life");
}

#[test]
fn joins_and_leaves_of_many_at_once_and_new_capacities() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let replication_factor = u16::try_from(random.between(1, 3)).unwrap();
        let before = placed(random.nodes(10, 0), replication_factor, SHARDS);
        let mut nodes = before.nodes.clone();
        random.shuffle(&mut nodes);
        nodes.truncate(random.between(3, 10));
        nodes.extend((0..random.between(3, 6)).map(|id| node(&format!("newcomer {id}"), 0)));
        if seed % 2 == 0 {
            nodes[0].capacity = 2.0;
            nodes[1].capacity = 0.5;
        }
        let capacity: f64 = nodes.iter().map(|node| node.capacity).sum();
        let after = before.with_nodes(nodes).unwrap();
        copies(&after, SHARDS);
        if 2.0 * f64::from(replication_factor) <= capacity {
            check_bound(&after, SHARDS);
        }
    }
}

#[test]
fn groups_do_not_touch_each_other() {
    for seed in 0..ID_SETS {
        let mut random = Random::new(seed);
        let (zero, one) = (random.between(2, 8), random.between(2, 8));
        let mut nodes = random.nodes(zero, 0);
        nodes.extend(
            random.nodes(one, 1).into_iter().map(|node| Node { id: format!("g1 {}", node.id), ..node }),
        );
        random.shuffle(&mut nodes);
        let before = placed(nodes.clone(), 2, SHARDS);
        let alone: Vec<Node> = nodes.iter().filter(|node| node.group == 1).cloned().collect();
        let of_group = |topology: &Topology, group: u16| -> BTreeSet<Copy> {
            copies(topology, SHARDS).into_iter().filter(|copy| copy.0 == group).collect()
        };
        assert_eq!(of_group(&placed(alone, 2, SHARDS), 1), of_group(&before, 1));
        // Group 0 grows, group 2 appears, and the nodes change positions.
        nodes.push(node("newcomer", 0));
        nodes.extend([node("other 1", 2), node("other 2", 2)]);
        random.shuffle(&mut nodes);
        let grown = before.with_nodes(nodes.clone()).unwrap();
        assert_eq!(of_group(&grown, 1), of_group(&before, 1));
        assert_eq!(
            of_group(&grown, 2),
            of_group(&placed(vec![node("other 1", 2), node("other 2", 2)], 2, SHARDS), 2)
        );
        // All of group 0 leaves.
        nodes.retain(|node| node.group != 0);
        assert_eq!(of_group(&grown.with_nodes(nodes).unwrap(), 1), of_group(&before, 1));
    }
}

#[test]
fn a_node_that_changes_its_group_leaves_one_and_joins_the_other() {
    let mut nodes: Vec<Node> = (0..8).map(|id| node(&format!("n{id}"), id % 2)).collect();
    let before = placed(nodes.clone(), 1, SHARDS);
    nodes[3].group = 0;
    let after = before.with_nodes(nodes).unwrap();
    check_bound(&after, SHARDS);
    let moved = moved(&copies(&before, SHARDS), &copies(&after, SHARDS));
    let (to_mover, others): (Vec<Copy>, Vec<Copy>) = moved.into_iter().partition(|copy| copy.2 == "n3");
    assert_eq!(to_mover.len(), 12, "64 / 5 rounded down");
    assert!(to_mover.iter().all(|copy| copy.0 == 0));
    assert_eq!(others.len(), held(before.placement(SHARDS).unwrap(), 3) as usize);
    assert!(others.iter().all(|copy| copy.0 == 1));
}

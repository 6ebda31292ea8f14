//! What makes a valid topology, what is refused, and that the stored form reads back unchanged.
//!
//! Invariant: the tests check each refusal by the error's full text, which operators read.

use crate::random::{Random, node};
use router::{CAPACITY_MAX, Node, NodeIndex, Topology, TopologyError};

fn check_refused(nodes: Vec<Node>, replication_factor: u16, message: &str) {
    let error = Topology::new(nodes, replication_factor).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn refusals() {
    let two = || vec![node("a", 0), node("b", 0)];
    check_refused(vec![], 1, "a topology needs at least one node");
    check_refused(two(), 0, "the replication factor must be at least 1");
    check_refused(two(), 3, "group 0 has 2 nodes, fewer than the replication factor 3");
    check_refused(
        vec![node("a", 0), node("b", 0), node("c", 1)],
        2,
        "group 1 has 1 nodes, fewer than the replication factor 2",
    );
    check_refused(vec![node("a", 0), node("a", 1)], 1, "node id `a` is used twice");
    check_refused(vec![node("", 0)], 1, "a node has an empty id");
    check_refused(vec![node("a", 64)], 1, "node `a` is in group 64: group numbers are below 64");
    for capacity in [0.0, -1.0, f64::NAN, f64::INFINITY, CAPACITY_MAX * 2.0] {
        let error = Topology::new(vec![Node { capacity, ..node("a", 0) }], 1).unwrap_err();
        assert!(matches!(error, TopologyError::BadCapacity { .. }), "{error}");
    }
    let many = (0..4097).map(|id| node(&id.to_string(), 0)).collect();
    check_refused(many, 1, "4097 nodes are too many: at most 4096 are allowed");
}

#[test]
fn groups_keep_their_numbers() {
    let topology = Topology::new(vec![node("z", 2), node("b", 0), node("a", 2)], 1).unwrap();
    assert_eq!(topology.groups(), [vec![NodeIndex(1)], vec![], vec![NodeIndex(2), NodeIndex(0)]]);
    assert_eq!(topology.group_numbers().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(topology.index_of("z"), Some(NodeIndex(0)));
    assert_eq!(topology.index_of("y"), None);
    let placement = topology.with_placement_for(8).placement(8).unwrap().clone();
    assert_eq!(placement.owners(0, 3), [NodeIndex(1)]);
    assert_eq!(placement.owners(1, 3), []);
    assert_eq!(placement.owners(7, 3), []);
}

#[test]
fn versions_grow_and_snapshots_stay() {
    let first = Topology::new(vec![node("a", 0)], 1).unwrap();
    let second = first.with_placement_for(64);
    let third = second.with_placement_for(64);
    let fourth = third.with_nodes(vec![node("a", 0), node("b", 0)]).unwrap();
    let versions = [&first, &second, &third, &fourth].map(|topology| topology.version);
    assert_eq!(versions, [1, 2, 3, 4]);
    assert!(first.placement(64).is_none());
    assert_eq!(second.placement(64), third.placement(64));
    assert_eq!(third.placement(64).unwrap().shards_of(NodeIndex(0)).len(), 64);
    assert_eq!(fourth.placement(64).unwrap().shards_of(NodeIndex(1)).len(), 32);
    assert!(fourth.with_nodes(vec![]).is_err());
}

#[test]
fn stored_form_comes_back() {
    let mut random = Random::new(3);
    for _ in 0..50 {
        let mut nodes = random.nodes(5, 0);
        nodes.extend(random.nodes(4, 3).into_iter().map(|node| Node { id: format!("x{}", node.id), ..node }));
        random.shuffle(&mut nodes);
        let topology = Topology::new(nodes, 2).unwrap().with_placement_for(64).with_placement_for(12);
        let json = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&json).unwrap(), topology);
    }
}

#[test]
fn damaged_stored_forms_are_refused() {
    let nodes = vec![node("a", 0), node("b", 0), node("c", 1), node("d", 1)];
    let topology = Topology::new(nodes, 2).unwrap().with_placement_for(1);
    let good = serde_json::to_value(&topology).unwrap();
    let damages: [(&str, serde_json::Value, &str); 6] = [
        ("/placements/0/owners/0/1", 2.into(), "an owner is outside its group"),
        ("/placements/0/owners/0/1", 9.into(), "an owner is outside its group"),
        ("/placements/0/owners/1", serde_json::json!([3, 3]), "a shard has the same owner twice"),
        ("/placements/0/owners/1", serde_json::json!([3]), "a group has another number of owners"),
        ("/placements/0/shards", 65_537.into(), "its shard count is out of range"),
        ("/placements/0/owners", serde_json::json!([]), "it has another number of groups"),
    ];
    for (pointer, value, reason) in damages {
        let mut damaged = good.clone();
        *damaged.pointer_mut(pointer).unwrap() = value;
        let error = serde_json::from_value::<Topology>(damaged).unwrap_err().to_string();
        assert!(error.contains(reason), "{pointer}: {error}");
    }
    let mut twice = good.clone();
    twice["placements"] = serde_json::json!([good["placements"][0], good["placements"][0]]);
    let error = serde_json::from_value::<Topology>(twice).unwrap_err().to_string();
    assert!(error.contains("it is stored twice"), "{error}");
}

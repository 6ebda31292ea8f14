//! Attacks `router`: reserved values read from documents, and topologies read from the store.
//!
//! - A decoded value is exactly one that could have been encoded.
//! - An accepted topology covers every shard, now and after its nodes change.

use arbitrary::{Result, Unstructured};
use router::reserved::{
    PREFIX, encode_timestamp, is_reserved, parse_shard_marker, parse_timestamp, shard_marker,
};
use router::{Node, SHARDS_MAX, ShardSet, Topology, covering_set, shard_filter, shard_of};

use crate::mutate::mutate;

/// The most shards with which an accepted topology is planned: more would only take longer.
const SHARDS_PLANNED_MAX: u32 = 1_024;

pub(crate) fn run_reserved(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack_reserved(Unstructured::new(bytes));
}

pub(crate) fn run_topology(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack_topology(Unstructured::new(bytes));
}

fn attack_reserved(mut choices: Unstructured<'_>) -> Result<()> {
    let (one, other) = (choices.arbitrary::<u64>()?, choices.arbitrary::<u64>()?);
    let shard = choices.int_in_range(0..=SHARDS_MAX - 1)?;
    let mut marker = shard_marker(shard).to_vec();
    let mut timestamp = encode_timestamp(one).to_vec();
    assert_eq!(parse_shard_marker(&marker), Some(shard), "a shard is not read back");
    assert_eq!(parse_timestamp(&timestamp), Some(one), "a timestamp is not read back");
    let in_order = encode_timestamp(one).cmp(&encode_timestamp(other));
    assert_eq!(in_order, one.cmp(&other), "encoding changes the order of {one} and {other}");
    mutate(&mut choices, &mut marker)?;
    mutate(&mut choices, &mut timestamp)?;
    let shards = choices.int_in_range(1..=SHARDS_MAX)?;
    let rest = choices.take_rest();
    for bytes in [&*marker, &*timestamp, rest] {
        if let Some(shard) = parse_shard_marker(bytes) {
            assert!(shard < SHARDS_MAX, "{shard} is no shard");
            assert_eq!(shard_marker(shard), bytes, "a marker that is never written is read");
        }
        if let Some(number) = parse_timestamp(bytes) {
            assert_eq!(encode_timestamp(number), bytes, "a timestamp that is never written is read");
        }
    }
    let text = String::from_utf8_lossy(rest);
    assert_eq!(is_reserved(&text), rest.starts_with(PREFIX.as_bytes()), "{text}");
    assert!(shard_of(&text, shards) < shards, "a document falls outside the shards");
    if let Ok(set) = serde_json::from_str::<ShardSet>(&text) {
        check_set(&set);
    }
    check_set(
        &rest
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |shard, byte| shard << 8 | u32::from(*byte)))
            .collect(),
    );
    Ok(())
}

fn check_set(set: &ShardSet) {
    let text = serde_json::to_string(set).expect("a set of numbers has a JSON form");
    assert_eq!(serde_json::from_str::<ShardSet>(&text).ok().as_ref(), Some(set), "a set is not read back");
    let markers = shard_filter(set).matches('"').count() / 2;
    assert_eq!(markers, set.len() as usize, "the filter names another number of shards");
    assert_eq!(set.difference(set), ShardSet::new());
    assert_eq!(set.union(set), *set);
}

fn attack_topology(mut choices: Unstructured<'_>) -> Result<()> {
    if choices.arbitrary()? {
        if let Ok(topology) = serde_json::from_slice::<Topology>(choices.take_rest()) {
            check_topology(&topology);
        }
        return Ok(());
    }
    let Some(topology) = sound_topology(&mut choices)? else { return Ok(()) };
    let mut text = serde_json::to_vec(&topology).expect("a topology has a JSON form");
    let sound = mutate(&mut choices, &mut text)? == 0;
    let read = serde_json::from_slice::<Topology>(&text);
    if sound {
        let read = read.as_ref().unwrap_or_else(|error| panic!("a sound topology is refused: {error}"));
        assert_eq!(*read, topology, "a topology is not read back");
    }
    if let Ok(read) = &read {
        check_topology(read);
    }
    Ok(())
}

/// A topology with placements, or `None` if the chosen nodes are too few for the replication factor.
fn sound_topology(choices: &mut Unstructured<'_>) -> Result<Option<Topology>> {
    let mut nodes = Vec::new();
    for number in 0..choices.int_in_range(1..=6)? {
        let capacity = match choices.int_in_range(0..=3)? {
            0 => f64::from(choices.int_in_range(1..=4_000_u32)?) / 8.0,
            1 => f64::from(choices.int_in_range(1..=8_u8)?),
            _ => 1.0,
        };
        let group = choices.int_in_range(0..=2)?;
        nodes.push(Node { id: format!("n{number}"), url: "http://h".to_owned(), group, capacity });
    }
    let Ok(mut topology) = Topology::new(nodes, choices.int_in_range(1..=3)?) else { return Ok(None) };
    for _ in 0..choices.int_in_range(0..=2)? {
        topology = topology.with_placement_for(choices.int_in_range(1..=20)?);
    }
    Ok(Some(topology))
}

fn check_topology(topology: &Topology) {
    let text = serde_json::to_string(topology).expect("a topology has a JSON form");
    match serde_json::from_str::<Topology>(&text) {
        Ok(read) => {
            assert_eq!(rounded(read), rounded(topology.clone()), "an accepted topology is not read back")
        }
        Err(error) => panic!("an accepted topology is refused when read back: {error}"),
    }
    check_covered(topology);
    // The last version has no next one.
    if topology.version == u64::MAX
        || topology.placements().iter().any(|one| one.shards() > SHARDS_PLANNED_MAX)
    {
        return;
    }
    check_covered(&topology.with_placement_for(5));
    let mut fewer = topology.nodes.clone();
    fewer.pop();
    let mut more = topology.nodes.clone();
    more.push(Node { id: "newcomer".to_owned(), url: String::new(), group: more[0].group, capacity: 0.5 });
    for nodes in [fewer, more] {
        if let Ok(next) = topology.with_nodes(nodes) {
            check_covered(&next);
        }
    }
}

/// The topology with whole capacities: the JSON reader may miss the last bit of a long fraction.
fn rounded(mut topology: Topology) -> Topology {
    topology.nodes.iter_mut().for_each(|node| node.capacity = node.capacity.round());
    topology
}

/// Every shard is in exactly one leg of each group's covering set.
fn check_covered(topology: &Topology) {
    let small = |shards: u32| shards <= SHARDS_PLANNED_MAX;
    for placement in topology.placements().iter().filter(|placement| small(placement.shards())) {
        for group in topology.group_numbers() {
            let set = covering_set(placement, topology, group, None, |node| Some(f32::from(node.0)));
            assert!(set.uncovered.is_empty(), "a shard has no owner");
            let legs = set.legs.iter().map(|leg| leg.shards.len()).sum::<u32>();
            assert_eq!(legs, placement.shards(), "the legs do not hold each shard once");
            let union = set.legs.iter().fold(ShardSet::new(), |union, leg| union.union(&leg.shards));
            assert_eq!(union, ShardSet::all(placement.shards()), "the legs do not hold every shard");
        }
    }
}

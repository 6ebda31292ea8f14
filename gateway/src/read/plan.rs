//! Plans a read: chooses the group, its nodes, and the shards that each node answers for.
//!
//! Invariants: a plan follows from one snapshot and the health known at that moment. Its legs answer for every wanted
//! shard at most once. A node that is down is never asked. A joining node, which may lack writes, is asked only for
//! shards that no other node can answer for. Where nodes are equally good, equal turns choose the same nodes.

use router::{CoveringSet, Leg, NodeIndex, ShardSet, Topology, covering_set};

use crate::{
    nodes::health::NodeState,
    read::race::Placed,
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
        tenants::shared_groups,
    },
    wire::runtime,
};

/// Scores between two levels of slowness; the turn breaks ties within a level.
const SCORES_PER_LEVEL: u16 = 16;

/// Gives a covering set over the shards in `wanted` (all when `None`), without the nodes in `avoided`.
///
/// Preferred nodes are enough where they cover everything, else every node that serves reads is considered. Groups are
/// tried in turn, a session's or a tenant's group first. The first that covers everything wins, else the one that covers
/// most.
pub(crate) fn cover(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    avoided: &[NodeIndex],
    turn: usize,
) -> CoveringSet {
    let selection = core.load_stats.begin_plan(runtime::now());
    let tie = |node: NodeIndex| turn.wrapping_add(usize::from(node.0)) % usize::from(SCORES_PER_LEVEL);
    // The score only decides between sets of equal size.
    let score = |node: NodeIndex| {
        let tie = u16::try_from(tie(node)).unwrap_or_default();
        f32::from(u16::from(selection.level(node)) * SCORES_PER_LEVEL + tie)
    };
    let liked = best_group(core, snapshot, index, wanted, turn, |node| {
        let trusted = !matches!(core.shared.nodes.health.state(node), NodeState::Suspect);
        (serves(core, node, avoided) && trusted && selection.prefers(node)).then(|| score(node))
    });
    if liked.uncovered.is_empty() {
        return liked;
    }
    let serving = best_group(core, snapshot, index, wanted, turn, |node| {
        serves(core, node, avoided).then(|| score(node))
    });
    if serving.uncovered.len() < liked.uncovered.len() { serving } else { liked }
}

/// Places the shards in `wanted` (all when `None`) of an index, or of all targets of an alias, on nodes.
///
/// Another group may hold what one group lacks; shards that no group covers are left over. Shards of several targets
/// are numbered consecutively.
pub(crate) fn place(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    avoided: &[NodeIndex],
    turn: usize,
) -> Placed {
    if index.targets.is_empty() {
        return place_part(core, snapshot, index, wanted, avoided, turn);
    }
    let mut all = Placed::default();
    for part in 0..index.parts() {
        let (target, first) = (index.part(part), index.first_shard(part));
        let own = wanted.map(|wanted| numbered_from_zero(wanted, first, target.record.shards));
        if own.as_ref().is_some_and(ShardSet::is_empty) {
            continue;
        }
        let placed = place_part(core, snapshot, target, own.as_ref(), avoided, turn);
        all.legs.extend(
            placed.legs.into_iter().map(|leg| Leg { shards: numbered_from(&leg.shards, first), ..leg }),
        );
        all.uncovered = all.uncovered.union(&numbered_from(&placed.uncovered, first));
    }
    all
}

fn place_part(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    avoided: &[NodeIndex],
    turn: usize,
) -> Placed {
    let first = cover(core, snapshot, index, wanted, avoided, turn);
    let mut placed = Placed { legs: first.legs, uncovered: first.uncovered };
    while !placed.uncovered.is_empty() {
        let more = cover(core, snapshot, index, Some(&placed.uncovered), avoided, turn);
        if more.legs.is_empty() {
            break;
        }
        placed.legs.extend(more.legs);
        placed.uncovered = more.uncovered;
    }
    placed
}

/// Numbers the shards of one part among those of all parts.
fn numbered_from(shards: &ShardSet, first: u32) -> ShardSet {
    shards.iter().map(|shard| first + shard).collect()
}

/// The shards that belong to a part, numbered as in that part.
pub(crate) fn numbered_from_zero(shards: &ShardSet, first: u32, count: u32) -> ShardSet {
    shards.iter().filter(|shard| (first..first + count).contains(shard)).map(|shard| shard - first).collect()
}

/// The group that a plan tries first, and the reason.
pub(crate) fn first_group(core: &Core, topology: &Topology, turn: usize) -> (usize, GroupReason) {
    let groups = topology.groups().len();
    let preference = core.read_preference.get();
    let dedicated = &core.shared.config.tenants.dedicated_groups;
    match (preference.session.map(|group| group % groups), preference.tenant) {
        (Some(group), _) if preference.admits(dedicated, group) => (group, GroupReason::Session),
        (_, Some(tenant)) => (tenant.group % groups, GroupReason::Tenant),
        (_, None) if dedicated.is_empty() => (turn % groups, GroupReason::Turn),
        (_, None) => {
            let shared = shared_groups(topology, dedicated);
            (shared.get(turn % shared.len().max(1)).copied().unwrap_or_default(), GroupReason::Turn)
        }
    }
}

/// Counts a plan that does not read the group of its tenant, because that one does not cover what is wanted.
pub(crate) fn count_tenant_failover(core: &Core, snapshot: &Snapshot, legs: &[Leg]) {
    let preference = core.read_preference.get();
    let Some(tenant) = preference.tenant.filter(|_| preference.session.is_none()) else { return };
    if legs.iter().any(|leg| usize::from(snapshot.topology.node(leg.node).group) != tenant.group) {
        core.metrics.tenant_failovers.increment(1);
    }
}

/// Why a plan reads a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupReason {
    /// The group took the session's write.
    Session,
    /// The group is the tenant's.
    Tenant,
    /// Groups take turns.
    Turn,
    /// The group whose turn it is does not cover all wanted shards.
    Failover,
}

impl GroupReason {
    /// The name in an explanation.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Tenant => "tenant",
            Self::Turn => "turn",
            Self::Failover => "failover",
        }
    }
}

/// Covers as many of the shards in `wanted` as known joining nodes can answer for; their answers may be old.
pub(crate) fn fall_back_to_joining(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: &ShardSet,
    avoided: &[NodeIndex],
) -> Placed {
    let mut all = Placed::default();
    for part in 0..index.parts() {
        let (target, first) = (index.part(part), index.first_shard(part));
        let own = numbered_from_zero(wanted, first, target.record.shards);
        let set = joining_of_part(core, snapshot, target, &own, avoided);
        all.legs
            .extend(set.legs.into_iter().map(|leg| Leg { shards: numbered_from(&leg.shards, first), ..leg }));
        all.uncovered = all.uncovered.union(&numbered_from(&set.uncovered, first));
    }
    all
}

fn joining_of_part(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: &ShardSet,
    avoided: &[NodeIndex],
) -> CoveringSet {
    best_group(core, snapshot, index, Some(wanted), 0, |node| {
        (stands_in(core, node) && !avoided.contains(&node)).then_some(0.0)
    })
}

/// Whether a joining node may answer where no node that serves reads can.
pub(crate) fn stands_in(core: &Core, node: NodeIndex) -> bool {
    core.shared.nodes.health.state(node) == NodeState::Joining && core.shared.nodes.hints.may_stand_in(node)
}

/// Orders the nodes that serve reads for a request that each of them can answer: preferred nodes first, those of a
/// session's or a tenant's group before others, equals in turn.
pub(crate) fn in_order(core: &Core, mut nodes: Vec<NodeIndex>) -> Vec<NodeIndex> {
    let (snapshot, preference) = (core.shared.snapshot(), core.read_preference.get());
    let dedicated = &core.shared.config.tenants.dedicated_groups;
    let group = |node: NodeIndex| usize::from(snapshot.topology.node(node).group);
    nodes.retain(|node| serves(core, *node, &[]) && preference.admits(dedicated, group(*node)));
    let pinned = preference.session.filter(|group| preference.admits(dedicated, *group));
    let first = pinned.or(preference.tenant.map(|tenant| tenant.group));
    let turn = core.turn() % nodes.len().max(1);
    nodes.rotate_left(turn);
    let selection = core.load_stats.begin_plan(runtime::now());
    let suspect = |node: NodeIndex| core.shared.nodes.health.state(node) == NodeState::Suspect;
    let elsewhere = |node: NodeIndex| first.is_some_and(|first| group(node) != first);
    nodes.sort_by_key(|node| {
        let disliked = suspect(*node) || !selection.prefers(*node);
        (disliked, elsewhere(*node), selection.level(*node))
    });
    nodes
}

/// Whether a node serves reads and is not ejected.
pub(crate) fn serves_well(core: &Core, node: NodeIndex) -> bool {
    serves(core, node, &[]) && !core.load_stats.is_ejected(node, runtime::now())
}

fn serves(core: &Core, node: NodeIndex, avoided: &[NodeIndex]) -> bool {
    !avoided.contains(&node) && core.shared.nodes.health.state(node).serves_reads()
}

fn best_group(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    turn: usize,
    score: impl Fn(NodeIndex) -> Option<f32>,
) -> CoveringSet {
    let topology = &snapshot.topology;
    let groups = topology.groups().len();
    let (first, _) = first_group(core, topology, turn);
    let (preference, dedicated) = (core.read_preference.get(), &core.shared.config.tenants.dedicated_groups);
    let mut best: Option<CoveringSet> = None;
    for step in 0..groups {
        let group = (first + step) % groups;
        if !preference.admits(dedicated, group) {
            continue;
        }
        let set = covering_set(&index.placement, topology, group, wanted, &score);
        if set.uncovered.is_empty() {
            return set;
        }
        if best.as_ref().is_none_or(|known| set.uncovered.len() < known.uncovered.len()) {
            best = Some(set);
        }
    }
    // With no group that may be read, no group covers anything.
    best.unwrap_or_else(|| covering_set(&index.placement, topology, groups, wanted, &score))
}

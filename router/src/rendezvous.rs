//! The assignment of one group's shards to its nodes: rendezvous scores under a load bound, with the least movement
//! from an existing assignment.
//!
//! Invariants: members come sorted by id and are referred to by position. The result depends only on ids, capacities
//! and the copies kept. Scores use the platform's logarithm, whose last bit may differ between platforms; therefore
//! placements are stored and not recomputed. The bounds always leave room for every copy, so by the augmenting path
//! theorem each copy finds a place, if need be by shifting others.

use crate::shard::ShardSet;
use std::cmp::Ordering;
use std::collections::VecDeque;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How many times its fair share a node may hold, where whole numbers allow it.
const LOAD_FACTOR: f64 = 1.25;
/// Absorbs rounding in products that are whole numbers in exact arithmetic.
const ROUNDING: f64 = 1e-9;

pub(crate) struct Member<'a> {
    pub(crate) id: &'a str,
    pub(crate) capacity: f64,
    /// Whether it was not in this group before and so draws its fair share from the others.
    pub(crate) newcomer: bool,
}

/// The owners of every shard, best first. `kept` has, per shard, the members that own it already.
pub(crate) fn assign(
    members: &[Member<'_>],
    replication_factor: usize,
    kept: Vec<Vec<usize>>,
) -> Vec<Vec<usize>> {
    let mut assignment = Assignment::new(members, replication_factor, kept);
    assignment.fill_vacancies();
    let newcomers: Vec<usize> = (0..members.len()).filter(|&member| members[member].newcomer).collect();
    for &newcomer in &newcomers {
        assignment.draw(newcomer, assignment.target(newcomer), Assignment::excess);
    }
    for &newcomer in &newcomers {
        assignment.draw(newcomer, assignment.target(newcomer), Assignment::surplus);
    }
    for &newcomer in &newcomers {
        assignment.draw(newcomer, assignment.bounds[newcomer], Assignment::excess);
    }
    assignment.relieve();
    assignment.into_ranked()
}

/// For each member, the member and the shard through which a chain reached it.
type ReachedBy = Vec<Option<(usize, u32)>>;

struct Assignment<'a> {
    members: &'a [Member<'a>],
    seeds: Vec<u64>,
    replication_factor: usize,
    shares: Vec<f64>,
    bounds: Vec<u32>,
    owners: Vec<Vec<usize>>,
    held: Vec<ShardSet>,
    loads: Vec<u32>,
}

impl<'a> Assignment<'a> {
    fn new(members: &'a [Member<'a>], replication_factor: usize, kept: Vec<Vec<usize>>) -> Assignment<'a> {
        let shards = u32::try_from(kept.len()).expect("an index has at most SHARDS_MAX shards");
        let shares = fair_shares(members, f64::from(shards), replication_factor);
        let bounds = load_bounds(&shares, shards, replication_factor);
        let mut held = vec![ShardSet::new(); members.len()];
        for (shard, owners) in (0..shards).zip(&kept) {
            for &owner in owners {
                held[owner].insert(shard);
            }
        }
        let loads = held.iter().map(ShardSet::len).collect();
        let seeds = members.iter().map(|member| xxh3_64(member.id.as_bytes())).collect();
        Assignment { members, seeds, replication_factor, shares, bounds, owners: kept, held, loads }
    }

    /// Gives every shard its missing owners, each the best by score: first a newcomer below its share, else a member
    /// whose load stays level, else any within its bound. Staying level costs no movement and leaves the slack of the
    /// bound to later changes.
    fn fill_vacancies(&mut self) {
        for shard in 0..self.shards() {
            if self.owners[shard as usize].len() == self.replication_factor {
                continue;
            }
            let ranking = self.ranking(shard);
            while self.owners[shard as usize].len() < self.replication_factor {
                let free: Vec<usize> =
                    ranking.iter().copied().filter(|&member| self.can_take(member, shard)).collect();
                let due = free.iter().find(|&&member| self.is_due(member));
                let level = || free.iter().find(|&&member| self.stays_level(member));
                let member = due.or_else(level).or(free.first()).copied().or_else(|| {
                    let full = ranking.iter().copied().filter(|&member| !self.held[member].contains(shard));
                    self.free_a_place(full.collect())
                });
                let member = member.expect("the bounds leave room for every copy");
                self.add(shard, member);
            }
        }
    }

    /// Moves shards to a newcomer, best score first, until it holds `limit`. `pressure` is how much an owner needs to
    /// lose a copy. Only owners with a pressure above zero give one, of a shard's owners the one with the highest.
    fn draw(&mut self, newcomer: usize, limit: u32, pressure: fn(&Self, usize) -> f64) {
        if self.loads[newcomer] >= limit
            || (0..self.members.len()).all(|member| pressure(self, member) <= 0.0)
        {
            return;
        }
        let mut candidates: Vec<(f64, u32)> = (0..self.shards())
            .filter(|&shard| !self.held[newcomer].contains(shard))
            .map(|shard| (self.score(newcomer, shard), shard))
            .collect();
        candidates.sort_unstable_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(&two.1)));
        for (_, shard) in candidates {
            if self.loads[newcomer] >= limit {
                break;
            }
            let donor = self.owners[shard as usize]
                .iter()
                .copied()
                .filter(|&owner| owner != newcomer && pressure(self, owner) > 0.0)
                .max_by(|&one, &two| {
                    let pressures = pressure(self, one).total_cmp(&pressure(self, two));
                    pressures.then_with(|| self.compare(one, two, shard))
                });
            if let Some(donor) = donor {
                self.shift(shard, donor, newcomer);
            }
        }
    }

    /// Moves copies off members above their bound. Only changed capacities and whole-number rounding leave such
    /// members.
    fn relieve(&mut self) {
        for member in 0..self.members.len() {
            while self.loads[member] > self.bounds[member] {
                self.free_a_place(vec![member]).expect("the bounds leave room for every copy");
            }
        }
    }

    /// Shifts copies along the shortest chain that starts at one of `starts` and ends at a member with room. Returns
    /// the start that now holds one copy less.
    fn free_a_place(&mut self, starts: Vec<usize>) -> Option<usize> {
        let (end, reached_by) = self.shortest_chain(starts)?;
        let mut at = end;
        while let Some((from, shard)) = reached_by[at] {
            self.shift(shard, from, at);
            at = from;
        }
        Some(at)
    }

    /// The member with room at the chain's end, and how the chain reached each member.
    fn shortest_chain(&self, starts: Vec<usize>) -> Option<(usize, ReachedBy)> {
        let mut seen = vec![false; self.members.len()];
        let mut reached_by = vec![None; self.members.len()];
        for &start in &starts {
            seen[start] = true;
        }
        let mut queue = VecDeque::from(starts);
        while let Some(from) = queue.pop_front() {
            for shard in self.held[from].iter() {
                for next in 0..self.members.len() {
                    if seen[next] || self.held[next].contains(shard) {
                        continue;
                    }
                    seen[next] = true;
                    reached_by[next] = Some((from, shard));
                    if self.loads[next] < self.bounds[next] {
                        return Some((next, reached_by));
                    }
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn shift(&mut self, shard: u32, from: usize, to: usize) {
        self.owners[shard as usize].retain(|&owner| owner != from);
        self.held[from].remove(shard);
        self.loads[from] -= 1;
        self.add(shard, to);
    }

    fn add(&mut self, shard: u32, member: usize) {
        self.owners[shard as usize].push(member);
        self.held[member].insert(shard);
        self.loads[member] += 1;
    }

    fn into_ranked(mut self) -> Vec<Vec<usize>> {
        let mut ranked = std::mem::take(&mut self.owners);
        for (shard, owners) in (0_u32..).zip(&mut ranked) {
            owners.sort_unstable_by(|&one, &two| self.compare(one, two, shard));
        }
        ranked
    }

    fn shards(&self) -> u32 {
        u32::try_from(self.owners.len()).expect("an index has at most SHARDS_MAX shards")
    }

    fn can_take(&self, member: usize, shard: u32) -> bool {
        self.loads[member] < self.bounds[member] && !self.held[member].contains(shard)
    }

    fn is_due(&self, member: usize) -> bool {
        self.members[member].newcomer && self.loads[member] < self.target(member)
    }

    /// The copies that a newcomer draws: its fair share, rounded down.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a share is at most SHARDS_MAX; the fraction is dropped"
    )]
    fn target(&self, member: usize) -> u32 {
        (self.shares[member] + ROUNDING) as u32
    }

    /// Whether one more copy keeps the member at or below its fair share, rounded up.
    fn stays_level(&self, member: usize) -> bool {
        f64::from(self.loads[member]) + ROUNDING < self.shares[member]
    }

    fn excess(&self, member: usize) -> f64 {
        f64::from(self.loads[member]) - f64::from(self.bounds[member])
    }

    fn surplus(&self, member: usize) -> f64 {
        f64::from(self.loads[member]) - self.shares[member] - ROUNDING
    }

    fn ranking(&self, shard: u32) -> Vec<usize> {
        let mut scored: Vec<(f64, usize)> =
            (0..self.members.len()).map(|member| (self.score(member, shard), member)).collect();
        scored.sort_unstable_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(&two.1)));
        scored.into_iter().map(|(_, member)| member).collect()
    }

    /// Orders the better score first.
    fn compare(&self, one: usize, two: usize, shard: u32) -> Ordering {
        self.score(two, shard).total_cmp(&self.score(one, shard)).then(one.cmp(&two))
    }

    /// The weighted rendezvous score: with `u` uniform in (0, 1), `capacity / -ln u` is highest for a member with a
    /// probability in proportion to its capacity.
    fn score(&self, member: usize, shard: u32) -> f64 {
        const BITS: u32 = f64::MANTISSA_DIGITS;
        let hash = xxh3_64_with_seed(&shard.to_le_bytes(), self.seeds[member]);
        let uniform = ((hash >> (u64::BITS - BITS)) as f64 + 0.5) / (1_u64 << BITS) as f64;
        self.members[member].capacity / -uniform.ln()
    }
}

/// Each member's share of all copies by capacity, at most one copy of every shard.
fn fair_shares(members: &[Member<'_>], shards: f64, replication_factor: usize) -> Vec<f64> {
    let mut full = vec![false; members.len()];
    loop {
        let full_count = full.iter().filter(|&&full| full).count();
        let copies = shards * (replication_factor - full_count) as f64;
        let capacity: f64 =
            members.iter().zip(&full).filter(|(_, full)| !**full).map(|(member, _)| member.capacity).sum();
        let share = |member: &Member<'_>, full: bool| {
            if full { shards } else { copies * member.capacity / capacity }
        };
        let shares: Vec<f64> = members.iter().zip(&full).map(|(member, &full)| share(member, full)).collect();
        if shares.iter().all(|&share| share <= shards + ROUNDING) {
            return shares;
        }
        for (full, share) in full.iter_mut().zip(&shares) {
            *full = *full || *share > shards + ROUNDING;
        }
    }
}

/// The most copies that each member may hold: [`LOAD_FACTOR`] times its share, or the least higher factor with room for
/// all copies in whole numbers.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a share is at most SHARDS_MAX, and the fraction is dropped"
)]
fn load_bounds(shares: &[f64], shards: u32, replication_factor: usize) -> Vec<u32> {
    let copies = u64::from(shards) * replication_factor as u64;
    let mut bounds: Vec<u32> =
        shares.iter().map(|share| ((LOAD_FACTOR * share + ROUNDING) as u32).min(shards)).collect();
    while bounds.iter().map(|&bound| u64::from(bound)).sum::<u64>() < copies {
        let factor = |(bound, share): (&u32, &f64)| {
            if *bound < shards { f64::from(bound + 1) / share } else { f64::INFINITY }
        };
        let least = bounds.iter().zip(shares).map(factor).fold(f64::INFINITY, f64::min);
        for (bound, share) in bounds.iter_mut().zip(shares) {
            // Equal members rise together, although rounding may make their factors differ.
            if factor((&*bound, share)) <= least * (1.0 + ROUNDING) {
                *bound += 1;
            }
        }
    }
    bounds
}

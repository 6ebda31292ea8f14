//! Policies over hundreds of simulated days, with a crash before or after any act.
//!
//! Invariants checked after every act: the write alias stands for an index that is there and is among those that are
//! read; all that the alias for reading stands for is there; no index is deleted within the lock.

use std::collections::BTreeMap;

use serde_json::json;
use store::{IndexRecord, TaskStatus};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::*;
use crate::api::rollover::policy::owner_of;

const BEGIN: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// The cluster as policies see it, without IO.
struct World {
    now: OffsetDateTime,
    indexes: BTreeMap<String, IndexRecord>,
    aliases: BTreeMap<String, Alias>,
    policy: Policy,
    size: Size,
    tasks: Vec<TaskStatus>,
    deleted: Vec<String>,
    rejects_settings: bool,
    random: u64,
}

/// What became of an act.
enum Performed {
    Done,
    Crashed,
    Waited,
}

fn record(uid: &str, created_at: OffsetDateTime, primary_key: Option<String>) -> IndexRecord {
    let record = json!({
        "uid": uid, "node_uid": format!("{uid}-1"), "primary_key": primary_key, "shards": 4,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "settings": {}, "settings_version": 1, "revision": 1,
    });
    IndexRecord { created_at, ..serde_json::from_value(record).unwrap() }
}

fn policy(triggers: Value, keep: usize) -> Policy {
    let body = json!({
        "name": "logs", "writeAlias": "logs-write", "readAlias": "logs-read", "pattern": "logs-{YYYY-MM-DD}",
        "triggers": triggers, "retention": {"keepIndexes": keep},
        "template": {"primaryKey": "id", "settings": {"sortableAttributes": ["at"]}},
    });
    Policy::parse(body, BEGIN).unwrap()
}

impl World {
    fn new(policy: Policy, seed: u64) -> Self {
        let mut world = Self {
            now: BEGIN,
            indexes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            policy,
            size: Size::default(),
            tasks: Vec::new(),
            deleted: Vec::new(),
            rejects_settings: false,
            random: seed,
        };
        let begun = world.with_seen(None, |seen| begin(&world.policy, seen)).unwrap();
        world.policy = begun;
        world
    }

    fn with_seen<T>(&self, size: Option<Size>, look: impl FnOnce(&Seen<'_>) -> T) -> T {
        let uid = if let Phase::Configuring { task, .. } = &self.policy.phase { *task } else { None };
        let task = uid.and_then(|uid| self.tasks.get(uid as usize).copied());
        look(&Seen {
            now: self.now,
            indexes: &self.indexes,
            is_name_used: &|name| self.indexes.contains_key(name),
            write_alias: self.aliases.get("logs-write").cloned(),
            read_alias: self.aliases.get("logs-read").cloned(),
            task,
            size,
            unreadable: &|names| {
                (!names.iter().all(|name| self.indexes.contains_key(name))).then(|| "missing".to_owned())
            },
            search_max: Duration::minutes(1),
        })
    }

    fn chance(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    /// Performs an act; a crash may come before it, or between its effect and what is stored of it.
    fn perform(&mut self, act: Act, crashes: bool) -> Performed {
        let crash = if crashes { self.chance() % 5 } else { 9 };
        if crash == 0 {
            return Performed::Crashed;
        }
        match act {
            Act::Wait => return Performed::Waited,
            Act::Store(policy) => self.policy = *policy,
            Act::Create { index, primary_key } => {
                self.indexes.entry(index.clone()).or_insert(record(&index, self.now, primary_key));
            }
            Act::Configure { index, settings } => {
                let fails = self.rejects_settings;
                self.tasks.push(if fails { TaskStatus::Failed } else { TaskStatus::Succeeded });
                if !fails {
                    self.indexes.get_mut(&index).unwrap().settings = Value::Object(settings);
                }
                let task = u32::try_from(self.tasks.len() - 1).ok();
                if crash != 1 {
                    self.policy.phase = Phase::Configuring { index, task };
                }
            }
            Act::Flip { policy, aliases } => {
                self.policy = *policy;
                self.aliases.extend(aliases.into_iter().map(|alias| (alias.name.clone(), alias)));
            }
            Act::Delete { index } => {
                let record = self.indexes.remove(&index).unwrap();
                let is_abandoned = matches!(self.policy.phase, Phase::Abandoning { .. });
                assert!(
                    is_abandoned || self.now - record.created_at >= LOCK,
                    "{index} is young at {}",
                    self.now
                );
                self.deleted.push(index);
            }
            Act::Forget => unreachable!("nobody deletes the policy"),
        }
        self.check();
        Performed::Done
    }

    fn check(&self) {
        let Some(write) = self.aliases.get("logs-write") else { return };
        let read = &self.aliases["logs-read"].targets;
        assert!(self.indexes.contains_key(&write.targets[0]), "a gap in the write alias at {}", self.now);
        assert!(read.contains(&write.targets[0]), "what is written is not read at {}", self.now);
        assert!(
            read.iter().all(|name| self.indexes.contains_key(name)),
            "a gap in the read alias at {}",
            self.now
        );
        let owners = self.aliases.values().all(|alias| alias.owner == owner_of("logs"));
        assert!(owners && read.len() <= TARGETS_MAX);
    }

    /// Lets a policy work until it waits; `checks` asks it to look at its triggers once.
    fn work(&mut self, mut checks: bool, crashes: bool) {
        for _ in 0..200 {
            let size = checks.then_some(self.size);
            let is_resting = self.policy.phase == Phase::Resting;
            let act = self.with_seen(size, |seen| next(&self.policy, seen));
            match self.perform(act, crashes) {
                Performed::Waited => return,
                Performed::Done if is_resting => checks = false,
                Performed::Done | Performed::Crashed => {}
            }
        }
        panic!("the policy finds no rest: {:?}", self.policy.phase);
    }
}

#[test]
fn four_hundred_days_leave_no_gap_whatever_crashes() {
    for seed in 0..6 {
        let triggers = match seed % 3 {
            0 => json!({"maxAge": "1d"}),
            1 => json!({"maxDocs": 1000}),
            _ => json!({"maxAge": "3d", "maxSizeGb": 0.5}),
        };
        let keep = 1 + usize::try_from(seed % 12).unwrap();
        let mut world = World::new(policy(triggers, keep), seed);
        world.work(false, true);
        let mut day_of_last = 0;
        for hour in (0..400 * 24).step_by(2) {
            world.now = BEGIN + Duration::hours(hour);
            world.size = Size { documents: world.chance() % 1100, bytes: world.chance() % 600_000_000 };
            world.work(true, true);
            if world.policy.last_rollover == Some(world.now) {
                day_of_last = hour / 24;
            }
        }
        assert!(day_of_last >= 390, "seed {seed}: the last rollover was on day {day_of_last}");
        assert!(world.deleted.len() > 20, "seed {seed}: {} were deleted", world.deleted.len());
        // Nothing is left behind but what policies keep and what is locked.
        world.work(false, false);
        let young =
            world.indexes.values().filter(|record| world.now - record.created_at < LOCK + Duration::hours(4));
        assert!(world.indexes.len() <= keep + young.count(), "seed {seed}: {:?}", world.indexes.keys());
    }
}

#[test]
fn settings_that_nodes_refuse_leave_the_index_that_was() {
    let mut world = World::new(policy(json!({"maxDocs": 1}), 5), 1);
    world.work(false, false);
    let first = world.aliases["logs-write"].targets[0].clone();
    world.rejects_settings = true;
    world.size.documents = 2;
    world.now += Duration::days(1);
    world.work(true, false);
    assert_eq!(world.aliases["logs-write"].targets, std::slice::from_ref(&first));
    assert_eq!(world.indexes.keys().collect::<Vec<_>>(), [&first]);
    assert!(world.policy.last_error.as_ref().unwrap().contains("task 1"), "{:?}", world.policy.last_error);
    world.rejects_settings = false;
    world.work(true, false);
    assert_eq!(world.aliases["logs-write"].targets, ["logs-2026-01-02"]);
    assert_eq!(world.policy.last_error, None);
}

#[test]
fn two_rollovers_on_one_day_have_two_names() {
    let mut world = World::new(policy(json!({"maxDocs": 1}), 5), 1);
    world.work(false, false);
    world.size.documents = 1;
    world.work(true, false);
    world.work(true, false);
    let names = ["logs-2026-01-01", "logs-2026-01-01-2", "logs-2026-01-01-3"];
    assert_eq!(world.aliases["logs-read"].targets, names);
    assert_eq!(world.aliases["logs-write"].targets, [names[2]]);
    assert_eq!(world.aliases["logs-write"].history.len(), 2);
}

#[test]
fn a_missing_index_is_replaced_and_an_index_without_documents_is_not() {
    let mut world = World::new(policy(json!({"maxAge": "1h"}), 5), 1);
    world.work(false, false);
    world.now += Duration::days(1);
    world.indexes.values_mut().for_each(|record| record.primary_key = None);
    world.work(true, false);
    assert_eq!(world.indexes.len(), 1, "it has no documents yet");
    world.indexes.clear();
    let reasons = world.with_seen(None, |seen| reasons(&world.policy, seen, Size::default()));
    assert!(reasons[0].contains("missing"), "{reasons:?}");
    world.aliases.clear();
    world.work(true, false);
    assert_eq!(world.aliases["logs-write"].targets, ["logs-2026-01-02"]);
    assert_eq!(world.aliases["logs-read"].targets, ["logs-2026-01-02"]);
}

#[test]
fn the_lock_defers_what_an_alias_has_no_room_for() {
    let mut world = World::new(policy(json!({"maxDocs": 1}), 1), 1);
    world.work(false, false);
    world.size.documents = 1;
    for _ in 0..100 {
        world.now += Duration::minutes(5);
        world.work(true, false);
    }
    assert_eq!(world.aliases["logs-read"].targets.len(), TARGETS_MAX);
    assert!(world.policy.last_error.as_ref().unwrap().contains("at most"), "{:?}", world.policy.last_error);
    let forecast = world.with_seen(None, |seen| forecast(&world.policy, seen, world.size));
    assert_eq!(forecast["locked"].as_array().unwrap().len(), TARGETS_MAX);
    world.now += LOCK + Duration::hours(9);
    world.work(true, false);
    world.now += Duration::hours(1);
    world.work(false, false);
    assert_eq!((world.indexes.len(), world.deleted.len()), (1, TARGETS_MAX));
}

#[test]
fn an_index_made_anew_under_an_old_name_stays() {
    let mut world = World::new(policy(json!({"maxAge": "1d"}), 1), 1);
    world.work(false, false);
    let first = world.aliases["logs-write"].targets[0].clone();
    world.now += LOCK + Duration::days(1);
    world.work(true, false);
    assert!(matches!(world.policy.phase, Phase::Deleting { .. }));
    world.indexes.insert(first.clone(), record(&first, world.now, None));
    world.now += Duration::hours(1);
    world.work(false, false);
    assert!(world.deleted.is_empty() && world.indexes.contains_key(&first));
}

#[test]
fn aliases_that_are_there_are_taken_over() {
    let mut world = World::new(policy(json!({"maxDocs": 1}), 5), 1);
    world.work(false, false);
    world.size.documents = 1;
    world.now += Duration::days(1);
    world.work(true, false);
    let again = policy(json!({"maxDocs": 1}), 5);
    let (adopted, aliases) = world.with_seen(None, |seen| adopt(&again, seen)).unwrap();
    assert_eq!((adopted.generations.len(), &adopted.phase), (2, &Phase::Resting));
    assert!(aliases.is_empty(), "they have this owner and these targets already: {aliases:?}");
    let foreign = record("archive", BEGIN, None);
    world.indexes.insert("archive".to_owned(), foreign);
    world.aliases.get_mut("logs-read").unwrap().targets.push("archive".to_owned());
    let refusal = world.with_seen(None, |seen| adopt(&again, seen)).unwrap_err();
    assert!(refusal.contains("`archive`"), "{refusal}");
    world.aliases.get_mut("logs-read").unwrap().targets.pop();
    world.aliases.get_mut("logs-read").unwrap().owner = "operator".to_owned();
    let (_, aliases) = world.with_seen(None, |seen| adopt(&again, seen)).unwrap();
    assert_eq!(aliases.iter().map(|alias| alias.name.as_str()).collect::<Vec<_>>(), ["logs-read"]);
    world.aliases.get_mut("logs-write").unwrap().kind = AliasKind::Multi;
    assert!(world.with_seen(None, |seen| adopt(&again, seen)).is_err());
}

//! What a policy does next: pure, one small act at a time.
//!
//! Invariants: an act may be done twice. Both aliases change in one commit, with the policy; the alias for reading
//! stands for an index no more well before it is deleted. What is young, or was made anew under its name, stays.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use store::{IndexRecord, TaskStatus};
use time::{Duration, OffsetDateTime};

use crate::api::{
    alias::{Alias, AliasKind, TARGETS_MAX, Wanted},
    rollover::{
        pattern::Pattern,
        policy::{BYTES_PER_GB, Generation, LOCK, Phase, Policy},
    },
    tasks::view::date,
};

/// Names that are tried for a new index when the pattern's own is taken.
const NAMES_TRIED_MAX: u32 = 1000;

/// The size of the index that is written to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Size {
    pub(super) documents: u64,
    /// Of its documents as nodes hold them, each counted once.
    pub(super) bytes: u64,
}

/// What a policy sees of the cluster.
pub(super) struct Seen<'a> {
    pub(super) now: OffsetDateTime,
    /// The indexes that the policy may be about, by name.
    pub(super) indexes: &'a BTreeMap<String, IndexRecord>,
    pub(super) is_name_used: &'a dyn Fn(&str) -> bool,
    pub(super) write_alias: Option<Alias>,
    pub(super) read_alias: Option<Alias>,
    /// The status of the task that a phase waits for; `None` when there is no such task.
    pub(super) task: Option<TaskStatus>,
    /// Given when the policy's triggers are to be checked.
    pub(super) size: Option<Size>,
    /// Why these indexes cannot be searched as one, if they cannot.
    pub(super) unreadable: &'a dyn Fn(&[String]) -> Option<String>,
    /// How long a search may be under way.
    pub(super) search_max: Duration,
}

/// One act.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// Nothing to do for now.
    Wait,
    /// The policy as it is to be stored.
    Store(Box<Policy>),
    Create {
        index: String,
        primary_key: Option<String>,
    },
    Configure {
        index: String,
        settings: Map<String, Value>,
    },
    /// Stores the policy and its aliases in one commit.
    Flip {
        policy: Box<Policy>,
        aliases: Vec<Alias>,
    },
    Delete {
        index: String,
    },
    /// The policy is no more.
    Forget,
}

/// The next act of a policy.
pub(super) fn next(policy: &Policy, seen: &Seen<'_>) -> Act {
    match &policy.phase {
        Phase::Resting => check(policy, seen),
        Phase::Creating { index } => match seen.indexes.contains_key(index) {
            true => store(policy, Phase::Configuring { index: index.clone(), task: None }),
            false => Act::Create { index: index.clone(), primary_key: primary_key(policy, seen) },
        },
        Phase::Configuring { index, task } => configure(policy, seen, index, *task),
        Phase::Flipping { index } => flip(policy, seen, index),
        Phase::Abandoning { index, reason } => match seen.indexes.contains_key(index) {
            true => Act::Delete { index: index.clone() },
            false => Act::Store(Box::new(Policy {
                phase: Phase::Resting,
                last_error: Some(reason.clone()),
                ..policy.clone()
            })),
        },
        Phase::Deleting { indexes, not_before } => delete(policy, seen, indexes, *not_before),
        Phase::Leaving => Act::Forget,
    }
}

/// A new policy that takes over the aliases that are there already, with these aliases; where its write alias is not
/// there, it begins with its first index.
///
/// # Errors
/// Why it cannot take them over.
pub(super) fn adopt(policy: &Policy, seen: &Seen<'_>) -> Result<(Policy, Vec<Alias>), String> {
    for (alias, kind) in [(&seen.write_alias, AliasKind::Single), (&seen.read_alias, AliasKind::Multi)] {
        let Some(alias) = alias else { continue };
        if alias.kind != kind {
            let what = if kind == AliasKind::Single { "one index" } else { "several indexes" };
            return Err(format!("the alias `{}` has to stand for {what}", alias.name));
        }
    }
    let written = seen.write_alias.as_ref().and_then(|alias| alias.targets.first());
    let pattern = Pattern::parse(&policy.pattern)?;
    let mut generations = Vec::new();
    for index in seen.read_alias.iter().flat_map(|alias| &alias.targets).chain(written) {
        if Some(index) != written && !pattern.may_have_made(index) {
            return Err(format!(
                "the alias `{}` stands for `{index}`, which is no name of the pattern",
                policy.read_alias
            ));
        }
        if let Some(record) = seen.indexes.get(index)
            && !generations.iter().any(|known: &Generation| known.index == *index)
        {
            generations.push(Generation { index: index.clone(), created_at: record.created_at });
        }
    }
    // The one that is written to is the newest, whatever its date.
    generations.sort_by_key(|one| (Some(&one.index) == written, one.created_at));
    let adopted = Policy { generations, ..policy.clone() };
    if written.is_none() {
        let begun = begin(&adopted, seen).ok_or("every name that its pattern makes now is taken")?;
        return Ok((begun, Vec::new()));
    }
    let names = adopted.generations.iter().map(|one| one.index.clone()).collect::<Vec<_>>();
    if let Some(reason) = (seen.unreadable)(&names) {
        return Err(reason);
    }
    let written = written.cloned().into_iter().collect();
    let write = alias(&adopted, &adopted.write_alias, seen.write_alias.as_ref(), written, seen.now)?;
    let read = alias(&adopted, &adopted.read_alias, seen.read_alias.as_ref(), names, seen.now)?;
    Ok((adopted, [write, read].into_iter().flatten().collect()))
}

/// Begins a new index.
pub(super) fn begin(policy: &Policy, seen: &Seen<'_>) -> Option<Policy> {
    let name = free_name(policy, seen)?;
    let number = policy.number + 1;
    Some(Policy { phase: Phase::Creating { index: name }, number, ..policy.clone() })
}

/// The reasons to make a new index now; none where there is no reason.
fn reasons(policy: &Policy, seen: &Seen<'_>, size: Size) -> Vec<String> {
    let Some(current) = policy.generations.last() else { return vec!["it has no index yet".to_owned()] };
    let Some(record) = seen.indexes.get(&current.index) else {
        return vec![format!("its index `{}` is missing", current.index)];
    };
    // An index without a primary key has no documents yet; beside one that has a key it could not be searched.
    if record.primary_key.is_none() {
        return Vec::new();
    }
    let triggers = &policy.triggers;
    let mut reasons = Vec::new();
    if let Some(most) = triggers.max_docs.filter(|most| size.documents >= *most) {
        reasons.push(format!("maxDocs: {} of {most}", size.documents));
    }
    let age = (seen.now - current.created_at).whole_seconds();
    if let Some(most) =
        triggers.max_age_seconds.filter(|most| u64::try_from(age).is_ok_and(|age| age >= *most))
    {
        reasons.push(format!("maxAge: {age} s of {most} s"));
    }
    #[allow(clippy::cast_precision_loss, reason = "a size in gigabytes, compared with a bound")]
    let gigabytes = size.bytes as f64 / BYTES_PER_GB;
    if let Some(most) = triggers.max_size_gb.filter(|most| gigabytes >= *most) {
        reasons.push(format!("maxSizeGb: {gigabytes:.3} of {most}"));
    }
    reasons
}

fn check(policy: &Policy, seen: &Seen<'_>) -> Act {
    let Some(size) = seen.size else { return Act::Wait };
    let mut checked = Policy { last_check: Some(seen.now), last_error: None, ..policy.clone() };
    if reasons(policy, seen, size).is_empty() {
        let (kept, dropped) = retained(&checked.generations, policy.keep_indexes, seen);
        if dropped.is_empty() {
            return Act::Store(Box::new(checked));
        }
        checked.generations = kept;
        return drop_old(checked, seen, dropped);
    }
    let (kept, _) = retained(&with(&checked.generations, "", seen.now), policy.keep_indexes, seen);
    if kept.len() > TARGETS_MAX {
        checked.last_error = Some(format!(
            "an alias stands for at most {TARGETS_MAX} indexes, and no older one may be deleted yet"
        ));
        return Act::Store(Box::new(checked));
    }
    match begin(&checked, seen) {
        Some(begun) => Act::Store(Box::new(begun)),
        None => {
            checked.last_error = Some("every name that its pattern makes now is taken".to_owned());
            Act::Store(Box::new(checked))
        }
    }
}

/// What a check would do, as operators read it.
pub(super) fn forecast(policy: &Policy, seen: &Seen<'_>, size: Size) -> Value {
    let reasons = reasons(policy, seen, size);
    let will = !reasons.is_empty() && policy.phase == Phase::Resting;
    let new_index = will.then(|| free_name(policy, seen)).flatten();
    let after = match &new_index {
        Some(name) => with(&policy.generations, name, seen.now),
        None => policy.generations.clone(),
    };
    let (kept, dropped) = retained(&after, policy.keep_indexes, seen);
    let over = kept.len().saturating_sub(policy.keep_indexes);
    let locked =
        kept.iter().take(over).map(|one| json!({"uid": one.index, "until": date(one.created_at + LOCK)}));
    json!({
        "policy": policy.name,
        "dryRun": true,
        "phase": policy.phase.name(),
        "wouldRollOver": will,
        "reasons": reasons,
        "current": policy.generations.last().map(|one| json!({
            "uid": one.index, "createdAt": date(one.created_at), "documents": size.documents, "bytes": size.bytes,
        })),
        "newIndex": new_index,
        "deletes": dropped,
        "locked": locked.collect::<Vec<_>>(),
    })
}

fn configure(policy: &Policy, seen: &Seen<'_>, index: &str, task: Option<u32>) -> Act {
    let Some(record) = seen.indexes.get(index) else {
        return store(policy, Phase::Creating { index: index.to_owned() });
    };
    let settings = settings(policy, seen);
    let done = || store(policy, Phase::Flipping { index: index.to_owned() });
    let abandon = |why: &str| {
        let reason = format!("the settings of a new index {why}");
        store(policy, Phase::Abandoning { index: index.to_owned(), reason })
    };
    match (task, seen.task) {
        (None, _) if settings.is_empty() => done(),
        (None, _) | (Some(_), None) => Act::Configure { index: index.to_owned(), settings },
        (Some(_), Some(TaskStatus::Succeeded)) => {
            match record.settings_pending || !record.settings_ahead.is_empty() {
                // The registry has not committed them on all nodes yet.
                true => Act::Wait,
                false => done(),
            }
        }
        (Some(uid), Some(TaskStatus::Failed)) => abandon(&format!("are wrong: see task {uid}")),
        (Some(uid), Some(TaskStatus::Canceled)) => abandon(&format!("were canceled: see task {uid}")),
        (Some(_), Some(TaskStatus::Enqueued | TaskStatus::Processing)) => Act::Wait,
    }
}

/// Puts a new index behind both aliases.
fn flip(policy: &Policy, seen: &Seen<'_>, index: &str) -> Act {
    let Some(record) = seen.indexes.get(index) else {
        return store(policy, Phase::Creating { index: index.to_owned() });
    };
    let abandon = |reason: String| store(policy, Phase::Abandoning { index: index.to_owned(), reason });
    for (name, alias) in [(&policy.write_alias, &seen.write_alias), (&policy.read_alias, &seen.read_alias)] {
        if alias.is_none() && (seen.is_name_used)(name) {
            return abandon(format!("an index has the name of the alias `{name}`"));
        }
    }
    let generations = with(&policy.generations, index, record.created_at);
    let (kept, dropped) = retained(&generations, policy.keep_indexes, seen);
    let names = kept.iter().map(|one| one.index.clone()).collect::<Vec<_>>();
    if let Some(reason) = (seen.unreadable)(&names) {
        return abandon(reason);
    }
    let mut flipped = Policy {
        generations: kept,
        last_rollover: Some(seen.now),
        last_error: None,
        phase: deleting(seen, dropped),
        ..policy.clone()
    };
    let write =
        alias(&flipped, &flipped.write_alias, seen.write_alias.as_ref(), vec![index.to_owned()], seen.now);
    let read = alias(&flipped, &flipped.read_alias, seen.read_alias.as_ref(), names, seen.now);
    match write.and_then(|write| Ok((write, read?))) {
        Ok((write, read)) => {
            flipped.last_check = flipped.last_check.or(Some(seen.now));
            Act::Flip { policy: Box::new(flipped), aliases: [write, read].into_iter().flatten().collect() }
        }
        Err(reason) => abandon(reason),
    }
}

/// Takes indexes out of the alias for reading, before they are deleted.
fn drop_old(policy: Policy, seen: &Seen<'_>, dropped: Vec<String>) -> Act {
    let names = policy.generations.iter().map(|one| one.index.clone()).collect();
    let read = alias(&policy, &policy.read_alias, seen.read_alias.as_ref(), names, seen.now);
    match read {
        Ok(read) => Act::Flip {
            policy: Box::new(Policy { phase: deleting(seen, dropped), ..policy }),
            aliases: read.into_iter().collect(),
        },
        Err(reason) => Act::Store(Box::new(Policy { last_error: Some(reason), ..policy })),
    }
}

fn delete(policy: &Policy, seen: &Seen<'_>, indexes: &[String], not_before: OffsetDateTime) -> Act {
    let Some((first, rest)) = indexes.split_first() else { return store(policy, Phase::Resting) };
    if seen.now < not_before {
        return Act::Wait;
    }
    let is_old = |record: &IndexRecord| seen.now - record.created_at >= LOCK;
    match seen.indexes.get(first).is_some_and(is_old) {
        true => Act::Delete { index: first.clone() },
        // It is gone, or another of its name was made meanwhile, which is nobody's to delete.
        false => store(policy, Phase::Deleting { indexes: rest.to_vec(), not_before }),
    }
}

fn deleting(seen: &Seen<'_>, indexes: Vec<String>) -> Phase {
    match indexes.is_empty() {
        true => Phase::Resting,
        false => Phase::Deleting { indexes, not_before: seen.now + seen.search_max },
    }
}

fn store(policy: &Policy, phase: Phase) -> Act {
    Act::Store(Box::new(Policy { phase, ..policy.clone() }))
}

fn with(generations: &[Generation], index: &str, created_at: OffsetDateTime) -> Vec<Generation> {
    let mut all = generations.iter().filter(|one| one.index != index).cloned().collect::<Vec<_>>();
    all.push(Generation { index: index.to_owned(), created_at });
    all
}

/// Splits indexes into those that stay and the names of those that go: what is over the number to keep, missing or
/// older than the lock. The newest always stays.
fn retained(generations: &[Generation], keep: usize, seen: &Seen<'_>) -> (Vec<Generation>, Vec<String>) {
    let over = generations.len().saturating_sub(keep);
    let newest = generations.len().saturating_sub(1);
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (position, one) in generations.iter().enumerate() {
        match seen.indexes.get(&one.index) {
            None if position < newest => dropped.push(one.index.clone()),
            Some(record) if position < over && seen.now - record.created_at.max(one.created_at) >= LOCK => {
                dropped.push(one.index.clone());
            }
            Some(_) | None => kept.push(one.clone()),
        }
    }
    (kept, dropped)
}

/// An alias of a policy with these targets; `None` when it has them already.
fn alias(
    policy: &Policy,
    name: &str,
    known: Option<&Alias>,
    targets: Vec<String>,
    now: OffsetDateTime,
) -> Result<Option<Alias>, String> {
    let kind = if name == policy.write_alias { AliasKind::Single } else { AliasKind::Multi };
    let wanted = Wanted { kind, targets, version: None };
    let mut alias = match known {
        Some(known) if known.targets == wanted.targets && known.owner == policy.owner() => return Ok(None),
        Some(known) if known.targets == wanted.targets && known.kind == kind => known.clone(),
        Some(known) => known.flipped(wanted, now).map_err(|error| error.into_task_error().message)?,
        None => Alias::new(name.to_owned(), wanted, now),
    };
    alias.owner = policy.owner();
    Ok(Some(alias))
}

/// The primary key of a new index: the template's, else that of the index before it.
fn primary_key(policy: &Policy, seen: &Seen<'_>) -> Option<String> {
    let before = || seen.indexes.get(&policy.generations.last()?.index)?.primary_key.clone();
    policy.primary_key.clone().or_else(before)
}

/// The settings of a new index: the template's, else those of the index before it.
fn settings(policy: &Policy, seen: &Seen<'_>) -> Map<String, Value> {
    let before = || seen.indexes.get(&policy.generations.last()?.index)?.settings.as_object().cloned();
    policy.settings.clone().or_else(before).unwrap_or_default()
}

/// A name of the pattern that no index has.
fn free_name(policy: &Policy, seen: &Seen<'_>) -> Option<String> {
    let name = Pattern::parse(&policy.pattern).ok()?.name(seen.now, policy.number + 1);
    let tried =
        (1..=NAMES_TRIED_MAX).map(|count| if count == 1 { name.clone() } else { format!("{name}-{count}") });
    tried.into_iter().find(|name| !(seen.is_name_used)(name))
}

#[cfg(test)]
#[path = "steps_test.rs"]
mod tests;

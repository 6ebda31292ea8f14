//! Resolves aliases among the indexes of the same snapshot.
//!
//! Invariants: a reader of one snapshot sees one target for a name, however often the alias is flipped meanwhile.
//! Several targets are read as one index, whose rules are those of each target.

use std::sync::Arc;

use ahash::AHashMap;
use router::{SHARDS_MAX, ShardSet};
use serde_json::Value;
use store::IndexRecord;
use time::OffsetDateTime;

use crate::{
    api::{
        alias::{Alias, AliasKind, Wanted},
        error::{ApiError, Code},
    },
    state::snapshot::{Index, Snapshot},
};

/// Settings that the merge uses: targets that are read as one must agree in them.
const MERGED_BY: [&str; 8] = [
    "rankingRules",
    "searchableAttributes",
    "displayedAttributes",
    "distinctAttribute",
    "faceting",
    "pagination",
    "embedders",
    "foreignKeys",
];

/// Aliases by name.
pub type Aliases = AHashMap<String, Arc<KnownAlias>>;

/// An alias and its resolved target.
pub struct KnownAlias {
    pub record: Alias,
    /// The revision of the stored record.
    pub revision: u64,
    index: Result<Arc<Index>, Unreadable>,
}

/// Why an alias cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unreadable {
    Missing(String),
    Differ { one: String, other: String, setting: &'static str },
    TooManyShards,
}

impl KnownAlias {
    pub(crate) fn new(record: Alias, revision: u64, indexes: &AHashMap<String, Arc<Index>>) -> Self {
        let index = stands_for(&record, indexes);
        Self { record, revision, index }
    }

    /// The same alias among other indexes; unchanged when its targets are the same.
    pub(crate) fn among(self: &Arc<Self>, indexes: &AHashMap<String, Arc<Index>>) -> Arc<Self> {
        let known = |index: &Arc<Index>| {
            let same = |target: &Arc<Index>| {
                indexes.get(&target.record.uid).is_some_and(|now| Arc::ptr_eq(now, target))
            };
            let targets = &index.targets;
            if targets.is_empty() { same(index) } else { targets.iter().all(same) }
        };
        match &self.index {
            Ok(index) if known(index) => Arc::clone(self),
            _ => Arc::new(Self::new(self.record.clone(), self.revision, indexes)),
        }
    }

    /// # Errors
    /// 404 for a missing target, 400 for targets that cannot be read as one.
    pub(crate) fn index(&self) -> Result<&Arc<Index>, ApiError> {
        let name = &self.record.name;
        self.index.as_ref().map_err(|reason| match reason {
            Unreadable::Missing(target) => {
                let message = format!("Index `{target}`, which the alias `{name}` stands for, not found.");
                ApiError::new(Code::IndexNotFound, message)
            }
            Unreadable::Differ { one, other, setting } => {
                let message = format!(
                    "The indexes of the alias `{name}` cannot be searched as one: `{one}` and `{other}` differ in `{setting}`."
                );
                ApiError::new(Code::BadRequest, message)
            }
            Unreadable::TooManyShards => {
                let message = format!("The indexes of the alias `{name}` have more than {SHARDS_MAX} shards together.");
                ApiError::new(Code::BadRequest, message)
            }
        })
    }
}

/// Why indexes cannot be read as one under a name, if they cannot.
pub(crate) fn unreadable(
    name: &str,
    targets: &[String],
    indexes: &AHashMap<String, Arc<Index>>,
) -> Option<String> {
    let wanted = Wanted { kind: AliasKind::Multi, targets: targets.to_vec(), version: None };
    let alias = Alias::new(name.to_owned(), wanted, OffsetDateTime::UNIX_EPOCH);
    let refusal = KnownAlias::new(alias, 0, indexes).index().err();
    refusal.map(|error| error.into_task_error().message)
}

fn stands_for(alias: &Alias, indexes: &AHashMap<String, Arc<Index>>) -> Result<Arc<Index>, Unreadable> {
    let find = |uid: &String| indexes.get(uid).cloned().ok_or_else(|| Unreadable::Missing(uid.clone()));
    let targets = alias.targets.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    match (alias.kind, targets.first()) {
        (AliasKind::Multi, Some(_)) => as_one(&alias.name, targets),
        (_, Some(first)) => Ok(Arc::clone(first)),
        (_, None) => Err(Unreadable::Missing(alias.name.clone())),
    }
}

/// Several indexes to be read as one.
fn as_one(name: &str, targets: Vec<Arc<Index>>) -> Result<Arc<Index>, Unreadable> {
    let first = &targets[0];
    for other in &targets[1..] {
        if let Some(setting) = difference(&first.record, &other.record) {
            let (one, other) = (first.record.uid.clone(), other.record.uid.clone());
            return Err(Unreadable::Differ { one, other, setting });
        }
    }
    let shards = targets.iter().map(|target| target.record.shards).fold(0, u32::saturating_add);
    if shards > SHARDS_MAX {
        return Err(Unreadable::TooManyShards);
    }
    let record = IndexRecord {
        uid: name.to_owned(),
        keys_are_plain: targets.iter().all(|target| target.record.keys_are_plain),
        settings_pending: targets.iter().any(|target| target.record.settings_pending),
        twin: None,
        ..first.record.clone()
    };
    let mut index = Index::new(record, Arc::clone(&first.placement));
    index.targets = targets;
    Ok(Arc::new(index))
}

fn difference(one: &IndexRecord, other: &IndexRecord) -> Option<&'static str> {
    if one.primary_key != other.primary_key {
        return Some("primaryKey");
    }
    let value = |record: &IndexRecord, name: &str| match &record.settings[name] {
        Value::Object(members) if members.is_empty() => Value::Null,
        value @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => value.clone(),
    };
    MERGED_BY.into_iter().find(|name| value(one, name) != value(other, name))
}

impl Snapshot {
    /// The index that a client names, by its own name or by an alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Index>> {
        let of_alias = || self.aliases.get(name).and_then(|alias| alias.index().ok());
        self.indexes.get(name).or_else(of_alias)
    }

    /// The name of the index to which a write under this name goes.
    ///
    /// # Errors
    /// 409 for an alias of several indexes.
    pub fn writable<'s>(&'s self, name: &'s str) -> Result<&'s str, ApiError> {
        match self.aliases.get(name) {
            None => Ok(name),
            Some(alias) if alias.record.kind == AliasKind::Multi => Err(alias.record.not_writable()),
            Some(alias) => Ok(&alias.record.targets[0]),
        }
    }

    /// The names of the indexes behind a name.
    #[must_use]
    pub fn targets<'s>(&'s self, name: &'s str) -> Vec<&'s str> {
        match self.aliases.get(name) {
            None => vec![name],
            Some(alias) => alias.record.targets.iter().map(String::as_str).collect(),
        }
    }

    /// The same cluster with one alias added or replaced, unless the present one is newer.
    #[must_use]
    pub fn with_alias(&self, record: &Alias, revision: u64) -> Self {
        let mut snapshot = self.clone();
        if self.aliases.get(&record.name).is_none_or(|known| known.revision < revision) {
            let known = KnownAlias::new(record.clone(), revision, &self.indexes);
            snapshot.aliases.insert(record.name.clone(), Arc::new(known));
        }
        snapshot
    }

    /// The same cluster without one alias, unless it was made or changed after `revision`.
    #[must_use]
    pub fn without_alias(&self, name: &str, revision: u64) -> Self {
        let mut snapshot = self.clone();
        if self.aliases.get(name).is_some_and(|known| known.revision <= revision) {
            snapshot.aliases.remove(name);
        }
        snapshot
    }

    /// Lets the aliases refer to the indexes of this snapshot.
    pub(crate) fn relinked(mut self) -> Self {
        if !self.aliases.is_empty() {
            let aliases = std::mem::take(&mut self.aliases).into_iter();
            self.aliases = aliases.map(|(name, alias)| (name, alias.among(&self.indexes))).collect();
        }
        self
    }
}

impl Index {
    /// How many indexes are read for this one.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.targets.len().max(1)
    }

    /// One of the indexes that are read for this one: itself, or a target of its alias.
    #[must_use]
    pub fn part(&self, number: usize) -> &Index {
        self.targets.get(number).map_or(self, |target| target)
    }

    /// The number of a part's first shard among the shards of all parts.
    #[must_use]
    pub fn first_shard(&self, part: usize) -> u32 {
        self.targets.iter().take(part).map(|target| target.record.shards).sum()
    }

    /// How many shards all parts have together.
    #[must_use]
    pub fn shards_in_all(&self) -> u32 {
        (0..self.parts()).map(|part| self.part(part).record.shards).sum()
    }

    /// The part that a shard belongs to, and the number of the part's first shard.
    #[must_use]
    pub fn part_of(&self, shard: u32) -> (usize, u32) {
        let mut first = 0;
        for (number, target) in self.targets.iter().enumerate() {
            if shard < first + target.record.shards {
                return (number, first);
            }
            first += target.record.shards;
        }
        (0, 0)
    }

    /// The shards that hold documents with these keys.
    #[must_use]
    pub fn shards_of(&self, keys: &[String]) -> ShardSet {
        let of_part = |part: usize| {
            let (first, shards) = (self.first_shard(part), self.part(part).record.shards);
            keys.iter().map(move |key| first + router::shard_of(key, shards))
        };
        (0..self.parts()).flat_map(of_part).collect()
    }

    /// The refusal to show settings in which a part differs from the first.
    pub(crate) fn settings_differ(&self, part: usize, setting: &str) -> ApiError {
        let (alias, one, other) = (&self.record.uid, &self.part(0).record.uid, &self.part(part).record.uid);
        let message = format!(
            "The indexes of the alias `{alias}` have no settings in common: `{one}` and `{other}` differ in `{setting}`."
        );
        ApiError::new(Code::BadRequest, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use router::{Node, Topology};
    use serde_json::json;
    use store::Twin;
    use time::OffsetDateTime;

    fn snapshot(indexes: &[(&str, Value)]) -> Snapshot {
        let node = Node { id: "a".to_owned(), url: "http://a".to_owned(), group: 0, capacity: 1.0 };
        let topology = Topology::new(vec![node], 1).unwrap().with_placement_for(4);
        let placement = topology.placement(4).cloned().unwrap();
        let mut snapshot =
            Snapshot { topology: Arc::new(topology), indexes: AHashMap::new(), aliases: Aliases::new() };
        for (uid, settings) in indexes {
            snapshot =
                snapshot.with_index(Arc::new(Index::new(record(uid, settings), Arc::clone(&placement))));
        }
        snapshot
    }

    fn record(uid: &str, settings: &Value) -> IndexRecord {
        IndexRecord {
            uid: uid.to_owned(),
            node_uid: format!("{uid}-1"),
            primary_key: Some("id".to_owned()),
            shards: 4,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            settings: settings.clone(),
            settings_version: 1,
            settings_pending: false,
            keys_are_plain: true,
            settings_ahead: Vec::new(),
            key_tasks: Vec::new(),
            key_is_stale: false,
            ttl: None,
            twin: None,
            revision: 1,
        }
    }

    fn alias(kind: AliasKind, targets: &[&str]) -> Alias {
        let wanted = Wanted {
            kind,
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            version: None,
        };
        Alias::new("all".to_owned(), wanted, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_newer_record_stays_and_a_deleted_index_stays_away() {
        let before = snapshot(&[("a", json!({}))]);
        let placement = Arc::clone(&before.indexes["a"].placement);
        let of_revision = |revision: u64, shards: u32| {
            let twin = (shards == 8).then(|| Twin {
                node_uid: "a-1".to_owned(),
                shards: 4,
                kept_until: Some(OffsetDateTime::UNIX_EPOCH),
            });
            let record = IndexRecord { revision, shards, twin, ..record("a", &json!({})) };
            Arc::new(Index::new(record, Arc::clone(&placement)))
        };
        let after = before.with_changed(of_revision(3, 8));
        let shown = |snapshot: &Snapshot| snapshot.indexes.get("a").map(|index| index.record.revision);
        assert_eq!(shown(&after), Some(3));
        assert_eq!(shown(&after.with_changed(of_revision(2, 4))), Some(3));
        assert_eq!(shown(&after.with_index(of_revision(2, 4))), Some(3));
        assert_eq!(shown(&after.without_index("a").with_changed(of_revision(4, 4))), None);
        // What is kept has no record that could be stored.
        assert_eq!(after.indexes["a"].twin.as_ref().map(|twin| twin.record.revision), Some(0));
    }

    #[test]
    fn a_name_stands_for_what_the_snapshot_says() {
        let before = snapshot(&[("a", json!({})), ("b", json!({}))]);
        let one = before.with_alias(&alias(AliasKind::Single, &["a"]), 5);
        assert_eq!(one.find("all").unwrap().record.uid, "a");
        assert_eq!(one.writable("all").unwrap(), "a");
        let two = one.with_alias(&alias(AliasKind::Single, &["b"]), 7);
        assert_eq!(two.find("all").unwrap().record.uid, "b");
        // An older change comes too late. A reader of the old snapshot sees the old target.
        assert_eq!(two.with_alias(&alias(AliasKind::Single, &["a"]), 6).find("all").unwrap().record.uid, "b");
        assert_eq!(one.find("all").unwrap().record.uid, "a");
        assert!(two.without_alias("all", 6).find("all").is_some());
        assert!(two.without_alias("all", 7).find("all").is_none());
        let gone = two.without_index("b");
        assert!(gone.find("all").is_none());
        assert_eq!(gone.aliases["all"].index().err().unwrap().code(), Some(Code::IndexNotFound));
    }

    #[test]
    fn several_indexes_are_one_where_their_rules_are_the_same() {
        let same = json!({"rankingRules": ["sort"]});
        let both = snapshot(&[("a", same.clone()), ("b", same.clone()), ("c", json!({}))]);
        let both = both.with_alias(&alias(AliasKind::Multi, &["a", "b"]), 1);
        let index = both.find("all").unwrap();
        assert_eq!((index.parts(), index.shards_in_all(), index.first_shard(1)), (2, 8, 4));
        assert_eq!((index.part_of(3), index.part_of(4)), ((0, 0), (1, 4)));
        let shard = router::shard_of("x", 4);
        assert_eq!(index.shards_of(&["x".to_owned()]).iter().collect::<Vec<_>>(), [shard, shard + 4]);
        assert_eq!(both.writable("all").unwrap_err().code(), Some(Code::MiroirMultiAliasNotWritable));
        let index = Arc::clone(index);
        assert!(Arc::ptr_eq(&index, both.without_index("c").find("all").unwrap()), "nothing changed for it");
        let differ = both.with_alias(&alias(AliasKind::Multi, &["a", "c"]), 2);
        let message = differ.aliases["all"].index().err().unwrap().into_task_error().message;
        assert!(message.contains("`rankingRules`") && message.contains("`c`"), "{message}");
        assert!(differ.find("all").is_none());
    }
}

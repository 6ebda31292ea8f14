//! Tombstones: records of deletions, so that a copy that missed one does not bring documents back.
//!
//! Invariants: a tombstone is durable with its deletion, before the client is answered. It stays for at least two
//! whole passes. Its clock is the lane's, so it is newer than every write before and older than every write after.
//! There are none while anti-entropy is off.

use ahash::AHashMap;
use serde_json::{Value, json};
use store::{Change, Record, Store, StoreError, Table};

use crate::{
    config::limits,
    observe::log,
    state::{change::Erased, snapshot::Snapshot},
};

pub const TOMBSTONES: Table = Table::named("tombstones");
/// Records read from the store at once.
const READ_AT_ONCE: usize = 256;

/// The tombstones of a deletion in an index, by its name on the nodes; to be committed with its task, whose uid keeps
/// them apart from others of the same clock value, which another pod may have given.
#[must_use]
pub fn of_deletion(node_uid: &str, (clock, task): (u64, u32), erased: &Erased) -> Vec<Change> {
    let values = match erased {
        Erased::Keys(ids) => {
            let chunks = ids.chunks(limits::TOMBSTONE_KEYS_PER_RECORD);
            chunks.map(|ids| json!({"ids": ids})).collect()
        }
        Erased::Matching(filter) => vec![json!({"filter": filter})],
    };
    let put = |(part, value)| Change::PutRecord {
        table: TOMBSTONES,
        key: format!("{node_uid}/{clock:020}/{task:010}.{part:06}"),
        value,
        expected_revision: None,
    };
    values.into_iter().enumerate().map(put).collect()
}

/// The tombstones of one index.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tombstones {
    /// When each key was deleted last.
    keys: AHashMap<String, u64>,
    /// Deletions by filter with their clocks, oldest first.
    pub(crate) filters: Vec<(u64, Option<Value>)>,
}

impl Tombstones {
    pub(crate) async fn load(store: &Store, node_uid: &str) -> Result<Self, StoreError> {
        let prefix = format!("{node_uid}/");
        let (mut tombstones, mut after) = (Self::default(), prefix.clone());
        loop {
            let records = store.records(TOMBSTONES, Some(&after), READ_AT_ONCE).await?;
            let of_index = records.iter().take_while(|record| record.key.starts_with(&prefix));
            let count = of_index.map(|record| tombstones.add(record)).count();
            match records.last() {
                Some(last) if count == READ_AT_ONCE => after.clone_from(&last.key),
                _ => return Ok(tombstones),
            }
        }
    }

    fn add(&mut self, record: &Record) {
        let Some(clock) = clock_of(&record.key) else { return };
        let Some(ids) = record.value["ids"].as_array() else {
            let filter = Some(record.value["filter"].clone()).filter(|filter| !filter.is_null());
            return self.filters.push((clock, filter));
        };
        for id in ids.iter().filter_map(Value::as_str) {
            let deleted = self.keys.entry(id.to_owned()).or_default();
            *deleted = clock.max(*deleted);
        }
    }

    /// When a key was last deleted by its id.
    pub(crate) fn deleted_at(&self, key: &str) -> Option<u64> {
        self.keys.get(key).copied()
    }
}

fn clock_of(key: &str) -> Option<u64> {
    key.split('/').nth(1)?.parse().ok()
}

/// Deletes tombstones of indexes that are gone, those older than `before`, and the oldest where there are too many.
pub(crate) async fn prune(store: &Store, snapshot: &Snapshot, before: u64) -> Result<(), StoreError> {
    let is_known =
        |key: &str| key.split('/').next().is_some_and(|node_uid| snapshot.on_nodes(node_uid).is_some());
    let mut kept: Vec<(u64, usize)> = Vec::new();
    sweep(store, |record, clock| {
        let forget = clock < before || !is_known(&record.key);
        if !forget {
            kept.push((clock, record.value["ids"].as_array().map_or(1, Vec::len)));
        }
        forget
    })
    .await?;
    kept.sort_unstable_by(|one, other| other.cmp(one));
    let mut total = 0;
    let over = kept.iter().find(|(_, count)| {
        total += count;
        total > limits::TOMBSTONES_MAX
    });
    if let Some((oldest, _)) = over {
        log::warn("tombstones_dropped", &[("reason", "there are too many")]);
        sweep(store, |_, clock| clock <= *oldest).await?;
    }
    Ok(())
}

/// Deletes the tombstones that `forget` chooses.
async fn sweep(store: &Store, mut forget: impl FnMut(&Record, u64) -> bool) -> Result<(), StoreError> {
    let mut after = None::<String>;
    loop {
        let records = store.records(TOMBSTONES, after.as_deref(), READ_AT_ONCE).await?;
        let Some(last) = records.last() else { return Ok(()) };
        after = Some(last.key.clone());
        let gone = records.into_iter().filter(|record| forget(record, clock_of(&record.key).unwrap_or(0)));
        let gone = gone.map(|record| Change::ForgetRecord { table: TOMBSTONES, key: record.key });
        let gone = gone.collect::<Vec<_>>();
        if !gone.is_empty() {
            store.commit(gone).await?;
        }
    }
}

/// Deletes all tombstones, since writes without stamps cannot be ordered after them.
///
/// # Errors
/// The store's error.
pub async fn forget_all(store: &Store) -> Result<(), StoreError> {
    sweep(store, |_, _| true).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn tombstones_are_read_back_by_index() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _thread) = store::open_sled(&directory.path().join("store")).unwrap();
        let keys = |keys: &[&str]| Erased::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
        let filter = Some(json!("year < 1990"));
        let deletions = [
            of_deletion("films-1", (5, 1), &keys(&["a", "b"])),
            of_deletion("films-1", (9, 2), &keys(&["b"])),
            of_deletion("films-1", (9, 3), &keys(&["c"])),
            of_deletion("films-10", (7, 4), &keys(&["z"])),
            of_deletion("films-1", (11, 5), &Erased::Matching(filter.clone())),
        ];
        block_on(async {
            store.commit(deletions.concat()).await.unwrap();
            let tombstones = Tombstones::load(&store, "films-1").await.unwrap();
            let deleted = ["a", "b", "c", "z"].map(|key| tombstones.deleted_at(key));
            assert_eq!(deleted, [Some(5), Some(9), Some(9), None]);
            assert_eq!(tombstones.filters, [(11, filter)]);
            forget_all(&store).await.unwrap();
            assert_eq!(Tombstones::load(&store, "films-1").await.unwrap(), Tombstones::default());
        });
    }
}

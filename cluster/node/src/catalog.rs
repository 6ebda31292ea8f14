//! The indexes of a node: names, directories, open engines.
//! Invariants: a name points to at most one directory. Directories have random names, so a swap or a deletion never
//! waits for readers. Opening deletes directories that the table does not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use uuid::Uuid;

use crate::engine::{Engine, Workers};
use crate::errors::ApiError;
use crate::tasks::IndexTable;

const POISON: &str = "a holder of the lock panicked, so the table cannot be trusted";

/// All open indexes.
pub(crate) struct Catalog {
    directory: PathBuf,
    workers: Arc<Workers>,
    open: RwLock<BTreeMap<String, Entry>>,
}

#[derive(Clone)]
struct Entry {
    directory: String,
    engine: Engine,
}

impl Catalog {
    /// Opens every index of the table. Deletes directories that no name points to.
    pub(crate) fn open(data: &Path, table: &IndexTable, workers: Arc<Workers>) -> Result<Self, ApiError> {
        let directory = data.join("indexes");
        std::fs::create_dir_all(&directory)?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let known =
                entry.file_name().to_str().is_some_and(|name| table.values().any(|used| used == name));
            if !known {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let mut open = BTreeMap::new();
        for (uid, name) in table {
            let engine = Engine::open(&directory.join(name), Arc::clone(&workers))?;
            open.insert(uid.clone(), Entry { directory: name.clone(), engine });
        }
        Ok(Self { directory, workers, open: RwLock::new(open) })
    }

    /// The index of this name, or `index_not_found`.
    pub(crate) fn get(&self, uid: &str) -> Result<Engine, ApiError> {
        self.find(uid).ok_or_else(|| ApiError::index_not_found(uid))
    }

    /// The index of this name, if there is one.
    pub(crate) fn find(&self, uid: &str) -> Option<Engine> {
        self.open.read().expect(POISON).get(uid).map(|entry| entry.engine.clone())
    }

    /// All indexes by name.
    pub(crate) fn all(&self) -> Vec<(String, Engine)> {
        let open = self.open.read().expect(POISON);
        open.iter().map(|(uid, entry)| (uid.clone(), entry.engine.clone())).collect()
    }

    /// The index of this name; creates it if there is none.
    pub(crate) fn get_or_create(&self, uid: &str) -> Result<Engine, ApiError> {
        if let Some(engine) = self.find(uid) {
            return Ok(engine);
        }
        let directory = Uuid::new_v4().to_string();
        let engine = Engine::open(&self.directory.join(&directory), Arc::clone(&self.workers))?;
        let entry = Entry { directory, engine: engine.clone() };
        self.open.write().expect(POISON).insert(uid.to_owned(), entry);
        Ok(engine)
    }

    /// Removes the index and returns its directory, to delete once the table without it is durable.
    pub(crate) fn remove(&self, uid: &str) -> Option<PathBuf> {
        let entry = self.open.write().expect(POISON).remove(uid)?;
        Some(self.directory.join(entry.directory))
    }

    /// Replaces an existing index by a compact copy of itself. Returns its old directory, to delete once the table is
    /// durable. Readers of the old one continue.
    pub(crate) fn compact(&self, uid: &str) -> Result<PathBuf, ApiError> {
        let engine = self.get(uid)?;
        let directory = Uuid::new_v4().to_string();
        let path = self.directory.join(&directory);
        engine.copy_compacted(&path)?;
        let entry = Entry { directory, engine: Engine::open(&path, Arc::clone(&self.workers))? };
        let before = self.open.write().expect(POISON).insert(uid.to_owned(), entry);
        Ok(self.directory.join(before.expect("the index was there a moment ago").directory))
    }

    /// Writes compact copies of all indexes to where a catalog of the `data` directory expects them.
    pub(crate) fn copy_to(&self, data: &Path) -> Result<(), ApiError> {
        let entries: Vec<Entry> = self.open.read().expect(POISON).values().cloned().collect();
        for entry in entries {
            entry.engine.copy_compacted(&data.join("indexes").join(entry.directory))?;
        }
        Ok(())
    }

    /// Exchanges the indexes of two existing names.
    pub(crate) fn swap(&self, left: &str, right: &str) {
        let mut open = self.open.write().expect(POISON);
        if let (Some(one), Some(other)) = (open.remove(left), open.remove(right)) {
            open.insert(left.to_owned(), other);
            open.insert(right.to_owned(), one);
        }
    }

    /// Gives an index another name, which must be free.
    pub(crate) fn rename(&self, uid: &str, new_uid: &str) {
        let mut open = self.open.write().expect(POISON);
        if let Some(entry) = open.remove(uid) {
            open.insert(new_uid.to_owned(), entry);
        }
    }

    /// The table, to be made durable.
    pub(crate) fn table(&self) -> IndexTable {
        let open = self.open.read().expect(POISON);
        open.iter().map(|(uid, entry)| (uid.clone(), entry.directory.clone())).collect()
    }
}

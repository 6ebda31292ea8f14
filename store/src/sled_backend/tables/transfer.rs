//! Everything in sled's trees as entries of a transfer, and back.
//! - Pages go through one tree after the other, by key. A mark is the last key of a page.

use bytes::Bytes;

use super::{META_REVISIONS_RESERVED, META_TASK_UID_NEXT, Revised, TOPOLOGY_KEY, Tables, failed, put};
use crate::idempotency::IDEMPOTENCY_KEYS;
use crate::limits::{STORED_PAGE, STORED_PAGE_BYTES};
use crate::sled_backend::codec::decode;
use crate::sled_backend::tree::Tree;
use crate::transfer::{Body, Entry, EntryPage, Mark};
use crate::{StoreError, Versioned};

/// The trees, in the order of the pages.
#[derive(Clone, Copy)]
enum Section {
    Topology,
    Indexes,
    Tasks,
    Records,
    Log,
}

const SECTIONS: [Section; 5] =
    [Section::Topology, Section::Indexes, Section::Tasks, Section::Records, Section::Log];

impl Tables {
    pub(super) fn stored(&self, after: Option<Mark>) -> Result<EntryPage, StoreError> {
        let mut entries = Vec::new();
        if after.is_none() {
            let (task_uid_next, revision_next) = (self.task_uid_next, self.revision_next);
            entries.push(Entry::Counters { task_uid_next, revision_next });
        }
        let mark = after.unwrap_or(Mark { section: 0, key: Vec::new() });
        let Some(section) = SECTIONS.get(usize::from(mark.section)) else {
            return Ok(EntryPage { entries, next: None });
        };
        // The smallest key behind the last one.
        let start = if mark.key.is_empty() { Vec::new() } else { [&mark.key[..], &[0]].concat() };
        let mut bytes = 0;
        for stored in self.tree(*section).range(start..) {
            let (key, value) = stored.map_err(failed)?;
            bytes += value.len();
            entries.push(self.entry(*section, &key, &value, &mut bytes)?);
            if entries.len() >= STORED_PAGE || bytes > STORED_PAGE_BYTES {
                let next = Some(Mark { section: mark.section, key: key.to_vec() });
                return Ok(EntryPage { entries, next });
            }
        }
        let section = mark.section + 1;
        let next = (usize::from(section) < SECTIONS.len()).then_some(Mark { section, key: Vec::new() });
        Ok(EntryPage { entries, next })
    }

    fn tree(&self, section: Section) -> &Tree {
        match section {
            Section::Topology => &self.topology,
            Section::Indexes => &self.indexes,
            Section::Tasks => &self.tasks,
            Section::Records => &self.records,
            Section::Log => &self.log,
        }
    }

    fn entry(
        &self,
        section: Section,
        key: &[u8],
        value: &[u8],
        bytes: &mut usize,
    ) -> Result<Entry, StoreError> {
        Ok(match section {
            Section::Topology => {
                let Versioned { version, value } = decode(value)?;
                Entry::Topology { version, value }
            }
            Section::Indexes => Entry::Index(Box::new(decode(value)?)),
            Section::Tasks => Entry::Task(Box::new(decode(value)?)),
            Section::Records => {
                let (table, key) = named(key);
                let Revised { revision, value } = decode(value)?;
                Entry::Record { table, key, revision, value }
            }
            Section::Log => {
                let (log, rest) = named(&key[..key.len().saturating_sub(9)]);
                let (sequence, header, body) = self.log_entry(key, value)?;
                *bytes += body.len();
                Entry::Log { log, stream: rest, sequence, header, body: Body::of(&body) }
            }
        })
    }

    pub(super) fn load(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.dirty = true;
        for entry in entries {
            match entry {
                Entry::Topology { version, value } => {
                    put(&self.topology, TOPOLOGY_KEY, &Versioned { version, value })?;
                }
                Entry::Index(index) => put(&self.indexes, &index.uid, &index)?,
                Entry::Task(task) => {
                    put(&self.tasks, task.uid.to_be_bytes(), &task)?;
                    self.task_index.insert(&task);
                    self.task_uid_next = self.task_uid_next.max(task.uid.saturating_add(1));
                }
                Entry::Record { table, key, revision, value } => {
                    let key = [table.as_bytes(), &[0], key.as_bytes()].concat();
                    put(&self.records, key, &Revised { revision, value })?;
                    self.idempotency_key_count += u64::from(table == IDEMPOTENCY_KEYS.name());
                }
                Entry::Log { log, stream, sequence, header, body } => {
                    let body = body.bytes().unwrap_or_else(Bytes::new);
                    self.put_entry((&log, &stream), sequence, &header, &body)?;
                }
                Entry::Counters { task_uid_next, revision_next } => {
                    self.task_uid_next = self.task_uid_next.max(task_uid_next);
                    self.revision_next = self.revision_next.max(revision_next);
                    self.revisions_reserved = self.revisions_reserved.max(self.revision_next);
                    put(&self.meta, META_TASK_UID_NEXT, &self.task_uid_next)?;
                    put(&self.meta, META_REVISIONS_RESERVED, &self.revisions_reserved)?;
                }
            }
        }
        Ok(())
    }
}

/// Splits a key at its first zero byte.
fn named(key: &[u8]) -> (String, String) {
    let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&key[..end]), text(key.get(end + 1..).unwrap_or_default()))
}

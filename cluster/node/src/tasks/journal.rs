//! What must survive a killed process: tasks, the index table and features, in one append-only file.
//! Invariants: a record is one JSON line, followed by the payload's bytes if it gives a length. Later records win.
//! `append` returns after the bytes are on disk (unless syncing is off). A record truncated at the end of the file was
//! never acknowledged and is removed. Opening rewrites the file without superseded records.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Task;

/// The journal is rewritten once it is this large and has doubled since the last rewrite.
const REWRITE_BYTES_MIN: u64 = 256 << 20;
/// A larger payload gets a file of its own, so that the journal stays small.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The directory name of each index uid.
pub(crate) type IndexTable = BTreeMap<String, String>;

/// The state that results from all records.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) tasks: BTreeMap<u32, Task>,
    pub(crate) indexes: IndexTable,
    pub(crate) features: Value,
    /// The greatest task and batch uid ever given, so that uids of deleted tasks are not reused.
    pub(crate) last_uid: Option<u32>,
    pub(crate) last_batch: Option<u32>,
}

/// One change; absent fields leave the state unchanged.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tasks: Vec<Task>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deleted: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) indexes: Option<IndexTable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) features: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<(Option<u32>, Option<u32>)>,
    /// The size of the payload behind this line, which belongs to the record's only task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload_bytes: Option<u64>,
}

/// The offset and length of each unfinished task's payload in the file.
type Inline = BTreeMap<u32, (u64, u64)>;

#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    file: File,
    length: u64,
    rewritten_length: u64,
    sync: bool,
    inline: Inline,
}

impl Journal {
    /// Opens or creates the journal in `directory`; with `sync` off, a crash of the machine may lose tasks.
    pub(crate) fn open(directory: &Path, sync: bool) -> std::io::Result<(Self, Durable)> {
        std::fs::create_dir_all(directory.join("payloads"))?;
        let path = directory.join("journal");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let (durable, inline, length) = replay(&file)?;
        file.set_len(length)?;
        let mut journal =
            Self { directory: directory.to_owned(), file, length, rewritten_length: 0, sync, inline };
        journal.rewrite(&durable)?;
        journal.sweep(&durable)?;
        Ok((journal, durable))
    }

    /// Appends records with one write and one sync. A payload belongs to its record's only task.
    pub(crate) fn append(&mut self, records: Vec<(Record, Option<Bytes>)>) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        for (record, payload) in records {
            self.encode(record, payload.as_deref(), &mut buffer)?;
        }
        self.file.write_all(&buffer)?;
        self.length += buffer.len() as u64;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The payload of an unfinished task.
    pub(crate) fn payload(&self, uid: u32) -> std::io::Result<Vec<u8>> {
        let Some((offset, length)) = self.inline.get(&uid) else {
            return std::fs::read(self.payload_path(uid));
        };
        let mut payload = vec![0; usize::try_from(*length).map_err(std::io::Error::other)?];
        self.file.read_exact_at(&mut payload, *offset)?;
        Ok(payload)
    }

    /// Copies the journal and its payloads into another directory, to be opened there later.
    pub(crate) fn copy_to(&self, directory: &Path) -> std::io::Result<()> {
        let payloads = directory.join("payloads");
        std::fs::create_dir_all(&payloads)?;
        std::fs::copy(self.directory.join("journal"), directory.join("journal"))?;
        for payload in std::fs::read_dir(self.directory.join("payloads"))? {
            let payload = payload?;
            std::fs::copy(payload.path(), payloads.join(payload.file_name()))?;
        }
        Ok(())
    }

    /// Deletes the payload of a finished task.
    pub(crate) fn release(&mut self, uid: u32) -> std::io::Result<()> {
        if self.inline.remove(&uid).is_some() {
            return Ok(());
        }
        match std::fs::remove_file(self.payload_path(uid)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether most of the file is superseded.
    pub(crate) fn wants_rewrite(&self) -> bool {
        self.length > REWRITE_BYTES_MIN && self.length > 2 * self.rewritten_length
    }

    /// Writes only the current state into a new file, which replaces the old one.
    pub(crate) fn rewrite(&mut self, durable: &Durable) -> std::io::Result<()> {
        let path = self.directory.join("journal.new");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        file.set_len(0)?;
        let mut fresh = Self {
            directory: self.directory.clone(),
            file,
            length: 0,
            rewritten_length: 0,
            sync: false,
            inline: Inline::new(),
        };
        let head = Record {
            indexes: Some(durable.indexes.clone()),
            features: Some(durable.features.clone()),
            last: Some((durable.last_uid, durable.last_batch)),
            ..Record::default()
        };
        fresh.append(vec![(head, None)])?;
        let mut finished = Vec::new();
        for task in durable.tasks.values() {
            if self.inline.contains_key(&task.uid) {
                let payload = Bytes::from(self.payload(task.uid)?);
                let record = Record { tasks: vec![task.clone()], ..Record::default() };
                fresh.append(vec![(record, Some(payload))])?;
            } else {
                finished.push(task.clone());
            }
            if finished.len() == 1024 {
                let record = Record { tasks: std::mem::take(&mut finished), ..Record::default() };
                fresh.append(vec![(record, None)])?;
            }
        }
        fresh.append(vec![(Record { tasks: finished, ..Record::default() }, None)])?;
        fresh.file.sync_data()?;
        std::fs::rename(&path, self.directory.join("journal"))?;
        File::open(&self.directory)?.sync_data()?;
        fresh.rewritten_length = fresh.length;
        fresh.sync = self.sync;
        *self = fresh;
        Ok(())
    }

    fn encode(
        &mut self,
        mut record: Record,
        payload: Option<&[u8]>,
        buffer: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let inline = payload.filter(|payload| payload.len() <= INLINE_BYTES_MAX);
        record.payload_bytes = inline.map(|payload| payload.len() as u64);
        serde_json::to_writer(&mut *buffer, &record)?;
        buffer.push(b'\n');
        let Some(payload) = payload else { return Ok(()) };
        let uid = record.tasks[0].uid;
        if let Some(inline) = inline {
            self.inline.insert(uid, (self.length + buffer.len() as u64, inline.len() as u64));
            buffer.extend_from_slice(inline);
            buffer.push(b'\n');
        } else {
            // The file has to be complete before the record that refers to it is written.
            let mut file = File::create(self.payload_path(uid))?;
            file.write_all(payload)?;
            if self.sync {
                file.sync_data()?;
            }
        }
        Ok(())
    }

    fn payload_path(&self, uid: u32) -> PathBuf {
        self.directory.join("payloads").join(uid.to_string())
    }

    /// Deletes payload files whose task is finished or was never registered.
    fn sweep(&self, durable: &Durable) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.directory.join("payloads"))? {
            let entry = entry?;
            let uid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let task = uid.and_then(|uid| durable.tasks.get(&uid));
            if task.is_none_or(|task| task.finished_at.is_some()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Combines the records into the state. Also returns the places of unfinished inline payloads and the end of the intact
/// part.
fn replay(file: &File) -> std::io::Result<(Durable, Inline, u64)> {
    let mut reader = BufReader::new(file);
    let (mut durable, mut inline, mut good) = (Durable::default(), Inline::new(), 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            break;
        }
        let Ok(record) = serde_json::from_slice::<Record>(&line) else { break };
        let mut end = good + read;
        if let (Some(length), Some(task)) = (record.payload_bytes, record.tasks.first()) {
            inline.insert(task.uid, (end, length));
            let skipped = std::io::copy(&mut (&mut reader).take(length + 1), &mut std::io::sink())?;
            if skipped != length + 1 {
                inline.remove(&task.uid);
                break;
            }
            end += length + 1;
        }
        durable.apply(record, &mut inline);
        good = end;
    }
    Ok((durable, inline, good))
}

impl Durable {
    fn apply(&mut self, record: Record, inline: &mut Inline) {
        if let Some((uid, batch)) = record.last {
            self.last_uid = self.last_uid.max(uid);
            self.last_batch = self.last_batch.max(batch);
        }
        for task in record.tasks {
            if task.finished_at.is_some() {
                inline.remove(&task.uid);
            }
            self.last_uid = self.last_uid.max(Some(task.uid));
            self.last_batch = self.last_batch.max(task.batch_uid);
            self.tasks.insert(task.uid, task);
        }
        for uid in record.deleted {
            self.tasks.remove(&uid);
            inline.remove(&uid);
        }
        if let Some(indexes) = record.indexes {
            self.indexes = indexes;
        }
        if let Some(features) = record.features {
            self.features = features;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Status, Work};
    use super::*;

    fn task(uid: u32, payload: usize) -> (Record, Option<Bytes>) {
        let work = Work::DocumentAddition { update: false, primary_key: None, documents: 1 };
        let task = Task {
            uid,
            batch_uid: None,
            index_uid: Some("movies".into()),
            status: Status::Enqueued,
            details: work.details(),
            work,
            canceled_by: None,
            error: None,
            enqueued_at: time::OffsetDateTime::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
            dropped: false,
        };
        (Record { tasks: vec![task], ..Record::default() }, Some(Bytes::from(vec![b'\n'; payload])))
    }

    #[test]
    fn a_cut_tail_is_forgotten_and_the_rest_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path(), false).unwrap();
        journal.append(vec![task(0, 10), task(1, INLINE_BYTES_MAX + 1), task(2, 3000)]).unwrap();
        let whole = journal.length;
        drop(journal);
        for cut in [1, 2999, 3001, 3010] {
            let copy = tempfile::tempdir().unwrap();
            std::fs::create_dir(copy.path().join("payloads")).unwrap();
            for name in ["journal", "payloads/1"] {
                std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
            }
            let file = OpenOptions::new().write(true).open(copy.path().join("journal")).unwrap();
            file.set_len(whole - cut).unwrap();
            let (journal, durable) = Journal::open(copy.path(), false).unwrap();
            assert_eq!(durable.tasks.keys().copied().collect::<Vec<_>>(), [0, 1], "cut {cut}");
            assert_eq!(journal.payload(0).unwrap(), vec![b'\n'; 10]);
            assert_eq!(journal.payload(1).unwrap(), vec![b'\n'; INLINE_BYTES_MAX + 1]);
        }
    }

    #[test]
    fn rewriting_keeps_payloads_and_the_last_uid() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path(), false).unwrap();
        journal.append(vec![task(0, 10), task(1, 20), task(2, 30)]).unwrap();
        journal.append(vec![(Record { deleted: vec![2], ..Record::default() }, None)]).unwrap();
        drop(journal);
        for _ in 0..2 {
            let (journal, durable) = Journal::open(directory.path(), true).unwrap();
            assert_eq!(durable.tasks.len(), 2);
            assert_eq!(durable.last_uid, Some(2));
            assert_eq!(journal.payload(1).unwrap(), vec![b'\n'; 20]);
        }
    }
}

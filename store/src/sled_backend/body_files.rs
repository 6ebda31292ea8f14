//! Long bodies of log entries: one file each, named by the entry's sequence.
//! - A file is written before its entry and synced in the same sync, so no entry lacks its body.
//! - A file is deleted after the sync that deleted its entry. Opening the store deletes the files that a crash left.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(super) struct Bodies {
    directory: PathBuf,
    changes: FileChanges,
}

/// The file operations that belong to one sync.
#[derive(Default)]
pub(super) struct FileChanges {
    written: Vec<File>,
    /// The directory, when it has new names to sync.
    directory: Option<PathBuf>,
    doomed: Vec<PathBuf>,
}

impl Bodies {
    pub(super) fn open(directory: PathBuf) -> io::Result<Bodies> {
        fs::create_dir_all(&directory)?;
        Ok(Bodies { directory, changes: FileChanges::default() })
    }

    /// Deletes the files that belong to no entry.
    pub(super) fn sweep(&self, is_known: impl Fn(u64) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let sequence = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if !sequence.is_some_and(&is_known) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, sequence: u64, body: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.path(sequence))?;
        file.write_all(body)?;
        self.changes.written.push(file);
        self.changes.directory = Some(self.directory.clone());
        Ok(())
    }

    pub(super) fn read(&self, sequence: u64) -> io::Result<Vec<u8>> {
        fs::read(self.path(sequence))
    }

    /// Schedules a file for deletion after the next sync.
    pub(super) fn delete(&mut self, sequence: u64) {
        self.changes.doomed.push(self.path(sequence));
    }

    pub(super) fn take_changes(&mut self) -> FileChanges {
        std::mem::take(&mut self.changes)
    }

    fn path(&self, sequence: u64) -> PathBuf {
        self.directory.join(sequence.to_string())
    }
}

impl FileChanges {
    /// Makes the written files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        for file in &self.written {
            file.sync_data()?;
        }
        self.directory.as_deref().map_or(Ok(()), |directory: &Path| File::open(directory)?.sync_all())
    }

    /// Deletes the files whose entries are gone.
    pub(super) fn delete(self) {
        for path in self.doomed {
            // A file that cannot be deleted is swept at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

//! The embedded backend: sled in one directory, owned by one process.
//! - The process holds `lock` while the store is open. `format` names the version of everything else and is read before
//!   sled touches a file. `sled/` holds the data, `bodies/` the long bodies of logs.
//! - A directory with other content is refused and not changed.
//! - The `meta` tree repeats the version, so a lost `sled/` is noticed instead of starting empty.

pub(crate) mod body_files;
pub(crate) mod codec;
pub mod memory;
pub(crate) mod tables;
pub(crate) mod tree;
pub(crate) mod worker;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::handle::{Store, StoreThread, connect};
use crate::limits::{LOCK_INTERVAL, LOCK_WAIT_MAX, SLED_CACHE_BYTES, SLED_DESCRIPTORS_MIN};
use crate::sled_backend::body_files::Bodies;
use crate::{Clock, OpenError, StoreError};
use tables::Tables;
use tree::Ground;

const FORMAT_VERSION: u32 = 1;
const FORMAT_PREFIX: &str = "miroir store format ";

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
const FORMAT_FILE_NEW: &str = "format.new";
const SLED_DIRECTORY: &str = "sled";
const BODIES_DIRECTORY: &str = "bodies";

/// Records per leaf, the unit that a sync writes. sled fixes the number when a database is made.
const LEAF_FANOUT: usize = 128;

type Database = sled::Db<LEAF_FANOUT>;

/// Opens the store in the directory `path`, or creates it, and starts its thread. Blocks while recovery reads every
/// task once.
///
/// # Errors
/// Any [`OpenError`] but `Server`.
pub fn open_sled(path: &Path) -> Result<(Store, StoreThread), OpenError> {
    open_sled_with_clock(path, Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// Tells whether the store in the directory `path` is one that this version can open. Changes nothing, and does not care
/// whether another process has it open.
///
/// # Errors
/// `NewerVersion`, `Corrupt`, `NotADirectory` or `Io`.
pub fn inspect_sled(path: &Path) -> Result<(), OpenError> {
    Site { path }.inspect().map(drop)
}

/// Like [`open_sled`], with a clock that decides when leases, claims and counters end.
///
/// # Errors
/// Any [`OpenError`] but `Server`.
pub fn open_sled_with_clock(path: &Path, clock: Clock) -> Result<(Store, StoreThread), OpenError> {
    let site = Site { path };
    let version = site.inspect()?;
    let lock = site.lock()?;
    site.check_descriptors()?;
    let database = site.open_database()?;
    let bodies = Bodies::open(path.join(BODIES_DIRECTORY)).map_err(|source| site.io(source))?;
    let tables =
        site.read(|| Tables::open(Ground::Disk(&database), Some(bodies), clock, version.is_some()))?;
    if version.is_none() {
        site.write_version().map_err(|source| site.io(source))?;
    }
    let (store, inbox, stop) = connect();
    let thread = worker::spawn(database, tables, inbox, lock).map_err(|source| site.io(source))?;
    Ok((store, StoreThread::new(stop, thread)))
}

/// Why the tables inside an open database were refused.
enum Refusal {
    Corrupt(String),
    NewerVersion(u32),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Corrupt(error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Corrupt(first_line(&error.to_string()))
    }
}

/// The directory of the store; adds its path to every error.
struct Site<'path> {
    path: &'path Path,
}

impl Site<'_> {
    /// The format version found, `None` where no store has been made yet. Writes nothing.
    fn inspect(&self) -> Result<Option<u32>, OpenError> {
        match fs::metadata(self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(OpenError::NotADirectory { path: self.path.to_owned() });
            }
            Ok(_) => {}
        }
        let text = match fs::read(self.path.join(FORMAT_FILE)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.inspect_unmarked(),
            Err(error) => return Err(self.io(error)),
        };
        let version = text.strip_prefix(FORMAT_PREFIX).and_then(|version| version.trim_end().parse().ok());
        match version {
            None => Err(self.corrupt(format!("the file `{FORMAT_FILE}` is not readable"))),
            Some(found) if found > FORMAT_VERSION => Err(self.newer(found)),
            Some(_) if !self.path.join(SLED_DIRECTORY).is_dir() => {
                Err(self.corrupt(format!("the directory `{SLED_DIRECTORY}` is missing")))
            }
            Some(found) => Ok(Some(found)),
        }
    }

    /// Judges a directory without a format file: it is empty, or left by a first start of ours that was cut short, or
    /// foreign.
    fn inspect_unmarked(&self) -> Result<Option<u32>, OpenError> {
        for entry in fs::read_dir(self.path).map_err(|source| self.io(source))? {
            let name = entry.map_err(|source| self.io(source))?.file_name();
            let own = [LOCK_FILE, FORMAT_FILE_NEW, SLED_DIRECTORY, BODIES_DIRECTORY];
            if !own.map(OsStr::new).contains(&name.as_os_str()) {
                return Err(self.corrupt(format!("it holds `{}` and no store", name.to_string_lossy())));
            }
        }
        Ok(None)
    }

    fn lock(&self) -> Result<File, OpenError> {
        fs::create_dir_all(self.path).map_err(|source| self.io(source))?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.path.join(LOCK_FILE));
        let lock = lock.map_err(|source| self.io(source))?;
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                // An ending process releases the lock shortly, and so does a forked child once it runs its own program.
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_INTERVAL),
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::Locked { path: self.path.to_owned() });
                }
                Err(TryLockError::Error(source)) => return Err(self.io(source)),
            }
        }
    }

    /// Holds as many descriptors at once as the database needs. When sled runs out of them half-way, its errors and
    /// panics cannot be told from those of damage.
    fn check_descriptors(&self) -> Result<(), OpenError> {
        let held = (0..SLED_DESCRIPTORS_MIN).map(|_| File::open(self.path)).collect::<io::Result<Vec<_>>>();
        held.map(drop).map_err(|source| self.io(source))
    }

    fn open_database(&self) -> Result<Database, OpenError> {
        let config = sled::Config::new()
            .path(self.path.join(SLED_DIRECTORY))
            // Without an interval sled syncs whenever a handle of a tree is dropped, also that in an iterator: what a
            // commit reads would sync the half of it that has been written. No clock reaches this one.
            .flush_every_ms(Some(usize::MAX))
            .cache_capacity_bytes(SLED_CACHE_BYTES);
        self.read(|| {
            verify(&config)?;
            Ok(config.open()?)
        })
    }

    /// Reports a panic as `Corrupt`, because sled answers some kinds of damage with a panic.
    fn read<T>(&self, act: impl FnOnce() -> Result<T, Refusal>) -> Result<T, OpenError> {
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Refusal::Corrupt(reason))) => Err(self.corrupt(reason)),
            Ok(Err(Refusal::NewerVersion(found))) => Err(self.newer(found)),
            Err(_) => Err(self.corrupt("its files contradict each other".to_owned())),
        }
    }

    /// The last step of making a store: the rename is atomic.
    fn write_version(&self) -> io::Result<()> {
        let fresh = self.path.join(FORMAT_FILE_NEW);
        let mut file = File::create(&fresh)?;
        writeln!(file, "{FORMAT_PREFIX}{FORMAT_VERSION}")?;
        file.sync_all()?;
        fs::rename(&fresh, self.path.join(FORMAT_FILE))?;
        File::open(self.path)?.sync_all()?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn io(&self, source: io::Error) -> OpenError {
        OpenError::Io { path: self.owned(), source }
    }

    fn corrupt(&self, reason: String) -> OpenError {
        OpenError::Corrupt { path: self.owned(), reason }
    }

    fn newer(&self, found: u32) -> OpenError {
        OpenError::NewerVersion { path: self.owned(), found, known: FORMAT_VERSION }
    }

    fn owned(&self) -> PathBuf {
        self.path.to_owned()
    }
}

/// Reads every stored object once, which verifies its checksum. Without this, opening a damaged database hangs: sled
/// panics half-way and then waits for a thread that it never started.
fn verify(config: &sled::Config) -> Result<(), Refusal> {
    let recovery = sled::Heap::recover(LEAF_FANOUT, config)?;
    for object in &recovery.recovered_nodes {
        match recovery.heap.read(object.object_id) {
            Some(Ok(_bytes)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Refusal::Corrupt("an object has no place on disk".to_owned())),
        }
    }
    Ok(())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

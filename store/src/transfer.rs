//! Moving a whole store into a file and from there into another store, on any backend.
//!
//! - A file is lines of JSON: the first names the format, then one line for each entry, then one with the number of
//!   entries. A file without that last line was cut short.
//! - A store with live leases is neither exported nor imported into, and only an empty store is imported into. An
//!   import reads the whole file before it stores anything.
//! - Revisions, sequences and uids stay the same, and none of them is given out again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{IndexRecord, Store, StoreError, Table, TaskRecord};

/// The name in the first line of a file.
const NAME: &str = "miroir store export";
const FORMAT: u32 = 1;
/// Entries that one write loads, and the bytes of bodies after which that write ends.
const LOADED_TOGETHER: usize = 256;
const LOADED_BYTES: usize = 4 << 20;

/// One entry of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    Topology {
        version: u64,
        value: Value,
    },
    Index(Box<IndexRecord>),
    Task(Box<TaskRecord>),
    Record {
        table: String,
        key: String,
        revision: u64,
        value: Value,
    },
    Log {
        log: String,
        stream: String,
        sequence: u64,
        header: Value,
        body: Body,
    },
    /// Uids and revisions from these on have not been given out.
    Counters {
        task_uid_next: u32,
        revision_next: u64,
    },
}

/// The body of a log entry, as text if it is UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    Text(String),
    Hex(String),
}

/// The position after a page. Only the backend that made it can interpret it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub(crate) section: u8,
    pub(crate) key: Vec<u8>,
}

/// A page of entries, and where the next page begins; `None` after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    pub entries: Vec<Entry>,
    pub next: Option<Mark>,
}

/// Why nothing was exported or imported, in one line.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Pods hold leases in the store.
    #[error("the store is in use by {0}; stop its pods first")]
    InUse(String),
    /// The target store is not empty.
    #[error("the store holds something already; allowed: an empty one")]
    NotEmpty,
    /// A line of the file is not valid; nothing was stored.
    #[error("line {line}: {reason}")]
    File { line: u64, reason: String },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Body {
    pub(crate) fn of(bytes: &[u8]) -> Body {
        match std::str::from_utf8(bytes) {
            Ok(text) => Body::Text(text.to_owned()),
            Err(_) => Body::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// `None` when it is not hexadecimal.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match self {
            Body::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            Body::Hex(hex) if hex.len().is_multiple_of(2) => {
                let pairs = hex.as_bytes().chunks(2);
                pairs.map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect::<Option<Vec<u8>>>()
            }
            .map(Bytes::from),
            Body::Hex(_) => None,
        }
    }

    fn length(&self) -> usize {
        match self {
            Body::Text(text) | Body::Hex(text) => text.len(),
        }
    }
}

impl Entry {
    /// What is invalid about the entry, if anything is.
    fn fault(&self) -> Option<&'static str> {
        match self {
            Entry::Record { table, .. } if !Table::is_name(table) => Some("there is no such table"),
            Entry::Log { log, .. } if !Table::is_name(log) => Some("there is no such log"),
            Entry::Log { stream, .. } if stream.contains('\0') => Some("there is no such stream"),
            Entry::Log { body, .. } if body.bytes().is_none() => Some("its body is no hex"),
            Entry::Topology { .. }
            | Entry::Index(_)
            | Entry::Task(_)
            | Entry::Record { .. }
            | Entry::Log { .. }
            | Entry::Counters { .. } => None,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Entry::Log { body, .. } => body.length(),
            Entry::Topology { .. }
            | Entry::Index(_)
            | Entry::Task(_)
            | Entry::Record { .. }
            | Entry::Counters { .. } => 0,
        }
    }
}

/// The first line of a file, with its line break.
#[must_use]
pub fn first_line() -> Vec<u8> {
    format!("{}\n", json!({"file": NAME, "format": FORMAT})).into_bytes()
}

/// The last line of a file with so many entries, with its line break.
#[must_use]
pub fn last_line(entries: u64) -> Vec<u8> {
    format!("{}\n", json!({"entries": entries})).into_bytes()
}

/// A page of the entries of a store that may be in use: their lines, how many they are, and where the next page
/// begins. Pages of a store that changes are of different moments.
///
/// # Errors
/// A read of the store failed.
pub async fn page(store: &Store, after: Option<Mark>) -> Result<(Vec<u8>, u64, Option<Mark>), TransferError> {
    let page = store.stored(after).await?;
    let mut lines = Vec::new();
    for entry in &page.entries {
        serde_json::to_writer(&mut lines, entry).map_err(io::Error::from)?;
        lines.push(b'\n');
    }
    Ok((lines, page.entries.len() as u64, page.next))
}

/// Writes all entries of a store to `out` and returns how many there are.
///
/// # Errors
/// `InUse`: pods hold leases in the store. `Io`: `out` failed. `Store`: a read of the store failed.
pub async fn export(store: &Store, out: &mut dyn Write) -> Result<u64, TransferError> {
    refuse_used(store).await?;
    out.write_all(&first_line())?;
    let (mut count, mut after) = (0_u64, None);
    loop {
        let (lines, entries, next) = page(store, after).await?;
        out.write_all(&lines)?;
        count += entries;
        after = next;
        if after.is_none() {
            break;
        }
    }
    out.write_all(&last_line(count))?;
    out.flush()?;
    Ok(count)
}

/// Fills an empty store from a file and returns the number of entries.
///
/// # Errors
/// `InUse`: pods hold leases in the store. `NotEmpty`: it holds entries already. `File`, `Io`: the file is not valid or
/// cannot be read. Nothing is stored in these cases. `Store`: a write failed; the half-filled store has to be
/// discarded.
pub async fn import(store: &Store, file: &Path) -> Result<u64, TransferError> {
    refuse_used(store).await?;
    let mut after = None;
    loop {
        let page = store.stored(after).await?;
        if page.entries.iter().any(|entry| !matches!(entry, Entry::Counters { .. })) {
            return Err(TransferError::NotEmpty);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for entry in Lines::open(file)? {
        entry?;
    }
    let (mut count, mut weight, mut group) = (0, 0, Vec::new());
    for entry in Lines::open(file)? {
        let entry = entry?;
        weight += entry.weight();
        group.push(entry);
        count += 1;
        if group.len() == LOADED_TOGETHER || weight > LOADED_BYTES {
            store.load(std::mem::take(&mut group)).await?;
            weight = 0;
        }
    }
    store.load(group).await?;
    Ok(count)
}

async fn refuse_used(store: &Store) -> Result<(), TransferError> {
    let holders: Vec<String> = store.leases("").await?.into_iter().map(|lease| lease.holder).collect();
    if holders.is_empty() { Ok(()) } else { Err(TransferError::InUse(holders.join(", "))) }
}

/// The entries of a file, each validated. Iteration fails unless the last one is followed by the right count.
struct Lines {
    lines: io::Lines<BufReader<File>>,
    line: u64,
    is_over: bool,
}

#[derive(Deserialize)]
struct End {
    entries: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Lines, TransferError> {
        let mut lines = BufReader::new(File::open(file)?).lines();
        let first: Value =
            lines.next().transpose()?.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_default();
        let wrong = |reason: String| Err(TransferError::File { line: 1, reason });
        if first["file"] != NAME {
            return wrong("this is no export of a store".to_owned());
        }
        match first["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => Ok(Lines { lines, line: 1, is_over: false }),
            Some(format) => wrong(format!("format {format}; this build reads formats up to {FORMAT}")),
            None => wrong("it has no format".to_owned()),
        }
    }

    fn entry(&mut self) -> Result<Option<Entry>, TransferError> {
        let before = self.line - 1;
        self.line += 1;
        let line = self.line;
        let wrong = |reason: String| TransferError::File { line, reason };
        let Some(text) = self.lines.next().transpose()? else {
            return Err(wrong("the file was cut short".to_owned()));
        };
        if let Ok(End { entries }) = serde_json::from_str(&text) {
            if entries != before || self.lines.next().is_some() {
                return Err(wrong(format!("{entries} things should come before this, and nothing after")));
            }
            return Ok(None);
        }
        let entry: Entry = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        entry.fault().map_or(Ok(Some(entry)), |fault| Err(wrong(fault.to_owned())))
    }
}

impl Iterator for Lines {
    type Item = Result<Entry, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let entry = self.entry().transpose();
        self.is_over = !matches!(entry, Some(Ok(_)));
        entry
    }
}

//! Reads the archive of a dump part by part, whoever has written it.
//!
//! Invariants: nothing is unpacked, and of the names in an archive only those are looked at that a dump has. Memory is
//! bounded by a line, a small file and a batch, whatever the archive says of itself. An archive that is cut or damaged
//! is an error, never a shorter dump.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::PathBuf,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};
use tokio::sync::mpsc;

use crate::{config::limits, dump::older};

/// A part of a dump.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// What the dump says of itself.
    Metadata(Value),
    /// A key of the API.
    Key(Value),
    /// The index whose files are in a folder with another name, as older dumps have it.
    Name { folder: String, uid: String },
    /// An index, and its primary key if it has one.
    Index { uid: String, primary_key: Option<String> },
    /// The settings of an index.
    Settings { uid: String, settings: Value },
    /// Whole lines, each a document.
    Documents { uid: String, lines: Bytes, count: usize },
    /// An index has no more documents.
    End { uid: String },
}

impl Part {
    /// The part under its index's name, where folders have other ones.
    fn renamed(mut self, names: &BTreeMap<String, String>) -> Self {
        let of_index = match &mut self {
            Self::Index { uid, .. }
            | Self::Settings { uid, .. }
            | Self::Documents { uid, .. }
            | Self::End { uid } => Some(uid),
            Self::Metadata(_) | Self::Key(_) | Self::Name { .. } => None,
        };
        if let Some(uid) = of_index
            && let Some(name) = names.get(uid)
        {
            uid.clone_from(name);
        }
        self
    }
}

/// Gives the parts of an archive in its own order, until it ends or `take` wants no more and gives `false`. Indexes of
/// which `is_read` says no come without documents. Of an older dump, an index is called as its folder is.
///
/// # Errors
/// An archive that is cut, damaged, over a bound or no dump; whatever `take` fails with.
pub fn read_parts(
    input: impl Read,
    is_read: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(Part) -> io::Result<bool>,
) -> io::Result<()> {
    let mut archive = Archive::new(GzDecoder::new(input));
    for (number, entry) in archive.entries()?.enumerate() {
        if number >= limits::DUMP_ENTRIES_MAX {
            return Err(wrong(format!("it has more than {} files", limits::DUMP_ENTRIES_MAX)));
        }
        let mut entry = entry?;
        let Some(path) = name_of(&entry)? else { continue };
        let goes_on = match path.as_str() {
            "metadata.json" => take(Part::Metadata(small(entry, &path)?))?,
            "keys.jsonl" | "keys" => {
                read_lines(entry, &path, "key", &|line| Ok(older::key(line).map(Part::Key)), take)?
            }
            "index_uuids/data.jsonl" => {
                let named = |line: Value| match older::name(&line) {
                    Some((folder, uid)) => Ok(Some(Part::Name { folder, uid })),
                    None => Err("it has no `uid` and `index_meta.uuid`".to_owned()),
                };
                read_lines(entry, &path, "name of an index", &named, take)?
            }
            other => match other.strip_prefix("indexes/").and_then(|rest| rest.split_once('/')) {
                Some((uid, file)) => read_of_index(entry, &path, uid, file, is_read, take)?,
                None => {
                    skip(&mut entry, &path)?;
                    true
                }
            },
        };
        if !goes_on {
            return Ok(());
        }
    }
    // The end of the compressed text has the sum that shows damage.
    let mut rest = archive.into_inner().take(limits::DUMP_TAIL_BYTES_MAX);
    io::copy(&mut rest, &mut io::sink())?;
    match rest.limit() {
        0 => Err(wrong("something follows its last file".to_owned())),
        _ => Ok(()),
    }
}

/// Reads a file on a thread of its own, all documents or none; memory is bounded by the parts that wait. `names` are
/// those of folders that are not called as their indexes. The last part is an error when the file cannot be read to its end. The thread ends when the parts are dropped.
///
/// # Errors
/// When no thread can be started.
pub fn on_thread(
    file: PathBuf,
    has_documents: bool,
    names: BTreeMap<String, String>,
) -> io::Result<mpsc::Receiver<io::Result<Part>>> {
    let (parts, outbox) = mpsc::channel(limits::BACKUP_PARTS_WAITING_MAX);
    std::thread::Builder::new().name("dump-reader".to_owned()).spawn(move || {
        let read = File::open(&file).and_then(|file| {
            let take = &mut |part: Part| Ok(parts.blocking_send(Ok(part.renamed(&names))).is_ok());
            read_parts(BufReader::new(file), &|_| has_documents, take)
        });
        if let Err(error) = read {
            // Nobody may wait any more.
            let _ = parts.blocking_send(Err(error));
        }
    })?;
    Ok(outbox)
}

fn read_of_index<R: Read>(
    mut entry: Entry<'_, R>,
    path: &str,
    uid: &str,
    file: &str,
    is_read: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(Part) -> io::Result<bool>,
) -> io::Result<bool> {
    let uid = uid.to_owned();
    match file {
        "metadata.json" => {
            let value = small(entry, path)?;
            take(Part::Index { uid, primary_key: value["primaryKey"].as_str().map(str::to_owned) })
        }
        "meta.json" => {
            let (primary_key, settings) = older::index(small(entry, path)?);
            Ok(take(Part::Index { uid: uid.clone(), primary_key })?
                && take(Part::Settings { uid, settings })?)
        }
        "settings.json" => take(Part::Settings { uid, settings: small(entry, path)? }),
        "documents.jsonl" if is_read(&uid) => read_documents(entry, &uid, take),
        _ => {
            skip(&mut entry, path)?;
            Ok(true)
        }
    }
}

/// The name of a file of the dump, without `./` in front; `None` for a folder.
fn name_of<R: Read>(entry: &Entry<'_, R>) -> io::Result<Option<String>> {
    let bytes = entry.path_bytes();
    let Ok(path) = std::str::from_utf8(&bytes) else {
        return Err(wrong("it has a file whose name is no text".to_owned()));
    };
    let path = path.trim_start_matches("./");
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(wrong(format!("it has a file {path:?}, which lies outside of it")));
    }
    let kind = entry.header().entry_type();
    // Headers for the whole archive, which some archivers write, say nothing about its files.
    if matches!(kind, EntryType::Directory | EntryType::XGlobalHeader) {
        return Ok(None);
    }
    match matches!(kind, EntryType::Regular | EntryType::Continuous) {
        true => Ok(Some(path.to_owned())),
        false => Err(wrong(format!("{path:?} is neither a file nor a folder"))),
    }
}

/// A file that is one JSON value.
fn small(entry: impl Read, path: &str) -> io::Result<Value> {
    let mut text = Vec::new();
    let read = entry.take(limits::DUMP_FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if read as u64 > limits::DUMP_FILE_BYTES_MAX {
        return Err(wrong(format!("{path} has more than {} bytes", limits::DUMP_FILE_BYTES_MAX)));
    }
    serde_json::from_slice(&text).map_err(|error| wrong(format!("{path} is not as it should be: {error}")))
}

/// Passes over a file that is not needed.
fn skip(entry: &mut impl Read, path: &str) -> io::Result<()> {
    let skipped = io::copy(&mut entry.take(limits::DUMP_SKIPPED_BYTES_MAX), &mut io::sink())?;
    match skipped < limits::DUMP_SKIPPED_BYTES_MAX {
        true => Ok(()),
        false => Err(wrong(format!("{path} has more than {} bytes", limits::DUMP_SKIPPED_BYTES_MAX))),
    }
}

/// Gives each line of a file as the part that it makes, if it makes one.
fn read_lines(
    entry: impl Read,
    path: &str,
    what: &str,
    part_of: &dyn Fn(Value) -> Result<Option<Part>, String>,
    take: &mut dyn FnMut(Part) -> io::Result<bool>,
) -> io::Result<bool> {
    let (mut reader, mut line, mut number) = (BufReader::new(entry), Vec::new(), 0_u64);
    while read_line(&mut reader, &mut line, path, &mut number)? {
        let read = serde_json::from_slice::<Value>(&line).map_err(|error| error.to_string());
        let part = read.and_then(part_of);
        let part = part.map_err(|error| wrong(format!("line {number} of {path} is no {what}: {error}")))?;
        line.clear();
        if let Some(part) = part
            && !take(part)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the documents of an index in bounded batches, and then their end.
fn read_documents(
    entry: impl Read,
    uid: &str,
    take: &mut dyn FnMut(Part) -> io::Result<bool>,
) -> io::Result<bool> {
    let file = format!("indexes/{uid}/documents.jsonl");
    let (mut reader, mut lines, mut number, mut count) = (BufReader::new(entry), Vec::new(), 0_u64, 0);
    loop {
        let has_line = read_line(&mut reader, &mut lines, &file, &mut number)?;
        count += usize::from(has_line);
        let is_full = count >= limits::DOCUMENTS_PER_RESTORE || lines.len() >= limits::BYTES_PER_RESTORE;
        if (is_full || !has_line) && count > 0 {
            let lines = Bytes::from(std::mem::take(&mut lines));
            if !take(Part::Documents { uid: uid.to_owned(), lines, count })? {
                return Ok(false);
            }
            count = 0;
        }
        if !has_line {
            return take(Part::End { uid: uid.to_owned() });
        }
    }
}

/// Appends the next line that is not empty, with its end; `false` after the last. `number` counts lines, for errors.
fn read_line(
    reader: &mut impl BufRead,
    lines: &mut Vec<u8>,
    file: &str,
    number: &mut u64,
) -> io::Result<bool> {
    loop {
        let begun = lines.len();
        let read = reader.by_ref().take(limits::DUMP_LINE_BYTES_MAX + 1).read_until(b'\n', lines)?;
        if read == 0 {
            return Ok(false);
        }
        *number += 1;
        if read as u64 > limits::DUMP_LINE_BYTES_MAX {
            let most = limits::DUMP_LINE_BYTES_MAX;
            return Err(wrong(format!("line {number} of {file} has more than {most} bytes")));
        }
        if lines[begun..].trim_ascii().is_empty() {
            lines.truncate(begun);
            continue;
        }
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        return Ok(true);
    }
}

fn wrong(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;

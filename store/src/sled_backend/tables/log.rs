//! Logs: entries are appended, read in order and deleted from the front.
//! - An entry's key is table, stream and sequence, so a log lies together and in order.
//! - A sequence is a revision of the store: it grows and is never given out twice.
//! - Short bodies are stored in the tree unencoded, long ones in files (`body_files`).

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;

use super::{Tables, failed};
use crate::change_ring::Name;
use crate::limits::{INLINE_BODY_BYTES_MAX, LOG_PAGE_MAX};
use crate::{LogEntry, LogSize, StoreError, Table};

/// The first byte of an entry says where its body is.
const BODY_INLINE: u8 = 1;
const BODY_IN_FILE: u8 = 2;
/// The first byte, the length of the body and the length of the header.
const PREFIX_LENGTH: usize = 1 + 8 + 4;

/// An entry without its body.
struct Stored {
    in_file: bool,
    body_length: u64,
    header: Vec<u8>,
    inline: Vec<u8>,
}

impl Tables {
    pub(super) fn append(
        &mut self,
        log: Table,
        stream: &str,
        header: &Value,
        body: &[u8],
    ) -> Result<u64, StoreError> {
        let sequence = self.next_revision()?;
        self.put_entry((log.name(), stream), sequence, header, body)?;
        Ok(sequence)
    }

    /// Stores an entry under a given sequence.
    pub(super) fn put_entry(
        &mut self,
        (log, stream): (&str, &str),
        sequence: u64,
        header: &Value,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let header = serde_json::to_vec(header).map_err(|error| StoreError::Io(error.to_string()))?;
        let header_length = u32::try_from(header.len()).map_err(|_| StoreError::Full)?;
        let in_file = self.bodies.is_some() && body.len() > INLINE_BODY_BYTES_MAX;
        let inline = if in_file { &[][..] } else { body };
        let mut value = Vec::with_capacity(PREFIX_LENGTH + header.len() + inline.len());
        value.push(if in_file { BODY_IN_FILE } else { BODY_INLINE });
        value.extend_from_slice(&(body.len() as u64).to_be_bytes());
        value.extend_from_slice(&header_length.to_be_bytes());
        value.extend_from_slice(&header);
        value.extend_from_slice(inline);
        if let Some(bodies) = self.bodies.as_mut().filter(|_| in_file) {
            bodies.write(sequence, body).map_err(failed)?;
        }
        self.log.insert(entry_key(log, stream, sequence), value).map_err(failed)?;
        self.names.push(Name::Log { log: log.to_owned(), stream: stream.to_owned() });
        Ok(())
    }

    /// The sequence, header and body of a stored entry.
    pub(super) fn log_entry(&self, key: &[u8], value: &[u8]) -> Result<(u64, Value, Vec<u8>), StoreError> {
        let stored = Stored::parse(value)?;
        let sequence = sequence_of(key);
        let body = match self.bodies.as_ref().filter(|_| stored.in_file) {
            Some(bodies) => bodies.read(sequence).map_err(failed)?,
            None => stored.inline,
        };
        let header = serde_json::from_slice(&stored.header).map_err(|error| damaged(&error.to_string()))?;
        Ok((sequence, header, body))
    }

    pub(super) fn truncate(&mut self, log: Table, stream: &str, through: u64) -> Result<(), StoreError> {
        let range = entry_key(log.name(), stream, 0)..=entry_key(log.name(), stream, through);
        let mut doomed = Vec::new();
        for entry in self.log.range(range) {
            let (key, value) = entry.map_err(failed)?;
            doomed.push((key, Stored::parse(&value)?.in_file));
        }
        if !doomed.is_empty() {
            self.dirty = true;
            self.names.push(Name::Log { log: log.name().to_owned(), stream: stream.to_owned() });
        }
        for (key, in_file) in doomed {
            if let Some(bodies) = self.bodies.as_mut().filter(|_| in_file) {
                bodies.delete(sequence_of(&key));
            }
            self.log.remove(&key).map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn entries(
        &self,
        log: Table,
        stream: &str,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let first = entry_key(log.name(), stream, after.saturating_add(1));
        let range = first..=entry_key(log.name(), stream, u64::MAX);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in self.log.range(range) {
            let (key, value) = entry.map_err(failed)?;
            let stored = Stored::parse(&value)?;
            bytes += usize::try_from(stored.body_length).unwrap_or(usize::MAX);
            if !entries.is_empty() && (bytes > bytes_max || entries.len() == LOG_PAGE_MAX) {
                break;
            }
            let (sequence, header, body) = self.log_entry(&key, &value)?;
            entries.push(LogEntry { sequence, header, body: Bytes::from(body) });
        }
        Ok(entries)
    }

    pub(super) fn log_sizes(&self, log: Table) -> Result<Vec<LogSize>, StoreError> {
        let prefix = [log.name().as_bytes(), &[0]].concat();
        let end = [log.name().as_bytes(), &[0, u8::MAX]].concat();
        let mut sizes: Vec<LogSize> = Vec::new();
        for entry in self.log.range(prefix.clone()..end) {
            let (key, value) = entry.map_err(failed)?;
            let bytes = Stored::parse(&value)?.body_length;
            let stream = String::from_utf8_lossy(&key[prefix.len()..key.len() - 9]);
            match sizes.last_mut().filter(|size| size.stream == stream) {
                Some(size) => (size.entries, size.bytes) = (size.entries + 1, size.bytes + bytes),
                None => sizes.push(LogSize { stream: stream.into_owned(), entries: 1, bytes }),
            }
        }
        Ok(sizes)
    }

    /// Deletes the files whose entries a crash has lost.
    pub(super) fn sweep_bodies(&self) -> Result<(), StoreError> {
        let Some(bodies) = &self.bodies else { return Ok(()) };
        let mut known = BTreeSet::new();
        for entry in self.log.iter() {
            let (key, value) = entry.map_err(failed)?;
            if Stored::parse(&value)?.in_file {
                known.insert(sequence_of(&key));
            }
        }
        bodies.sweep(|sequence| known.contains(&sequence)).map_err(failed)
    }
}

impl Stored {
    fn parse(value: &[u8]) -> Result<Stored, StoreError> {
        let read = || {
            let in_file = match *value.first()? {
                BODY_INLINE => false,
                BODY_IN_FILE => true,
                _ => return None,
            };
            let body_length = u64::from_be_bytes(value.get(1..9)?.try_into().ok()?);
            let header_length = u32::from_be_bytes(value.get(9..PREFIX_LENGTH)?.try_into().ok()?);
            let end = PREFIX_LENGTH.checked_add(usize::try_from(header_length).ok()?)?;
            let header = value.get(PREFIX_LENGTH..end)?.to_vec();
            Some(Stored { in_file, body_length, header, inline: value.get(end..)?.to_vec() })
        };
        read().ok_or_else(|| damaged("its parts are not whole"))
    }
}

fn damaged(reason: &str) -> StoreError {
    StoreError::Io(format!("an entry of a log cannot be read: {reason}"))
}

/// Unambiguous, because neither a table's name nor a stream's has a zero byte.
fn entry_key(log: &str, stream: &str, sequence: u64) -> Vec<u8> {
    [log.as_bytes(), &[0], stream.as_bytes(), &[0], &sequence.to_be_bytes()].concat()
}

fn sequence_of(key: &[u8]) -> u64 {
    let (_, sequence) = key.split_at(key.len().saturating_sub(8));
    sequence.try_into().map_or(0, u64::from_be_bytes)
}

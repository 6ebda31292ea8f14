//! A parsed payload, and the bodies cut from it.
//!
//! Invariants: every document has a valid id and no reserved top-level field. Reserved fields are stamped before the
//! other fields, so that they come back as one slice near the start of each hit. Documents keep their order.

use crate::api::{
    documents::payload::{
        csv::rows_to_json,
        document_id::Identifier,
        engine_fields::{EngineFields, EngineValue},
        error::IngestError,
        format::PayloadFormat,
        json_scan::{EqualKeys, Expiry, Found, Scan},
        malformed::malformed_json,
    },
    search::key_filter::is_plain,
};
use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use router::reserved::{
    EXPIRES_AT_FIELD, SHARD_FIELD, SHARD_MARKER_LENGTH, TIMESTAMP_LENGTH, UPDATED_AT_FIELD, encode_timestamp,
    shard_marker,
};
use router::{ShardSet, shard_of};
use serde::de::Error;
use std::ops::Range;

/// The rules by which a payload is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions<'a> {
    /// The index's primary key, or the request's when the index has none; `None` infers it from the first document.
    pub primary_key: Option<&'a str>,
    /// Whether documents may set `_miroir_expires_at`, that is whether TTL is on.
    pub expiry_allowed: bool,
}

/// A checked payload. It owns the text that its documents are slices of.
#[derive(Debug)]
pub struct ParsedPayload {
    text: String,
    primary_key: Option<String>,
    found: Vec<Found>,
    /// By ascending document.
    expiries: Vec<Expiry>,
    engine_values: Vec<EngineValue>,
}

/// One document of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The string form of its primary key's value.
    pub id: &'a str,
    /// The JSON object as the client wrote it.
    pub raw: &'a str,
}

/// Reads and checks a decoded body.
///
/// # Errors
/// See [`IngestError`]. An unreadable body is reported first, then reserved fields, then problems with ids.
pub fn parse(
    body: Bytes,
    format: PayloadFormat,
    options: ParseOptions<'_>,
) -> Result<ParsedPayload, IngestError> {
    if body.is_empty() {
        return Err(IngestError::MissingPayload { format });
    }
    let text = match format {
        PayloadFormat::Csv { delimiter } => rows_to_json(&body, delimiter)?,
        // A body without other owners is taken over without a copy.
        PayloadFormat::Json | PayloadFormat::Ndjson => String::from_utf8(body.into()).map_err(|error| {
            let fallback = serde_json::Error::custom("invalid unicode code point");
            malformed_json(error.as_bytes(), format, &fallback)
        })?,
    };
    let equal_keys = match format {
        PayloadFormat::Ndjson => EqualKeys::AllCount,
        PayloadFormat::Json | PayloadFormat::Csv { .. } => EqualKeys::LastWins,
    };
    let mut scan = Scan::new(&text, options.primary_key, equal_keys, options.expiry_allowed);
    let read = match format {
        PayloadFormat::Json => scan.read_json(),
        PayloadFormat::Ndjson | PayloadFormat::Csv { .. } => scan.read_ndjson(),
    };
    read.map_err(|error| malformed_json(text.as_bytes(), format, &error))?;
    let Scan { primary_key, found, expiries, engine_values, received, refused, problem, .. } = scan;
    if let Some(refused) = refused {
        return Err(refused);
    }
    if let Some(problem) = problem {
        return Err(IngestError::Task { problem, received });
    }
    Ok(ParsedPayload { text, primary_key, found, expiries, engine_values })
}

impl ParsedPayload {
    /// How many documents the client sent; equal ids count each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The primary key: the given one, or the inferred one.
    #[must_use]
    pub fn primary_key(&self) -> Option<&str> {
        self.primary_key.as_deref()
    }

    /// The earliest expiry of the documents, in milliseconds since the epoch; `None` when none of them expires.
    #[must_use]
    pub fn earliest_expiry(&self) -> Option<u64> {
        self.expiries.iter().map(|expiry| expiry.expires_at).min()
    }

    /// Whether every id is a plain key ([`is_plain`]).
    #[must_use]
    pub fn keys_are_plain(&self) -> bool {
        self.found.iter().all(|found| is_plain(self.id(found)))
    }

    /// Whether documents have fields that only the engine judges.
    #[must_use]
    pub fn has_engine_fields(&self) -> bool {
        !self.engine_values.is_empty()
    }

    /// The values that an engine has to judge, in the documents that count: of equal ids that is the last document
    /// or, where documents are merged, the last value of each field.
    #[must_use]
    pub fn engine_fields(&self, merged: bool) -> EngineFields {
        let mut fields = EngineFields::default();
        let mut last = AHashMap::new();
        if !merged {
            last.extend(self.found.iter().enumerate().map(|(position, found)| (self.id(found), position)));
        }
        let mut seen = AHashSet::new();
        for value in self.engine_values.iter().rev() {
            let id = self.id(&self.found[value.document]);
            let counts = last.get(id).is_none_or(|last| *last == value.document);
            if counts && seen.insert((id, value.field)) {
                fields.add(value.document, value.field, &self.text[value.value.clone()]);
            }
        }
        fields
    }

    /// The JSON array of the documents at these positions, and of those with the same ids, as the client wrote them.
    #[must_use]
    pub fn excerpt(&self, positions: &[usize]) -> String {
        let ids = positions.iter().map(|position| self.id(&self.found[*position])).collect::<AHashSet<_>>();
        let chosen = self.documents().filter(|document| ids.contains(document.id));
        let chosen = chosen.map(|document| document.raw).collect::<Vec<_>>();
        format!("[{}]", chosen.join(","))
    }

    /// The id of the document at a position.
    ///
    /// # Panics
    /// When there are fewer documents.
    #[must_use]
    pub fn id_at(&self, position: usize) -> &str {
        self.id(&self.found[position])
    }

    /// The documents in the client's order.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = Document<'_>> {
        self.found.iter().map(|found| Document { id: self.id(found), raw: self.raw(found) })
    }

    /// The shard of each document in an index of `shards` shards.
    ///
    /// # Panics
    /// When `shards` is 0.
    #[must_use]
    pub fn shards(&self, shards: u32) -> Vec<u32> {
        self.found.iter().map(|found| shard_of(self.id(found), shards)).collect()
    }

    /// The JSON array of the documents whose shard is `wanted`, with reserved fields stamped; `None` when there are
    /// none. `shards` is the result of [`ParsedPayload::shards`]. `updated_at` is the write's hybrid logical clock
    /// while anti-entropy is on.
    #[must_use]
    pub fn body(&self, shards: &[u32], wanted: &ShardSet, updated_at: Option<u64>) -> Option<Vec<u8>> {
        self.stamped(shards, wanted, updated_at).map(|body| body.bytes)
    }

    /// The same with the positions of the clock, so that the write can be given another time.
    #[must_use]
    pub fn stamped(&self, shards: &[u32], wanted: &ShardSet, updated_at: Option<u64>) -> Option<StampedBody> {
        debug_assert_eq!(shards.len(), self.found.len());
        let documents = self.found.iter().zip(shards).enumerate();
        let picked: Vec<(usize, &Found, u32)> = documents
            .filter(|(_, (_, shard))| wanted.contains(**shard))
            .map(|(position, (found, &shard))| (position, found, shard))
            .collect();
        if picked.is_empty() {
            return None;
        }
        let stamps = Stamps::new(updated_at);
        let length: usize = picked.iter().map(|(_, found, _)| found.range.len() + stamps.opening.len()).sum();
        let mut expiries = self.expiries.iter().peekable();
        let mut body = Vec::with_capacity(length + self.expiries.len() * EXPIRY_STAMP_LENGTH + 2);
        let documents = picked.len() as u64;
        let mut clocks = Vec::with_capacity(if stamps.clock.is_some() { picked.len() } else { 0 });
        for (position, found, shard) in picked {
            while expiries.next_if(|expiry| expiry.document < position).is_some() {}
            let expiry = expiries.peek().copied().filter(|expiry| expiry.document == position);
            clocks.extend(stamps.clock.map(|clock| body.len() + clock));
            stamps.write(&mut body, shard);
            if let Some(expiry) = expiry {
                body.push(b',');
                write_stamp(&mut body, EXPIRES_AT_FIELD, &encode_timestamp(expiry.expires_at));
            }
            self.write_members(&mut body, found, expiry);
        }
        // Every document is written with a comma before it; the first comma becomes the array's bracket.
        body[0] = b'[';
        body.push(b']');
        Some(StampedBody { bytes: body, clocks, documents })
    }

    /// Writes the object's members and its closing brace, without the expiry that the client wrote.
    fn write_members(&self, body: &mut Vec<u8>, found: &Found, expiry: Option<&Expiry>) {
        let text = self.text.as_bytes();
        let (start, end) = (found.range.start + 1, found.range.end);
        let cut = expiry.map_or(start..start, |expiry| expiry.member.clone());
        let (before, after) = (&text[start..cut.start], &text[cut.end..end]);
        let is_member = |bytes: &[u8]| bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'}');
        if !before.is_empty() || is_member(after) {
            body.push(b',');
        }
        body.extend_from_slice(before);
        body.extend_from_slice(after);
    }

    fn raw(&self, found: &Found) -> &str {
        &self.text[found.range.clone()]
    }

    fn id<'a>(&'a self, found: &'a Found) -> &'a str {
        match &found.identifier {
            Identifier::Slice(range) => &self.text[range.clone()],
            Identifier::Decoded(identifier) => identifier,
        }
    }
}

/// The JSON array of stamped documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampedBody {
    pub bytes: Vec<u8>,
    /// The position of each document's clock.
    clocks: Vec<usize>,
    /// The number of documents, at least one.
    pub documents: u64,
}

impl StampedBody {
    /// Sets the time of all documents, if they carry one.
    pub fn set_clock(&mut self, clock: u64) {
        let encoded = encode_timestamp(clock);
        for position in &self.clocks {
            self.bytes[*position..][..TIMESTAMP_LENGTH].copy_from_slice(&encoded);
        }
    }

    /// Appends another body's documents.
    pub fn append(&mut self, other: &Self) {
        // The other body's bracket becomes the comma between the two.
        self.bytes.pop();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.bytes[start] = b',';
        self.clocks.extend(other.clocks.iter().map(|position| position + start));
        self.documents += other.documents;
    }
}

/// Comma, quotes and colon included.
const EXPIRY_STAMP_LENGTH: usize = EXPIRES_AT_FIELD.len() + TIMESTAMP_LENGTH + 6;

/// The beginning of the documents of one body: a comma, the brace and the stamps, equal except for the shard.
struct Stamps {
    opening: Vec<u8>,
    marker: Range<usize>,
    /// The position of the clock, if there is one.
    clock: Option<usize>,
}

impl Stamps {
    fn new(updated_at: Option<u64>) -> Stamps {
        let mut opening = b",{".to_vec();
        write_stamp(&mut opening, SHARD_FIELD, &shard_marker(0));
        let end = opening.len() - 1;
        let marker = end - SHARD_MARKER_LENGTH..end;
        if let Some(clock) = updated_at {
            opening.push(b',');
            write_stamp(&mut opening, UPDATED_AT_FIELD, &encode_timestamp(clock));
        }
        let clock = updated_at.map(|_| opening.len() - 1 - TIMESTAMP_LENGTH);
        Stamps { opening, marker, clock }
    }

    fn write(&self, body: &mut Vec<u8>, shard: u32) {
        let start = body.len();
        body.extend_from_slice(&self.opening);
        body[start..][self.marker.clone()].copy_from_slice(&shard_marker(shard));
    }
}

fn write_stamp(body: &mut Vec<u8>, field: &str, value: &[u8]) {
    body.push(b'"');
    body.extend_from_slice(field.as_bytes());
    body.extend_from_slice(b"\":\"");
    body.extend_from_slice(value);
    body.push(b'"');
}

//! One pass over a JSON text: finds each document, its id, and what must be refused.
//!
//! Invariants: values are skipped without recursion and without building anything. Positions are byte offsets into
//! the text, on character boundaries. A problem of a single document does not end the pass, because malformed text
//! after it must be found and refused at once.

use crate::api::documents::payload::{
    document_id::{Identifier, IdentifierProblem, collect, compact, is_candidate, path_below, range_in},
    engine_fields::{EngineField, EngineValue},
    error::{DocumentProblem, IngestError},
};
use router::reserved::{EXPIRES_AT_FIELD, is_reserved};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// Which of several equal top-level keys counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EqualKeys {
    LastWins,
    /// Two primary keys are too many, as in NDJSON.
    AllCount,
}

/// A document found in the text.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) range: Range<usize>,
    pub(crate) identifier: Identifier,
}

/// An expiry that the client set: its member has to be cut out of the object and stamped anew.
#[derive(Debug)]
pub(crate) struct Expiry {
    pub(crate) document: usize,
    /// The member together with one comma.
    pub(crate) member: Range<usize>,
    pub(crate) expires_at: u64,
}

/// The findings of the pass. Documents are complete only when no problem is set.
pub(crate) struct Scan<'a> {
    text: &'a str,
    pub(crate) primary_key: Option<String>,
    equal_keys: EqualKeys,
    expiry_allowed: bool,
    pub(crate) found: Vec<Found>,
    pub(crate) expiries: Vec<Expiry>,
    /// In the order of the documents; of equal keys the last one counts.
    pub(crate) engine_values: Vec<EngineValue>,
    pub(crate) received: usize,
    /// The first reserved field or bad expiry.
    pub(crate) refused: Option<IngestError>,
    /// The first problem with the primary key or an id.
    pub(crate) problem: Option<DocumentProblem>,
    /// The end of the last document.
    position: usize,
    /// Values on the primary key's path in the current document, with the offset of the path's rest.
    matches: Vec<(&'a str, usize)>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        text: &'a str,
        primary_key: Option<&str>,
        equal_keys: EqualKeys,
        expiry_allowed: bool,
    ) -> Scan<'a> {
        Scan {
            text,
            primary_key: primary_key.map(str::to_owned),
            equal_keys,
            expiry_allowed,
            found: Vec::new(),
            expiries: Vec::new(),
            engine_values: Vec::new(),
            received: 0,
            refused: None,
            problem: None,
            position: 0,
            matches: Vec::new(),
        }
    }

    /// Reads an array of objects or one object. As in Meilisearch, text after an array is ignored.
    pub(crate) fn read_json(&mut self) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        if self.next_byte() == Some(b'{') {
            deserializer.deserialize_map(&mut *self)?;
            deserializer.end()?;
        } else {
            deserializer.deserialize_seq(&mut *self)?;
        }
        Ok(())
    }

    /// Reads objects one after the other. As in Meilisearch, white space between them is optional.
    pub(crate) fn read_ndjson(&mut self) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        while self.next_byte().is_some() {
            deserializer.deserialize_map(&mut *self)?;
        }
        Ok(())
    }

    fn next_byte(&self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.position..];
        rest.iter().copied().find(|byte| !byte.is_ascii_whitespace())
    }

    /// Reads the members of one object and fills `matches`; gives where the last value ends.
    fn read_members<A: MapAccess<'a>>(
        &mut self,
        map: &mut A,
        start: usize,
        mut candidates: Option<&mut Vec<String>>,
    ) -> Result<usize, A::Error> {
        self.matches.clear();
        let mut end = start + 1;
        loop {
            let seed =
                KeySeed { primary_key: self.primary_key.as_deref(), candidates: candidates.as_deref_mut() };
            let Some(key) = map.next_key_seed(seed)? else { return Ok(end) };
            let value: &'a RawValue = map.next_value()?;
            match key {
                Key::Other => {}
                Key::Engine(field) => {
                    let (document, value) = (self.received, range_in(self.text, value.get()));
                    self.engine_values.push(EngineValue { document, field, value });
                }
                Key::OnPath { below } => self.add_match(value.get(), below),
                Key::Expiry if self.expiry_allowed => self.read_expiry(start, end, value.get()),
                Key::Expiry => self.refuse(IngestError::ReservedField { field: EXPIRES_AT_FIELD.to_owned() }),
                Key::Reserved { field } => self.refuse(IngestError::ReservedField { field }),
            }
            end = range_in(self.text, value.get()).end;
        }
    }

    fn add_match(&mut self, value: &'a str, below: usize) {
        let same = self.matches.iter_mut().find(|(_, other)| *other == below);
        match same {
            Some(earlier) if self.equal_keys == EqualKeys::LastWins => earlier.0 = value,
            Some(_) | None => self.matches.push((value, below)),
        }
    }

    /// Reads an expiry; `before` is where the member before it ends, or the object's brace.
    fn read_expiry(&mut self, start: usize, before: usize, value: &str) {
        let document = self.received;
        let repeated = self.expiries.last().is_some_and(|expiry| expiry.document == document);
        match value.parse::<u64>() {
            Ok(expires_at) if !repeated => {
                let end = range_in(self.text, value).end;
                let first = before == start + 1;
                let member = before..if first { self.after_comma(end) } else { end };
                self.expiries.push(Expiry { document, member, expires_at });
            }
            Ok(_) | Err(_) => self.refuse(IngestError::InvalidExpiry { value: compact(value) }),
        }
    }

    /// The position after the next comma, if one follows.
    fn after_comma(&self, position: usize) -> usize {
        let rest = &self.text.as_bytes()[position..];
        match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(gap) if rest[gap] == b',' => position + gap + 1,
            Some(_) | None => position,
        }
    }

    fn refuse(&mut self, error: IngestError) {
        self.refused.get_or_insert(error);
    }

    fn end_document(&mut self, range: Range<usize>) {
        self.position = range.end;
        self.received += 1;
        let Some(primary_key) = self.primary_key.as_deref().filter(|_| self.problem.is_none()) else {
            return;
        };
        let mut identifier = None;
        let collected = self.matches.iter().try_for_each(|(value, below)| {
            collect(self.text, value, &primary_key[*below..], &mut identifier)
        });
        let document = || compact(&self.text[range.clone()]);
        let primary_key = || primary_key.to_owned();
        self.problem = match (collected, identifier) {
            (Ok(()), Some(identifier)) => {
                self.found.push(Found { range, identifier });
                None
            }
            (Ok(()), None) => {
                Some(DocumentProblem::MissingDocumentId { primary_key: primary_key(), document: document() })
            }
            (Err(IdentifierProblem::TooMany), _) => {
                Some(DocumentProblem::TooManyDocumentIds { primary_key: primary_key(), document: document() })
            }
            (Err(IdentifierProblem::Invalid { value }), _) => {
                Some(DocumentProblem::InvalidDocumentId { document_id: value })
            }
        };
    }

    /// Takes the only candidate of the first document as the primary key.
    fn infer(&mut self, mut candidates: Vec<String>) {
        candidates.sort_unstable();
        candidates.dedup();
        match candidates.len() {
            0 => self.problem = Some(DocumentProblem::NoPrimaryKeyCandidate),
            1 => self.primary_key = candidates.pop(),
            _ => self.problem = Some(DocumentProblem::MultiplePrimaryKeyCandidates { candidates }),
        }
    }
}

/// Visits the objects of an array, or one object.
impl<'a> Visitor<'a> for &mut Scan<'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(DocumentSeed(&mut *self))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // Between two documents there is only white space, a comma or the array's bracket.
        let is_brace = |byte: &u8| *byte == b'{';
        let gap = self.text.as_bytes()[self.position..].iter().position(is_brace);
        let start = self.position + gap.ok_or_else(|| A::Error::custom("an object starts with a brace"))?;
        let infers = self.primary_key.is_none() && self.received == 0;
        let mut candidates = Vec::new();
        let last = self.read_members(&mut map, start, infers.then_some(&mut candidates))?;
        let brace = self.text.as_bytes()[last..].iter().position(|byte| *byte == b'}');
        let end = last + brace.ok_or_else(|| A::Error::custom("an object ends with a brace"))? + 1;
        if infers {
            self.infer(candidates);
            if self.primary_key.is_some() {
                // The key is known only now, so the same object is searched for it again.
                self.position = start;
                self.expiries.clear();
                self.engine_values.clear();
                let text: &'a str = &self.text[start..end];
                return serde_json::Deserializer::from_str(text)
                    .deserialize_map(self)
                    .map_err(A::Error::custom);
            }
        }
        self.end_document(start..end);
        Ok(())
    }
}

struct DocumentSeed<'s, 'a>(&'s mut Scan<'a>);

impl<'a> DeserializeSeed<'a> for DocumentSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

enum Key {
    Other,
    /// A field that only the engine judges.
    Engine(EngineField),
    /// The primary key's path goes on at this offset.
    OnPath {
        below: usize,
    },
    Expiry,
    Reserved {
        field: String,
    },
}

struct KeySeed<'k> {
    primary_key: Option<&'k str>,
    /// Collects names while the primary key is to be inferred.
    candidates: Option<&'k mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, field: &str) -> Result<Key, E> {
        if is_reserved(field) {
            let expiry = field == EXPIRES_AT_FIELD;
            return Ok(if expiry { Key::Expiry } else { Key::Reserved { field: field.to_owned() } });
        }
        if let Some(candidates) = self.candidates.filter(|_| is_candidate(field)) {
            candidates.push(field.to_owned());
        }
        let below = |path: &str| path_below(path, field).map(|below| path.len() - below.len());
        Ok(self.primary_key.and_then(below).map_or_else(
            || EngineField::of(field).map_or(Key::Other, Key::Engine),
            |below| Key::OnPath { below },
        ))
    }
}

//! A cursor over one leg's answer, which reads each hit with its ranking key, and a hit's place in the merged order.
//!
//! - A hit is read when it is requested, not before.
//! - A leg that violates the order of its own keys is a fault of that leg.

use crate::error::Fault;
use crate::json::validate::{is_json, is_object_up_to};
use crate::json::{Answer, Members, is_one_value};
use crate::order::ranking_key::Key;

/// One leg's answer and the hit that it offers now.
pub(crate) struct LegCursor<'a> {
    /// The leg's index in covering-set order.
    pub(crate) leg: usize,
    pub(crate) answer: Answer<'a>,
    pub(crate) hit: Hit<'a>,
    pub(crate) key: Key<'a>,
    /// Whether to skip hits that were not found by their vector.
    only_vectors: bool,
    /// Whether clients see the ranking details, which then must be valid JSON to the last byte.
    pub(crate) shows_details: bool,
    /// Whether a first hit has been read.
    pub(crate) started: bool,
    /// The number of hits pulled so far.
    pub(crate) pulled: usize,
    /// The number of hits requested of the leg, where it is smaller than that of other legs.
    pub(crate) shallow: Option<usize>,
    /// The key of the previous hit, to verify the leg's order. The two key buffers alternate.
    previous_key: Key<'a>,
}

/// A raw hit and the place of its ranking details.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Hit<'a> {
    pub(crate) text: &'a str,
    /// The raw ranking details.
    pub(crate) details: &'a str,
    /// The offset of the opening quote of `_rankingScoreDetails`, if it is the last member of compact JSON.
    pub(crate) details_at: Option<usize>,
}

/// A hit at its place in the merged order.
pub(crate) struct Ranked<'a> {
    pub(crate) hit: Hit<'a>,
    /// For each `_geoPoint` rule the bucket of the merged order, which replaces that of the leg.
    pub(crate) buckets: Vec<Bucket>,
}

/// The first document of a hit's bucket under a `_geoPoint` rule, as details report it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// The rule's position among the details.
    pub(crate) rule: usize,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// In metres.
    pub(crate) distance: f64,
}

/// What the legs were asked for, and what their answers can contain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'s> {
    /// The number of hits requested of every leg.
    pub(crate) hits: usize,
    /// Whether hits may be pinned to positions.
    pub(crate) pins: bool,
    /// The number of documents that match on all legs together.
    pub(crate) matched: u64,
    /// How to order hits of several legs that no ranking rule tells apart.
    pub(crate) equals: Equals<'s>,
}

/// What is known of hits that no ranking rule tells apart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Equals<'s> {
    /// The field that identifies documents.
    pub(crate) identity: Option<&'s str>,
    /// Whether legs may be asked for more, where some of such hits may be missing.
    pub(crate) may_ask: bool,
}

impl<'a> LegCursor<'a> {
    pub(crate) fn new(leg: usize, answer: Answer<'a>, only_vectors: bool) -> Self {
        let (key, previous_key) = (Key::default(), Key::default());
        Self {
            leg,
            answer,
            hit: Hit::default(),
            key,
            only_vectors,
            shows_details: true,
            started: false,
            pulled: 0,
            shallow: None,
            previous_key,
        }
    }

    /// The next raw hit, validated as JSON.
    pub(crate) fn next_text(&mut self) -> Result<Option<&'a str>, Fault> {
        match self.next_raw()? {
            Some(text) if !is_json(text) => Err(Fault::new("not valid JSON")),
            text => Ok(text),
        }
    }

    /// The next raw hit. Skipped hits count as pulled too.
    fn next_raw(&mut self) -> Result<Option<&'a str>, Fault> {
        loop {
            let Some(text) = self.answer.next_raw()? else { return Ok(None) };
            self.pulled += 1;
            if !self.only_vectors || Hit::read(text)?.details.contains("\"vectorSort\"") {
                return Ok(Some(text));
            }
        }
    }

    /// Whether the leg gave all hits that it, and it alone, was asked for: it may have more that the page needs.
    pub(crate) fn is_dry(&self) -> bool {
        self.shallow.is_some_and(|asked| self.pulled >= asked)
    }

    /// Pulls the next hit with its key; false at the end of the leg.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        let Some(text) = self.next_raw()? else { return Ok(false) };
        let before = self.hit.details;
        let candidate = Hit::guess(text);
        // Ranking details that no client sees are read below, only as strictly as their order requires.
        let unseen = candidate.and_then(|hit| hit.details_at).filter(|_| !self.shows_details);
        if !unseen.is_some_and(|details_at| is_object_up_to(text, details_at)) && !is_json(text) {
            return Err(Fault::new("not valid JSON"));
        }
        // Ties repeat their details byte for byte, so such a hit has the key of the previous one.
        if let Some(hit) = candidate
            && self.started
            && hit.details == before
        {
            self.hit = hit;
            return Ok(true);
        }
        std::mem::swap(&mut self.key, &mut self.previous_key);
        let verified = |hit: &Hit<'a>| {
            let end = self.key.read_like(hit.details, &self.previous_key, before);
            end.is_ok_and(|end| end == hit.details.len())
        };
        self.hit = match candidate.filter(verified) {
            Some(hit) => hit,
            None => {
                let hit = Hit::search(text)?;
                self.key.read(hit.details)?;
                hit
            }
        };
        if self.started && !self.key.may_follow(&self.previous_key)? {
            return Err(Fault::new("its hits are not in the order of their ranking details"));
        }
        self.started = true;
        Ok(true)
    }
}

impl<'a> Hit<'a> {
    /// Whether the node was stopped before it had ordered this hit.
    pub(crate) fn is_unranked(&self) -> bool {
        self.details.contains("\"skipped\"")
    }

    /// Finds the details where nodes write them, last in the hit, without walking it. The text behind the last mention
    /// of their name is the details only if it is one object up to the hit's closing brace; the caller verifies that.
    fn guess(text: &'a str) -> Option<Self> {
        const MEMBER: &str = "_rankingScoreDetails\":";
        let close = text.len().checked_sub(1)?;
        let mut end = close;
        loop {
            let at = text[..end].rfind('_')?;
            if text[at..].starts_with(MEMBER) {
                let details_at = at.checked_sub(1).filter(|quote| text.as_bytes()[*quote] == b'"')?;
                let separator = *text.as_bytes().get(details_at.checked_sub(1)?)?;
                let details =
                    text.get(at + MEMBER.len()..close).filter(|details| details.starts_with('{'))?;
                return matches!(separator, b',' | b'{').then_some(Self {
                    text,
                    details,
                    details_at: Some(details_at),
                });
            }
            end = at;
        }
    }

    /// A hit whose details are only cut out, never read.
    pub(crate) fn unread(text: &'a str) -> Self {
        let last = Self::guess(text).filter(|hit| is_one_value(hit.details));
        last.unwrap_or(Self { text, details: "", details_at: None })
    }

    /// The hit with its details, wherever they are.
    pub(crate) fn read(text: &'a str) -> Result<Self, Fault> {
        match Self::guess(text).filter(|hit| is_one_value(hit.details)) {
            Some(hit) => Ok(hit),
            None => Self::search(text),
        }
    }

    /// Finds the details by walking the hit.
    fn search(text: &'a str) -> Result<Self, Fault> {
        let members = Members::of(text).ok_or_else(|| Fault::new("a hit is not an object"))?;
        // A field of the document may have this name as well, and stands before.
        let details = members.filter(|member| member.key == "_rankingScoreDetails").last();
        let details = details.ok_or_else(|| Fault::new("a hit has no _rankingScoreDetails"))?;
        Ok(Self { text, details: details.value, details_at: None })
    }
}

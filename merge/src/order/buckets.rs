//! Orders that no walk over sorted legs can produce: `_geoPoint` rules and pinned hits, over whole lists.
//!
//! - Under a `_geoPoint` rule a node groups documents within a metre of the bucket's first
//!   (milli/src/documents/geo_sort.rs). Legs begin their buckets elsewhere than one node does, so distances are
//!   computed again from each hit's `_geo`, and buckets are formed again.
//! - Hits that a rule of the index pins are at their positions, all others around them. Pins beyond the last hit move
//!   up to it (milli's `merge_positioned_hits_into_page`).
//! - A leg may have hits behind its last one. Where these could change the order: `MergeError::Short`.

use std::cmp::Ordering;
use std::collections::VecDeque;

use geoutils::Location;

use crate::error::{Fault, MergeError};
use crate::json::{Members, number, string};
use crate::order::leg_cursor::{Asked, Bucket, Hit, LegCursor, Ranked};
use crate::order::ranking_key::{GeoPart, Key};

/// A bucket has the documents within this many metres of its first.
pub(crate) const BUCKET_METRES: f64 = 1.0;
/// The most documents of a bucket.
pub(crate) const BUCKET_DOCUMENTS_MAX: usize = 1000;
/// The number of candidates that a node takes at a time from its spatial index, in exact order. It orders fewer by
/// whole metres and then by document number.
pub(crate) const EXACT_ORDER_MIN: usize = 1000;

/// A whole merged order.
pub(crate) struct Bucketed<'a> {
    entries: VecDeque<Ranked<'a>>,
    pins: VecDeque<(usize, Hit<'a>)>,
    /// The number of entries, from the front, whose place no unseen hit can change.
    known: usize,
    /// Whether every leg returned all it has.
    complete: bool,
    position: usize,
}

struct Entry<'a> {
    hit: Hit<'a>,
    key: Key<'a>,
    run: usize,
    place: Option<(f64, f64)>,
    /// Metres under the current rule.
    distance: f64,
    /// The same, only for comparing: the square of the straight line, as a spatial index measures it.
    chord: f64,
    buckets: Vec<Bucket>,
    /// Whether it is the last hit of a leg that has more.
    last: bool,
}

impl<'a> Bucketed<'a> {
    pub(crate) fn new(runs: &mut [LegCursor<'a>], asked: Asked<'_>) -> Result<Self, MergeError> {
        let mut entries = Vec::new();
        let mut pins = Vec::new();
        let mut complete = true;
        for (at, run) in runs.iter_mut().enumerate() {
            let before = entries.len();
            let leg = run.leg;
            let mut more = run.started;
            while more {
                match run.key.pin {
                    Some(position) => pins.push((position, run.hit)),
                    None => entries.push(Entry::read(run, at).map_err(|fault| fault.at(leg))?),
                }
                more = run.advance().map_err(|fault| fault.at(leg))?;
            }
            if run.is_dry() {
                return Err(MergeError::Dry { leg });
            }
            if run.pulled >= asked.hits {
                complete = false;
                match entries[before..].last_mut() {
                    Some(last) => last.last = true,
                    // The leg returned only pinned hits, so nothing is known of the rest.
                    None => return Err(MergeError::Short),
                }
            }
        }
        pins.sort_by_key(|(position, _)| *position);
        let matched = usize::try_from(asked.matched).unwrap_or(usize::MAX);
        let mut arrangement =
            Arrangement { known: usize::MAX, unseen: matched.saturating_sub(entries.len()) };
        let leg_of = |run: usize| runs.get(run).map_or(0, |run| run.leg);
        arrangement.arrange(&mut entries, 0, 0).map_err(|(run, fault)| fault.at(leg_of(run)))?;
        let ranked = entries.into_iter().map(|entry| Ranked { hit: entry.hit, buckets: entry.buckets });
        Ok(Self {
            entries: ranked.collect(),
            pins: pins.into(),
            known: arrangement.known,
            complete,
            position: 0,
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Ranked<'a>>, MergeError> {
        let position = self.position;
        self.position += 1;
        let due = self.pins.front().is_some_and(|(pin, _)| *pin <= position || self.entries.is_empty());
        if due && (self.complete || !self.entries.is_empty()) {
            return Ok(self.pins.pop_front().map(|(_, hit)| Ranked { hit, buckets: Vec::new() }));
        }
        if self.known == 0 || (self.entries.is_empty() && !self.complete) {
            return Err(MergeError::Short);
        }
        self.known -= 1;
        Ok(self.entries.pop_front())
    }
}

impl<'a> Entry<'a> {
    fn read(run: &LegCursor<'a>, at: usize) -> Result<Self, Fault> {
        let place = if run.key.geo_rule(0).is_some() { place(run.hit.text)? } else { None };
        Ok(Self {
            hit: run.hit,
            key: run.key.clone(),
            run: at,
            place,
            distance: 0.0,
            chord: 0.0,
            buckets: Vec::new(),
            last: false,
        })
    }
}

/// The `_geo` of a hit: latitude and longitude in degrees, as numbers or numbers in strings.
fn place(hit: &str) -> Result<Option<(f64, f64)>, Fault> {
    let geo = Members::of(hit).into_iter().flatten().find(|member| member.key == "_geo");
    let Some(geo) = geo.filter(|geo| geo.value != "null") else { return Ok(None) };
    let mut degrees = [None, None];
    for member in Members::of(geo.value).into_iter().flatten() {
        let slot = match member.key {
            "lat" => 0,
            "lng" => 1,
            _ => continue,
        };
        degrees[slot] = number(member.value)
            .or_else(|| string(member.value).and_then(|text| text.trim().parse::<f64>().ok()));
    }
    match degrees {
        [Some(latitude), Some(longitude)] => Ok(Some((latitude, longitude))),
        _ => Err(Fault::new("a hit has a `_geo` without `lat` and `lng`")),
    }
}

/// A fault, and the run in which it was found.
type At = (usize, Fault);

struct Arrangement {
    /// The number of entries, from the front, that no unseen hit can precede.
    known: usize,
    /// The number of hits that legs have but were not asked for.
    unseen: usize,
}

impl Arrangement {
    /// Orders entries that are equal by the rules before `rule`. The first of them is at `base`.
    fn arrange(&mut self, entries: &mut [Entry<'_>], rule: usize, base: usize) -> Result<(), At> {
        let geo = entries.iter().filter_map(|entry| entry.key.geo_rule(rule)).min();
        let end = geo.unwrap_or(usize::MAX);
        sort(entries, |one, other| other.key.compare_rules(&one.key, rule, end))?;
        let Some(geo) = geo else {
            for (at, _) in entries.iter().enumerate().filter(|(_, entry)| entry.last) {
                self.known = self.known.min(base + at + 1);
            }
            return Ok(());
        };
        let mut start = 0;
        while start < entries.len() {
            let mut stop = start + 1;
            while stop < entries.len() {
                let ordering = entries[stop].key.compare_rules(&entries[start].key, rule, end);
                if ordering.map_err(|fault| (entries[stop].run, fault))? != Ordering::Equal {
                    break;
                }
                stop += 1;
            }
            self.bucket(&mut entries[start..stop], geo, base + start)?;
            start = stop;
        }
        Ok(())
    }

    /// Orders entries that differ only from the `_geoPoint` rule `rule` on.
    fn bucket(&mut self, entries: &mut [Entry<'_>], rule: usize, base: usize) -> Result<(), At> {
        let mut ascending = true;
        for entry in entries.iter_mut() {
            let part = entry.key.geo_part(rule).map_err(|fault| (entry.run, fault))?;
            ascending = part.map_or(ascending, |part| part.ascending);
            entry.distance = distance(entry, part).map_err(|fault| (entry.run, fault))?;
            let chord =
                |(part, place): (GeoPart, _)| chord((part.latitude, part.longitude), part.ascending, place);
            entry.chord = part.zip(entry.place).map_or(0.0, chord);
        }
        entries.sort_by_key(|entry| entry.distance.is_nan());
        let located = entries.iter().position(|entry| entry.distance.is_nan()).unwrap_or(entries.len());
        let exact = self.exactly_ordered(&entries[..located]);
        by_distance(&mut entries[..located], ascending, |entry| {
            if exact > 0 { entry.chord } else { entry.distance.trunc() }
        })?;
        by_distance(&mut entries[exact..located], ascending, |entry| entry.distance.trunc())?;
        let mut start = 0;
        while start < located {
            let first = entries[start].distance;
            let same = |entry: &Entry<'_>| (first - entry.distance).abs() <= BUCKET_METRES;
            let stop = (start..located).find(|at| !same(&entries[*at])).unwrap_or(located);
            let stop = stop.min(start + BUCKET_DOCUMENTS_MAX);
            self.settle(entries, rule, (start, stop), ascending, base)?;
            start = stop;
        }
        if located < entries.len() {
            self.arrange(&mut entries[located..], rule + 1, base + located)?;
        }
        Ok(())
    }

    /// How many of the located entries, from the front, are in exact order: a node takes them by the thousand while
    /// there are enough.
    fn exactly_ordered(&self, located: &[Entry<'_>]) -> usize {
        let has_more = located.iter().any(|entry| entry.last);
        match has_more {
            false => located.len() - located.len() % EXACT_ORDER_MIN,
            true if located.len().saturating_add(self.unseen) < EXACT_ORDER_MIN => 0,
            true => located.len(),
        }
    }

    /// Orders one bucket and records how far the order is known.
    fn settle(
        &mut self,
        entries: &mut [Entry<'_>],
        rule: usize,
        (start, stop): (usize, usize),
        ascending: bool,
        base: usize,
    ) -> Result<(), At> {
        let first = entries[start].distance;
        let (latitude, longitude) = entries[start].place.unwrap_or_default();
        // A leg's unseen hits are no nearer than its last bucket, but they may belong to this one.
        for entry in entries.iter().filter(|entry| entry.last) {
            let Some(part) = entry.key.geo_part(rule).map_err(|fault| (entry.run, fault))? else { continue };
            let Some(of_leg) = part.distance else { continue };
            let reached = match ascending {
                true => first + BUCKET_METRES >= of_leg.trunc(),
                false => first - BUCKET_METRES <= of_leg.trunc() + 1.0,
            };
            let same_bucket =
                first == of_leg && entries[start..stop].iter().any(|other| std::ptr::eq(other, entry));
            if reached && !same_bucket {
                self.known = self.known.min(base + start);
            }
        }
        for entry in &mut entries[start..stop] {
            entry.buckets.push(Bucket { rule, latitude, longitude, distance: first });
        }
        self.arrange(&mut entries[start..stop], rule + 1, base + start)
    }
}

/// Sorts by distance, equals by the last rule; the farthest first unless `ascending`.
fn by_distance(
    entries: &mut [Entry<'_>],
    ascending: bool,
    distance: impl Fn(&Entry<'_>) -> f64,
) -> Result<(), At> {
    sort(entries, |one, other| {
        let ordering = distance(one).total_cmp(&distance(other));
        let ordering = ordering.then(other.key.compare_last(&one.key)?);
        Ok(if ascending { ordering } else { ordering.reverse() })
    })
}

/// Metres from the rule's point; NaN for a hit without a place.
fn distance(entry: &Entry<'_>, part: Option<GeoPart>) -> Result<f64, Fault> {
    let Some(part) = part.filter(|part| part.distance.is_some()) else { return Ok(f64::NAN) };
    let place = entry.place.ok_or_else(|| Fault::new("a hit with a distance has no `_geo`"))?;
    Ok(metres((part.latitude, part.longitude), place))
}

/// The distance of two places in metres, as nodes compute it.
pub(crate) fn metres(one: (f64, f64), other: (f64, f64)) -> f64 {
    Location::new(one.0, one.1).haversine_distance_to(&Location::new(other.0, other.1)).meters()
}

/// The square of the straight line between a rule's point and a place, on a globe of radius 1. Descending rules measure
/// from the point's antipode and negate it.
pub(crate) fn chord(from: (f64, f64), ascending: bool, (latitude, longitude): (f64, f64)) -> f64 {
    let in_space = |latitude: f64, longitude: f64| {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    };
    let square = |from: [f64; 3], to: [f64; 3]| {
        from.iter().zip(to).map(|(from, to)| (from - to) * (from - to)).sum::<f64>()
    };
    let place = in_space(latitude, longitude);
    if ascending {
        return square(in_space(from.0, from.1), place);
    }
    let turn = if from.1 > 0.0 { -180.0 } else { 180.0 };
    -square(in_space(-from.0, from.1 + turn), place)
}

/// A stable sort with a comparison that can fail.
fn sort<'e, 'a>(
    entries: &mut [Entry<'a>],
    compare: impl Fn(&Entry<'a>, &Entry<'a>) -> Result<Ordering, Fault>,
) -> Result<(), At> {
    let mut failed = None;
    entries.sort_by(|one, other| match compare(one, other) {
        Ok(ordering) => ordering,
        Err(fault) => {
            failed.get_or_insert((one.run, fault));
            Ordering::Equal
        }
    });
    failed.map_or(Ok(()), Err)
}

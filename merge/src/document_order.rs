//! Lists of documents: the order of milli/src/documents/sort.rs over the documents of many legs.
//!
//! - Lists that were asked without an order are merged by primary key, head by head: where documents came in the
//!   order of their keys that is one node's order, and pages fit together in any case.
//! - Numbers come before strings in both directions, what has neither comes last; strings compare normalized,
//!   booleans are strings, arrays count by the value that comes first.
//! - Distances compare exactly; a node calls points within a metre of each other equal.
//! - Equal documents: the lower leg first, then the order within the leg.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::documents::write_rest;
use crate::error::{Fault, MergeError};
use crate::hit;
use crate::json::{Answer, Members, number, string};
use crate::normalize::normalize;
use crate::paths::values_at;
use crate::strip;
use crate::{ExtraFields, Merged};

/// One criterion of a sort.
#[derive(Debug, Clone, PartialEq)]
pub struct SortField {
    pub ascending: bool,
    by: By,
}

#[derive(Debug, Clone, PartialEq)]
enum By {
    Field(String),
    /// The distance to a point, in degrees.
    Distance {
        latitude: f64,
        longitude: f64,
    },
}

impl SortField {
    /// Reads `field:asc`, `field:desc` or `_geoPoint(latitude, longitude):asc`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (by, direction) = text.trim().rsplit_once(':')?;
        let ascending = match direction {
            "asc" => true,
            "desc" => false,
            _ => return None,
        };
        let by = match by.strip_prefix("_geoPoint(") {
            None => By::Field(by.to_owned()),
            Some(point) => {
                let (latitude, longitude) = point.strip_suffix(')')?.split_once(',')?;
                By::Distance {
                    latitude: latitude.trim().parse().ok()?,
                    longitude: longitude.trim().parse().ok()?,
                }
            }
        };
        Some(Self { ascending, by })
    }

    /// Ascending by a field.
    pub fn ascending(field: &str) -> Self {
        Self { ascending: true, by: By::Field(field.to_owned()) }
    }

    /// The attribute that documents must carry to be compared.
    pub fn attribute(&self) -> &str {
        match &self.by {
            By::Field(field) => field,
            By::Distance { .. } => GEO,
        }
    }
}

const GEO: &str = "_geo";

/// Appends the joined answer of `GET /indexes/{uid}/documents` or `POST …/documents/fetch` to `out`.
///
/// `legs`: the raw answers in covering-set order, each asked offset 0 and limit `offset + limit`. The heads of the
/// legs are taken by `sort`, of equals the lower leg's. `extra`: what to cut out again. Totals are summed; reserved
/// fields are cut out.
///
/// # Errors
/// `MergeError::Leg` if a leg's answer is unusable; `out` is then as it was.
pub fn documents(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    offset: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = join(legs, sort, extra, offset, limit, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

fn join(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    offset: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let mut runs = Vec::with_capacity(legs.len());
    let mut total = 0_u64;
    for (leg, body) in legs.iter().enumerate() {
        let read = || {
            let answer = Answer::read(body, "results")?;
            let total = answer.count("total")?;
            let mut run = Run { answer, document: None };
            run.advance(sort)?;
            Ok((run, total))
        };
        let (run, of_leg) = read().map_err(|fault: Fault| fault.at(leg))?;
        total = total.saturating_add(of_leg);
        runs.push(run);
    }
    out.extend_from_slice(b"{\"results\":[");
    let mut hits = 0;
    let mut stripped = Vec::new();
    for position in 0..offset.saturating_add(limit) {
        let Some(best) = best_of(&runs) else { break };
        if let Some((text, _)) = &runs[best].document
            && position >= offset
        {
            if hits > 0 {
                out.push(b',');
            }
            match extra {
                None => strip::members(text, out),
                Some(extra) => {
                    stripped.clear();
                    strip::members(text, &mut stripped);
                    let text = String::from_utf8_lossy(&stripped);
                    hit::select_below(&text, &extra.members, &extra.retrieved, out);
                }
            }
            hits += 1;
        }
        runs[best].advance(sort).map_err(|fault| fault.at(best))?;
    }
    let others = runs.first().map(|run| run.answer.members()).unwrap_or_default();
    write_rest(offset, limit, total, others, out);
    Ok(Merged { hits, total, ..Merged::default() })
}

/// One leg and the document it now offers, with its key.
struct Run<'a> {
    answer: Answer<'a>,
    document: Option<(&'a str, Vec<Key<'a>>)>,
}

impl Run<'_> {
    fn advance(&mut self, sort: &[SortField]) -> Result<(), Fault> {
        self.document = match self.answer.next_element()? {
            None => None,
            Some(text) if Members::of(text).is_none() => {
                return Err(Fault::new("a document is not an object"));
            }
            Some(text) => Some((text, sort.iter().map(|field| Key::read(text, field)).collect())),
        };
        Ok(())
    }
}

fn best_of(runs: &[Run<'_>]) -> Option<usize> {
    let offered = runs.iter().enumerate().filter_map(|(at, run)| Some((at, &run.document.as_ref()?.1)));
    // Of equals the first stays.
    offered.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(at, _)| at)
}

/// What a document is sorted by; greater comes first.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Key<'a> {
    Missing,
    Text(Directed<Cow<'a, str>>),
    Number(f64),
}

/// A text that comes first by its direction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directed<T> {
    value: T,
    ascending: bool,
}

impl<T: PartialOrd> PartialOrd for Directed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let ordering = self.value.partial_cmp(&other.value)?;
        Some(if self.ascending { ordering.reverse() } else { ordering })
    }
}

impl<'a> Key<'a> {
    pub(crate) fn read(text: &'a str, field: &SortField) -> Self {
        let directed = |value: f64| Self::Number(if field.ascending { -value } else { value });
        match &field.by {
            By::Distance { latitude, longitude } => {
                point(text).map_or(Self::Missing, |point| directed(haversine(point, (*latitude, *longitude))))
            }
            By::Field(path) => {
                let mut best = Self::Missing;
                values_at(text, path, &mut |leaf| {
                    let key = Self::of_leaf(leaf, field.ascending);
                    if key > best {
                        best = key;
                    }
                });
                best
            }
        }
    }

    fn of_leaf(raw: &'a str, ascending: bool) -> Self {
        let text = |value: Cow<'a, str>| Self::Text(Directed { value, ascending });
        match raw.as_bytes().first() {
            Some(b't' | b'f') => text(raw.into()),
            Some(b'"') => match string(raw) {
                Some(Cow::Borrowed(value)) => text(normalize(value)),
                Some(Cow::Owned(value)) => text(normalize(&value).into_owned().into()),
                None => Self::Missing,
            },
            _ => match number(raw) {
                Some(value) => Self::Number(if ascending { -value } else { value }),
                None => Self::Missing,
            },
        }
    }
}

/// Where a document is, in degrees; nodes take numbers and numbers in strings.
fn point(text: &str) -> Option<(f64, f64)> {
    let geo = hit::field(text, GEO)?;
    let coordinate = |name: &str| {
        let raw = hit::field(geo, name)?;
        number(raw).or_else(|| string(raw)?.trim().parse().ok())
    };
    Some((coordinate("lat")?, coordinate("lng")?))
}

/// Grows with the distance on the sphere between two points in degrees.
fn haversine(one: (f64, f64), other: (f64, f64)) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    half(one.0, other.0) + one.0.to_radians().cos() * other.0.to_radians().cos() * half(one.1, other.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_read() {
        let parse =
            |text| SortField::parse(text).map(|field| (field.attribute().to_owned(), field.ascending));
        assert_eq!(parse("price:asc"), Some(("price".to_owned(), true)));
        assert_eq!(parse("a.b:c:desc"), Some(("a.b:c".to_owned(), false)));
        assert_eq!(parse("_geoPoint(1.5, -2):desc"), Some(("_geo".to_owned(), false)));
        assert_eq!(parse("price"), None);
        assert_eq!(parse("price:up"), None);
        assert_eq!(parse("_geoPoint(1):asc"), None);
    }

    #[test]
    fn values_come_in_the_order_of_a_node() {
        let check = |sort: &str, expected: &[&str]| {
            let field = SortField::parse(sort).unwrap();
            let mut sorted = expected.to_vec();
            sorted.sort();
            sorted
                .sort_by(|one, other| Key::read(other, &field).partial_cmp(&Key::read(one, &field)).unwrap());
            assert_eq!(sorted, expected, "{sort}");
        };
        let values = |list: &[&'static str]| list.to_vec();
        check(
            "a:asc",
            &values(&[
                r#"{"a":-1}"#,
                r#"{"a":[7,0]}"#,
                r#"{"a":3}"#,
                r#"{"a":"B"}"#,
                r#"{"a":"c"}"#,
                r#"{"a":true}"#,
                r#"{"a":null}"#,
            ]),
        );
        check(
            "a:desc",
            &values(&[
                r#"{"a":[7,0]}"#,
                r#"{"a":3}"#,
                r#"{"a":-1}"#,
                r#"{"a":true}"#,
                r#"{"a":"c"}"#,
                r#"{"a":"B"}"#,
                r#"{"b":1}"#,
            ]),
        );
        check(
            "a.b:asc",
            &values(&[r#"{"a":{"b":1}}"#, r#"{"a":[{"b":2},{"b":9}]}"#, r#"{"a.b":3}"#, r#"{"a":1}"#]),
        );
        let near = r#"{"_geo":{"lat":48.0,"lng":2.0}}"#;
        let far = r#"{"_geo":{"lat":"-30","lng":"100"}}"#;
        check("_geoPoint(48, 3):asc", &[near, far, "{}"]);
        check("_geoPoint(48, 3):desc", &[far, near, "{}"]);
    }
}

//! The criteria of a sort, and the value of each document under them.
//!
//! Numbers come before strings in both directions, all else last. Strings compare normalized, booleans are strings,
//! arrays count by the value that comes first.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::hit;
use crate::json::normalize::normalize;
use crate::json::paths::values_at;
use crate::json::{number, string};
use crate::order::ranking_key::order_of;

/// One criterion of a sort.
#[derive(Debug, Clone, PartialEq)]
pub struct SortField {
    pub ascending: bool,
    pub(crate) by: By,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum By {
    Field(String),
    /// The distance to a point; the coordinates are in degrees.
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

    /// The ascending order by a field.
    pub fn ascending(field: &str) -> Self {
        Self { ascending: true, by: By::Field(field.to_owned()) }
    }

    /// The attribute that documents must contain to be compared.
    pub fn attribute(&self) -> &str {
        match &self.by {
            By::Field(field) => field,
            By::Distance { .. } => GEO,
        }
    }
}

const GEO: &str = "_geo";

/// A document at one of its places in the order.
pub(crate) struct Document<'a> {
    pub(crate) text: &'a str,
    /// One key for each field of the sort.
    pub(crate) keys: Vec<Key<'a>>,
}

/// The order of documents with equal keys: by the exact value of the last field. Keys hold numbers as doubles, which are
/// equal for different great integers, and the start of long strings only.
pub(crate) fn compare_identities(one: &Document<'_>, other: &Document<'_>, sort: &[SortField]) -> Ordering {
    let Some(SortField { by: By::Field(field), .. }) = sort.last() else { return Ordering::Equal };
    let (one, other) = (hit::field(one.text, field), hit::field(other.text, field));
    let (Some(one), Some(other)) = (one, other) else { return Ordering::Equal };
    hit::compare_keys(one, other)
}

/// The value by which a document is sorted; greater comes first.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Key<'a> {
    Missing,
    Text(Directed<Cow<'a, str>>),
    Number(Number),
}

/// A number. Nodes distinguish the two zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        order_of(self.0, other.0).is_eq()
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(order_of(self.0, other.0))
    }
}

/// A value with the direction of its sort: greater comes first in that direction.
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
        let directed = |value: f64| Self::Number(Number(if field.ascending { -value } else { value }));
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

    /// The keys of all places of a document: that of its numbers, then that of its strings. At least one.
    pub(crate) fn all(text: &'a str, field: &SortField) -> Vec<Self> {
        let By::Field(path) = &field.by else { return vec![Self::read(text, field)] };
        let (mut number, mut string) = (Self::Missing, Self::Missing);
        values_at(text, path, &mut |leaf| {
            let key = Self::of_leaf(leaf, field.ascending);
            let best = if matches!(key, Self::Number(_)) { &mut number } else { &mut string };
            if key > *best {
                *best = key;
            }
        });
        match (number, string) {
            (number, Self::Missing) => vec![number],
            (Self::Missing, string) => vec![string],
            (number, string) => vec![number, string],
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
                Some(value) => Self::Number(Number(if ascending { -value } else { value })),
                None => Self::Missing,
            },
        }
    }
}

/// The place of a document, in degrees. Nodes accept numbers, and numbers in strings.
pub(crate) fn point(text: &str) -> Option<(f64, f64)> {
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

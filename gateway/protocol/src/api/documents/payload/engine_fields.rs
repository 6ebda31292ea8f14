//! Fields of documents that only the engine can judge, and whose errors fail a whole task: `_geo`, `_geojson` and
//! `_vectors`.
//!
//! Invariants: a value counts as plain only where no engine refuses it. Any other value is suspect, and an engine has
//! to be asked. Pure: the caller knows what an index's settings make of it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

/// Vectors that an engine accepts for one embedder in one document.
const VECTORS_MAX: usize = 256;

/// The fields that only the engine judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineField {
    Geo,
    Geojson,
    Vectors,
}

impl EngineField {
    /// The field of this name, if it is one of these.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "_geo" => Some(Self::Geo),
            "_geojson" => Some(Self::Geojson),
            "_vectors" => Some(Self::Vectors),
            _ => None,
        }
    }
}

/// The value of such a field in one document of a payload.
#[derive(Clone, Debug)]
pub(crate) struct EngineValue {
    pub(crate) document: usize,
    pub(crate) field: EngineField,
    pub(crate) value: Range<usize>,
}

/// The values of a payload that an engine has to judge; documents are given by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineFields {
    pub geo: Vec<usize>,
    pub geojson: Vec<usize>,
    /// Documents whose `_vectors` are malformed under any settings.
    pub malformed: Vec<usize>,
    /// For each named embedder, which documents have vectors, and of which lengths.
    pub lengths: BTreeMap<String, BTreeMap<usize, Vec<usize>>>,
    /// For each named embedder, the documents whose vectors it has to make.
    pub generated: BTreeMap<String, Vec<usize>>,
    /// For each named embedder, the documents that name it.
    pub named: BTreeMap<String, Vec<usize>>,
}

impl EngineFields {
    /// Adds the field of one document.
    pub(crate) fn add(&mut self, document: usize, field: EngineField, text: &str) {
        let value = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        match field {
            EngineField::Geo if !is_plain_point(&value) => self.geo.push(document),
            EngineField::Geojson if !is_plain_geojson(&value) => self.geojson.push(document),
            EngineField::Geo | EngineField::Geojson => {}
            EngineField::Vectors => self.add_vectors(document, &value),
        }
    }

    fn add_vectors(&mut self, document: usize, value: &Value) {
        let Some(embedders) = value.as_object() else { return self.malformed.push(document) };
        for (name, value) in embedders {
            self.named.entry(name.clone()).or_default().push(document);
            match Vectors::of(value) {
                Vectors::Malformed => self.malformed.push(document),
                Vectors::Generated => self.generated.entry(name.clone()).or_default().push(document),
                Vectors::Of(lengths) => {
                    let by_length = self.lengths.entry(name.clone()).or_default();
                    for length in lengths {
                        by_length.entry(length).or_default().push(document);
                    }
                }
            }
        }
    }
}

/// What a document gives for one embedder.
enum Vectors {
    Malformed,
    Generated,
    /// The lengths of its vectors, each once.
    Of(Vec<usize>),
}

impl Vectors {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Of(Vec::new()),
            Value::Array(_) => Self::of_list(value),
            Value::Object(members) => {
                let known = members.keys().all(|name| name == "regenerate" || name == "embeddings");
                let regenerate = members.get("regenerate").and_then(Value::as_bool);
                match (known, regenerate, members.get("embeddings")) {
                    (true, Some(true), None) => Self::Generated,
                    (true, Some(false), None) => Self::Of(Vec::new()),
                    (true, Some(_), Some(list @ Value::Array(_))) => Self::of_list(list),
                    // Some engines read a null as no vectors, others as an empty list.
                    _ => Self::Malformed,
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::Malformed,
        }
    }

    fn of_list(value: &Value) -> Self {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if list.iter().all(Value::is_number) {
            return Self::Of(if list.is_empty() { Vec::new() } else { vec![list.len()] });
        }
        let mut lengths = Vec::new();
        for vector in list {
            match vector.as_array() {
                Some(vector) if vector.iter().all(Value::is_number) => lengths.push(vector.len()),
                _ => return Self::Malformed,
            }
        }
        if lengths.len() > VECTORS_MAX {
            return Self::Malformed;
        }
        lengths.sort_unstable();
        lengths.dedup();
        Self::Of(lengths)
    }
}

/// Whether a value is a null, or a latitude and longitude within the range of the earth, as numbers or texts of
/// numbers.
fn is_plain_point(value: &Value) -> bool {
    let is_within = |value: &Value, bound: f64| {
        let number = value.as_f64().or_else(|| value.as_str()?.parse::<f64>().ok());
        number.is_some_and(|number| number.abs() <= bound)
    };
    match value {
        Value::Null => true,
        Value::Object(members) => {
            let member = |name: &str, bound| members.get(name).is_some_and(|value| is_within(value, bound));
            members.len() == 2 && member("lat", 90.0) && member("lng", 180.0)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

/// Whether a value is a null, or a point, a line or a simple area within the range of the earth, without other
/// members.
fn is_plain_geojson(value: &Value) -> bool {
    let Value::Object(members) = value else { return value.is_null() };
    let kind = members.get("type").and_then(Value::as_str);
    let (Some(kind), Some(coordinates), 2) = (kind, members.get("coordinates"), members.len()) else {
        return false;
    };
    let lines = |value: &Value, least: usize| {
        value.as_array().is_some_and(|points| points.len() >= least && points.iter().all(is_position))
    };
    match kind {
        "Point" => is_position(coordinates),
        "MultiPoint" => lines(coordinates, 1),
        "LineString" => lines(coordinates, 2),
        "Polygon" => coordinates.as_array().is_some_and(|rings| {
            let is_ring =
                |ring: &Value| lines(ring, 4) && ring.get(0) == ring.as_array().and_then(|ring| ring.last());
            rings.len() == 1 && rings.iter().all(is_ring)
        }),
        _ => false,
    }
}

fn is_position(value: &Value) -> bool {
    let Some([longitude, latitude]) = value.as_array().map(Vec::as_slice) else { return false };
    let is_within = |value: &Value, bound: f64| value.as_f64().is_some_and(|number| number.abs() <= bound);
    is_within(longitude, 180.0) && is_within(latitude, 90.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(field: EngineField, value: &Value) -> EngineFields {
        let mut fields = EngineFields::default();
        fields.add(3, field, &value.to_string());
        fields
    }

    #[test]
    fn points_that_every_engine_takes_are_plain() {
        let check = |value: Value, plain: bool| {
            assert_eq!(fields(EngineField::Geo, &value).geo.is_empty(), plain, "{value}");
        };
        for value in [json!(null), json!({"lat": 1, "lng": -2.5}), json!({"lng": "2.5", "lat": "-90"})] {
            check(value, true);
        }
        for value in [
            json!("x"),
            json!([1, 2]),
            json!(7),
            json!(true),
            json!({}),
            json!({"lat": 1}),
            json!({"lng": 1}),
            json!({"lat": 1, "lng": 2, "alt": 3}),
            json!({"lat": "", "lng": 2}),
            json!({"lat": " 1", "lng": 2}),
            json!({"lat": "NaN", "lng": 2}),
            json!({"lat": 91, "lng": 2}),
            json!({"lat": 1, "lng": "inf"}),
            json!({"lat": [1], "lng": null}),
        ] {
            check(value, false);
        }
    }

    #[test]
    fn simple_shapes_are_plain() {
        let check = |value: Value, plain: bool| {
            assert_eq!(fields(EngineField::Geojson, &value).geojson.is_empty(), plain, "{value}");
        };
        let shape = |kind: &str, coordinates: Value| json!({"type": kind, "coordinates": coordinates});
        check(shape("Point", json!([2.5, 48])), true);
        check(shape("LineString", json!([[0, 0], [1, 1]])), true);
        check(shape("Polygon", json!([[[0, 0], [1, 0], [1, 1], [0, 0]]])), true);
        check(json!(null), true);
        check(shape("Point", json!([2.5])), false);
        check(shape("Point", json!([200, 1])), false);
        check(shape("Point", json!("x")), false);
        check(shape("LineString", json!([[0, 0]])), false);
        check(shape("Polygon", json!([[[0, 0], [1, 0], [1, 1]]])), false);
        check(shape("Sphere", json!([1, 2])), false);
        check(json!("x"), false);
        check(json!({"type": "Feature"}), false);
    }

    #[test]
    fn vectors_are_told_by_their_lengths() {
        let malformed = |value: Value| {
            assert_eq!(fields(EngineField::Vectors, &value).malformed, [3], "{value}");
        };
        for value in [
            json!(null),
            json!([1.0]),
            json!("x"),
            json!({"e": "x"}),
            json!({"e": 1}),
            json!({"e": [1, "x"]}),
            json!({"e": [[1], 2]}),
            json!({"e": [[1], ["x"]]}),
            json!({"e": {"embeddings": [1.0]}}),
            json!({"e": {"regenerate": "yes"}}),
            json!({"e": {"regenerate": true, "other": 1}}),
            json!({"e": {"regenerate": false, "embeddings": null}}),
            json!({"e": vec![json!([1.0]); 257]}),
        ] {
            malformed(value);
        }
        let lengths = |value: Value, expected: &[usize]| {
            let found = fields(EngineField::Vectors, &json!({"e": value}));
            assert!(found.malformed.is_empty(), "{value}");
            let found = found.lengths.get("e").map(|lengths| lengths.keys().copied().collect::<Vec<_>>());
            assert_eq!(found.unwrap_or_default(), expected, "{value}");
        };
        lengths(json!(null), &[]);
        lengths(json!([]), &[]);
        lengths(json!([1, 2.5, 3]), &[3]);
        lengths(json!([[1, 2], [3, 4], [5]]), &[1, 2]);
        lengths(json!({"regenerate": true, "embeddings": [1, 2]}), &[2]);
        lengths(json!({"regenerate": false}), &[]);
        let generated = fields(EngineField::Vectors, &json!({"e": {"regenerate": true}}));
        assert_eq!((&generated.generated["e"], &generated.named["e"]), (&vec![3], &vec![3]));
    }
}

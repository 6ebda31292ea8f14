//! Searches in query strings: `GET …/search` as the body of the `POST` route.
//!
//! Invariant: what cannot be converted is left to a node, which refuses it in the words of the `GET` route.

use serde_json::{Map, Value};

use crate::api::{
    http::query_string::{Query, members},
    search::request::NotUnderstood,
};

/// Converts the query string of `GET …/search` to the body of the `POST` route.
///
/// # Errors
/// [`NotUnderstood`]: a node then refuses the request as it came.
pub fn body_of_query(query: &Query<'_>) -> Result<Vec<u8>, NotUnderstood> {
    let mut body = Map::new();
    let mut hybrid = Map::new();
    for (name, text) in query.iter() {
        let value = match name {
            "q" | "distinct" | "highlightPreTag" | "highlightPostTag" | "cropMarker" | "matchingStrategy" => {
                Value::String(text.to_owned())
            }
            "offset" | "limit" | "page" | "hitsPerPage" | "cropLength" => {
                Value::from(text.parse::<u64>().map_err(|_| NotUnderstood)?)
            }
            "rankingScoreThreshold" => Value::from(text.parse::<f64>().map_err(|_| NotUnderstood)?),
            "retrieveVectors"
            | "showMatchesPosition"
            | "showRankingScore"
            | "showRankingScoreDetails"
            | "showPerformanceDetails" => Value::Bool(text.parse().map_err(|_| NotUnderstood)?),
            "attributesToRetrieve"
            | "attributesToCrop"
            | "attributesToHighlight"
            | "facets"
            | "attributesToSearchOn"
            | "locales" => members(text).collect(),
            "sort" => split_sort(text).into_iter().collect(),
            "vector" => {
                let numbers = members(text).map(|number| number.trim().parse::<f64>());
                numbers.collect::<Result<Vec<_>, _>>().map_err(|_| NotUnderstood)?.into()
            }
            "filter" if text.is_empty() => continue,
            "filter" => match serde_json::from_str(text) {
                Ok(value @ (Value::Array(_) | Value::String(_))) => value,
                _ => Value::String(text.to_owned()),
            },
            "hybridEmbedder" => {
                hybrid.insert("embedder".to_owned(), Value::String(text.to_owned()));
                continue;
            }
            "hybridSemanticRatio" => {
                let ratio = text.parse::<f64>().map_err(|_| NotUnderstood)?;
                hybrid.insert("semanticRatio".to_owned(), Value::from(ratio));
                continue;
            }
            _ => return Err(NotUnderstood),
        };
        body.insert(name.to_owned(), value);
    }
    if body.contains_key("vector") && !hybrid.contains_key("embedder") {
        return Err(NotUnderstood);
    }
    match (hybrid.is_empty(), hybrid.contains_key("embedder")) {
        (true, _) => {}
        (false, true) => drop(body.insert("hybrid".to_owned(), Value::Object(hybrid))),
        (false, false) => return Err(NotUnderstood),
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// Splits at commas, but not inside `_geoPoint(…)`.
pub(crate) fn split_sort(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text[start..position].trim());
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_become_bodies() {
        let check = |query: &str, expected: Result<&str, NotUnderstood>| {
            let body = body_of_query(&Query::parse(Some(query))).map(|body| String::from_utf8(body).unwrap());
            assert_eq!(body.as_deref().map_err(|error| *error), expected, "{query}");
        };
        check("q=a&limit=3", Ok(r#"{"q":"a","limit":3}"#));
        check("sort=_geoPoint(1,2):asc,a:desc", Ok(r#"{"sort":["_geoPoint(1,2):asc","a:desc"]}"#));
        check("filter=a%20%3D%201&facets=x,y", Ok(r#"{"filter":"a = 1","facets":["x","y"]}"#));
        check("filter=[[%22a%22]]", Ok(r#"{"filter":[["a"]]}"#));
        check(
            "hybridEmbedder=e&hybridSemanticRatio=0.3",
            Ok(r#"{"hybrid":{"embedder":"e","semanticRatio":0.3}}"#),
        );
        check("facets=&attributesToRetrieve=,", Ok(r#"{"facets":[],"attributesToRetrieve":[]}"#));
        check("facets=,a,,b&locales=", Ok(r#"{"facets":["a","b"],"locales":[]}"#));
        check("vector=1,,2,&hybridEmbedder=e", Ok(r#"{"vector":[1.0,2.0],"hybrid":{"embedder":"e"}}"#));
        check("limit=x", Err(NotUnderstood));
        check("nope=1", Err(NotUnderstood));
    }
}

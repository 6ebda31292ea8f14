//! Dotted paths into documents: which parts of a document a list of selectors names.
//! Invariants: `a.b` selects `b` inside `a`, also through arrays; `a` selects all of it; a field's own name may contain
//! dots. Source of the rules: Meilisearch's permissive JSON pointers.

use serde_json::{Map, Value};

/// Keeps the selected parts, in the document's order. Keeps objects and arrays on the way, even if they become empty.
pub(crate) fn select(document: Map<String, Value>, selectors: &[&str]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (field, value) in document {
        let inner = below(selectors, &field);
        if inner.is_empty() || (selectors.contains(&field.as_str()) && !field.contains('.')) {
            if selectors.contains(&field.as_str()) {
                kept.insert(field, value);
            }
            continue;
        }
        #[allow(clippy::wildcard_enum_match_arm, reason = "a scalar has nothing below it")]
        match value {
            Value::Object(object) => {
                kept.insert(field, select(object, &inner).into());
            }
            Value::Array(elements) => {
                kept.insert(field, select_elements(elements, &inner).into());
            }
            _ => {}
        }
    }
    kept
}

/// Calls `change` for every scalar below a selected path, with its dotted path and its array positions.
pub(crate) fn change_leaves(
    document: &mut Map<String, Value>,
    selectors: &[&str],
    change: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    change_object(document, selectors, "", &mut Vec::new(), change);
}

/// Whether the paths are equal or one lies below the other.
fn related(left: &str, right: &str) -> bool {
    milli::is_faceted_by(left, right) || milli::is_faceted_by(right, left)
}

/// The remainders of the selectors that lead into `field`.
fn below<'a>(selectors: &[&'a str], field: &str) -> Vec<&'a str> {
    selectors.iter().filter_map(|selector| selector.strip_prefix(field)?.strip_prefix('.')).collect()
}

fn select_elements(elements: Vec<Value>, selectors: &[&str]) -> Vec<Value> {
    elements
        .into_iter()
        .filter_map(|element| {
            #[allow(clippy::wildcard_enum_match_arm, reason = "a scalar has nothing below it")]
            match element {
                Value::Object(object) => {
                    Some(select(object, selectors)).filter(|kept| !kept.is_empty()).map(Value::Object)
                }
                Value::Array(inner) => Some(select_elements(inner, selectors).into()),
                _ => None,
            }
        })
        .collect()
}

fn change_object(
    object: &mut Map<String, Value>,
    selectors: &[&str],
    base: &str,
    positions: &mut Vec<usize>,
    change: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    for (field, value) in object {
        let path = if base.is_empty() { field.clone() } else { format!("{base}.{field}") };
        if selectors.iter().any(|selector| related(selector, &path)) {
            change_value(value, selectors, &path, positions, change);
        }
    }
}

fn change_value(
    value: &mut Value,
    selectors: &[&str],
    path: &str,
    positions: &mut Vec<usize>,
    change: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    match value {
        Value::Object(object) => change_object(object, selectors, path, positions, change),
        Value::Array(elements) => {
            for (position, element) in elements.iter_mut().enumerate() {
                positions.push(position);
                change_value(element, selectors, path, positions, change);
                positions.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => change(path, positions, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: &Value, selectors: &[&str], expected: &Value) {
        let kept = select(document.as_object().unwrap().clone(), selectors);
        assert_eq!(&Value::Object(kept), expected, "{selectors:?}");
    }

    #[test]
    fn selectors_reach_through_objects_arrays_and_dotted_names() {
        let document = json!({
            "id": 1, "a": {"b": 2, "c": {"d": 3}}, "list": [{"x": 1, "y": 2}, {"y": 3}, 4], "a.b": "dotted"
        });
        check(&document, &["id", "missing"], &json!({"id": 1}));
        check(&document, &["a.b"], &json!({"a": {"b": 2}, "a.b": "dotted"}));
        check(&document, &["a", "a.b"], &json!({"a": {"b": 2, "c": {"d": 3}}, "a.b": "dotted"}));
        check(&document, &["list.x"], &json!({"list": [{"x": 1}]}));
        check(&document, &["a.nothing"], &json!({"a": {}}));
    }

    #[test]
    fn leaves_are_visited_with_path_and_positions() {
        let mut document = json!({"a": [{"b": "x"}, {"b": ["y", "z"]}], "c": 1});
        let mut seen = Vec::new();
        let object = document.as_object_mut().unwrap();
        change_leaves(object, &["a.b"], &mut |path, positions, value| {
            seen.push((path.to_owned(), positions.to_vec(), value.take()));
        });
        assert_eq!(
            seen,
            [
                ("a.b".to_owned(), vec![0], json!("x")),
                ("a.b".to_owned(), vec![1, 0], json!("y")),
                ("a.b".to_owned(), vec![1, 1], json!("z")),
            ]
        );
    }
}

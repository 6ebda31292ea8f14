//! Templates of embedders on nodes: loops in them pass over the reserved fields, so that no embedding service gets these
//! and a write that changes no text embeds nothing.
//!
//! Invariants: a template for nodes renders as the client's does for a document without reserved fields. What nodes
//! show is the client's template again. Source: Meilisearch's document templates (Liquid), 1.15 to 1.50.

use router::reserved::{EXPIRES_AT_FIELD, PREFIX, SHARD_FIELD, UPDATED_AT_FIELD};
use serde_json::{Map, Value, json};

/// The template of an embedder whose user gave none.
const DEFAULT: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: \
                       {{ field.value }}\n{% endif %}{% endfor %}";
/// What tells a guard from a condition of the client's.
const MARK: &str = " == \"_miroir_shard\" or ";
const GUARD_ENDS: &str = "endif ";

/// The embedders to send to nodes for those in a change; `owned` has all members of these after the change.
pub(super) fn for_nodes(change: &Value, owned: &Value) -> Value {
    let mut embedders = change.clone();
    for (name, embedder) in embedders.as_object_mut().into_iter().flatten() {
        if let Some(members) = embedder.as_object_mut() {
            guard_embedder(members, &owned[name.as_str()]);
        }
    }
    embedders
}

/// Takes out of settings of nodes what `for_nodes` has put in.
pub(super) fn from_node(value: &mut Value) {
    change_texts(value, &unguarded);
}

/// Whether a template in a client's embedders names a reserved field.
pub(super) fn name_reserved(embedders: &Value) -> bool {
    match embedders {
        Value::String(text) => text.contains(PREFIX),
        Value::Array(values) => values.iter().any(name_reserved),
        Value::Object(members) => members.values().any(name_reserved),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn guard_embedder(members: &mut Map<String, Value>, owned: &Value) {
    match members.get_mut("documentTemplate") {
        Some(Value::String(template)) => *template = guarded(template),
        None | Some(Value::Null) if takes_template(owned) && !owned["documentTemplate"].is_string() => {
            members.insert("documentTemplate".to_owned(), json!(guarded(DEFAULT)));
        }
        None | Some(_) => {}
    }
    if let Some(fragments) = members.get_mut("indexingFragments") {
        change_texts(fragments, &guarded);
    }
    if let Some(Value::Object(indexing)) = members.get_mut("indexingEmbedder") {
        guard_embedder(indexing, &owned["indexingEmbedder"]);
    }
}

/// Whether an embedder makes texts of documents by one template.
fn takes_template(embedder: &Value) -> bool {
    let source = embedder["source"].as_str().unwrap_or("openAi");
    let has_fragments = embedder["indexingFragments"].as_object().is_some_and(|names| !names.is_empty());
    ["openAi", "huggingFace", "ollama", "rest"].contains(&source) && !has_fragments
}

fn change_texts(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| change_texts(value, change)),
        Value::Object(members) => members.values_mut().for_each(|value| change_texts(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A template whose loops over the fields of a document pass over the reserved ones.
#[must_use]
pub fn guarded(template: &str) -> String {
    // Names that stand for all fields, and how a loop over them names the one that it is at.
    let mut lists = vec![("fields".to_owned(), ".name"), ("doc".to_owned(), "[0]")];
    let mut text = String::with_capacity(template.len() + 128);
    let mut rest = template;
    while let Some((begin, end)) = rest.find("{%").and_then(|at| Some((at, at + rest[at..].find("%}")? + 2)))
    {
        let inner = &rest[begin + 2..end - 2];
        let trims = inner.ends_with('-');
        let words = inner.trim_matches('-').split_whitespace().collect::<Vec<_>>();
        text.push_str(&rest[..end]);
        rest = &rest[end..];
        match words[..] {
            ["raw", ..] => {
                let skipped = rest.find("endraw").unwrap_or(rest.len());
                text.push_str(&rest[..skipped]);
                rest = &rest[skipped..];
            }
            ["assign", name, "=", list, ..] => {
                let list = list.trim_end_matches('|');
                let known = lists.iter().find(|(known, _)| known == list).map(|(_, at)| *at);
                lists.extend(known.map(|at| (name.to_owned(), at)));
            }
            ["for" | "tablerow", name, "in", list, ..] => {
                if let Some((_, at)) = lists.iter().find(|(known, _)| known == list) {
                    text.push_str(&guard(&format!("{name}{at}"), trims));
                }
            }
            _ => {}
        }
    }
    text.push_str(rest);
    text
}

/// Ends a turn of a loop that is at a reserved field.
fn guard(at: &str, trims: bool) -> String {
    let close = if trims { "-%}" } else { "%}" };
    format!(
        "{{% if {at}{MARK}{at} == \"{UPDATED_AT_FIELD}\" or {at} == \"{EXPIRES_AT_FIELD}\" %}}{{% continue %}}{{% \
         {GUARD_ENDS}{close}"
    )
}

/// A template, or a message that quotes one, without guards.
#[must_use]
pub fn unguarded(text: &str) -> String {
    let mut kept = text.to_owned();
    while let Some(mark) = kept.find(MARK) {
        let begin = kept[..mark].rfind("{%");
        let end =
            kept[mark..].find(GUARD_ENDS).and_then(|at| Some(mark + at + kept[mark + at..].find("%}")? + 2));
        match (begin, end) {
            (Some(begin), Some(end)) => kept.replace_range(begin..end, ""),
            // A message may quote a part of a guard; the rest of its line says nothing to a client.
            (begin, _) => {
                let begin = begin.unwrap_or(mark);
                let end = kept[mark..].find('\n').map_or(kept.len(), |at| mark + at);
                kept.replace_range(begin..end, "");
            }
        }
    }
    kept
}

const _: () = assert!(SHARD_FIELD.len() == "_miroir_shard".len());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_over_fields_pass_over_reserved_ones() {
        let check = |template: &str, loops: usize| {
            let text = guarded(template);
            assert_eq!(text.matches(SHARD_FIELD).count(), loops, "{text}");
            assert_eq!(unguarded(&text), template);
        };
        check(DEFAULT, 1);
        check("{{doc.title}}", 0);
        check("", 0);
        check("{% for", 0);
        check("{%- for f in fields limit:3 -%} {{f.name}} {%- endfor -%}", 1);
        check("{% for a in doc %}{% for b in fields reversed %}{{a[0]}}{% endfor %}{% endfor %}", 2);
        check("{% for tag in doc.tags %}{{tag}}{% endfor %}", 0);
        check("{% assign all = fields %}{% for f in all %}{{f.name}}{% endfor %}", 1);
        check("{% raw %}{% for f in fields %}{% endraw %}{% for f in fields %}{% endfor %}", 1);
        check("{% tablerow f in fields %}{{f.value}}{% endtablerow %}", 1);
        check("{% for i in (1..3) %}{{i}}{% endfor %}", 0);
    }

    #[test]
    fn a_guard_trims_what_its_loop_trims() {
        let guarded = guarded("{% for f in fields -%}  x{% endfor %}");
        assert!(guarded.contains("endif -%}  x"), "{guarded}");
        let quoted = "cannot parse: {% if f.name == \"_miroir_shard\" or f.na\nand more";
        assert_eq!(unguarded(quoted), "cannot parse: \nand more");
    }

    #[test]
    fn embedders_that_make_texts_have_a_template_on_nodes() {
        let check = |change: Value, owned: Value, expected: Value| {
            assert_eq!(for_nodes(&change, &owned), expected, "{change}");
        };
        let own = "{% for f in fields %}{% endfor %}";
        let default = guarded(DEFAULT);
        let rest = json!({"e": {"source": "rest", "url": "u"}});
        check(
            rest.clone(),
            rest.clone(),
            json!({"e": {"source": "rest", "url": "u", "documentTemplate": default}}),
        );
        // A change that says nothing of a template that the client has given leaves it alone.
        let owned = json!({"e": {"source": "rest", "documentTemplate": own}});
        check(json!({"e": {"url": "v"}}), owned, json!({"e": {"url": "v"}}));
        let reset = json!({"e": {"documentTemplate": null}});
        check(reset, rest, json!({"e": {"documentTemplate": default}}));
        let given = json!({"e": {"documentTemplate": own}});
        check(given.clone(), given, json!({"e": {"documentTemplate": guarded(own)}}));
        for source in [json!({"source": "userProvided", "dimensions": 2}), Value::Null] {
            check(json!({"e": source.clone()}), json!({"e": source.clone()}), json!({"e": source}));
        }
        let fragments = |text: &str| json!({"e": {"source": "rest", "indexingFragments": {"a": {"value": {"t": [text]}}}}});
        check(fragments(own), fragments(own), fragments(&guarded(own)));
        let composite = |indexing: Value| json!({"e": {"source": "composite", "indexingEmbedder": indexing, "searchEmbedder": {"source": "rest"}}});
        let bare = composite(json!({"source": "ollama"}));
        check(bare.clone(), bare, composite(json!({"source": "ollama", "documentTemplate": default})));
    }

    #[test]
    fn clients_see_their_own_templates() {
        let own = json!({"e": {"documentTemplate": DEFAULT, "request": {"input": ["{{text}}", "{{..}}"]}}});
        let mut shown = for_nodes(&own, &own);
        assert_ne!(shown, own);
        from_node(&mut shown);
        assert_eq!(shown, own);
        assert!(name_reserved(&json!({"e": {"documentTemplate": "{{ doc._miroir_shard }}"}})));
        assert!(!name_reserved(&own));
    }
}

//! Lists of attributes for nodes of which some do not know every field that the client names.
//!
//! A node leaves out of a list what none of its documents has. So it does not give the parents that a path such as
//! `title.de` goes through, does not mark a text `title` that `title.fr` covers, and gives no `_formatted` where it
//! knows no field that is to be marked. Legs are then asked for the whole top-level fields, and the merge cuts.
//! Invariant: a field that no node knows is left out, as one node leaves it out.

use std::borrow::Cow;

use merge::{ExtraFields, Marks};

use crate::api::{
    index_rules::IndexRules,
    search::request::{SearchRequest, holds, is_below, name_of, shown_list},
};

/// A field that every document of an index has, and in which no word can be marked.
const UNMARKED: &str = "_miroir_shard";

/// The lists of attributes for legs, and what the merge cuts.
#[derive(Debug, Clone)]
pub(super) struct Widened {
    /// `None` is everything.
    retrieve: Option<Vec<String>>,
    highlight: Vec<String>,
    crop: Vec<String>,
    /// The top-level fields that legs are asked for beside what the client named.
    roots: Vec<String>,
    /// The paths that the client gets in hits; `None` is everything.
    retrieved: Option<Vec<String>>,
    /// The paths that are to be marked.
    marked: Vec<String>,
}

impl Widened {
    /// The list of a quoted name.
    pub(super) fn list(&self, quoted_name: &str) -> Option<Vec<String>> {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        match quoted_name {
            "\"attributesToRetrieve\"" => self.retrieve.clone(),
            "\"attributesToHighlight\"" => some(&self.highlight),
            _ => some(&self.crop),
        }
    }

    /// What the merge cuts beside `extra`, which it requested for itself.
    pub(super) fn also_cut(
        &self,
        extra: Option<ExtraFields<'static>>,
        always: &[String],
    ) -> ExtraFields<'static> {
        let retrieved = self.retrieved.clone().unwrap_or_else(|| vec!["*".to_owned()]);
        let retrieved = retrieved.into_iter().chain(always.iter().cloned()).collect::<Vec<_>>();
        let formatted = retrieved.iter().chain(&self.marked).cloned();
        let mut cut = ExtraFields {
            members: extra.map(|extra| extra.members).unwrap_or_default(),
            formatted: formatted.map(Cow::Owned).collect(),
            retrieved: Vec::new(),
        };
        let kept = |root: &&String| !retrieved.iter().any(|path| path == *root || path == "*");
        cut.members.extend(self.roots.iter().filter(kept).cloned().map(Cow::Owned));
        cut.retrieved = retrieved.into_iter().map(Cow::Owned).collect();
        cut
    }
}

impl SearchRequest<'_> {
    /// Whether the client, or the index's settings, name fields of the hits one by one.
    #[must_use]
    pub fn names_fields(&self, rules: &IndexRules) -> bool {
        let lists = [&self.attributes_to_retrieve, &self.attributes_to_highlight, &self.attributes_to_crop];
        rules.displayed.is_some() || lists.into_iter().any(Option::is_some)
    }

    /// The paths inside top-level fields that the client's lists name. Their order in the answer depends on no leg.
    #[must_use]
    pub fn inner_fields(&self, rules: &IndexRules) -> Vec<String> {
        let retrieved = shown_list(self.attributes_to_retrieve.as_deref(), rules, true).unwrap_or_default();
        let whole = retrieved.iter().any(|path| path == "*");
        let retrieved = retrieved.into_iter().filter(|_| !whole);
        let mut names = retrieved.chain(self.marked_fields(rules)).collect::<Vec<_>>();
        names.retain(|name| name.contains('.'));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The fields to highlight or crop by name; empty where all are marked, or none.
    #[must_use]
    pub fn fields_marked_by_name(&self, rules: &IndexRules) -> Vec<String> {
        let names = self.marked_fields(rules);
        if names.iter().any(|name| name == "*") { Vec::new() } else { names }
    }

    fn marked_fields(&self, rules: &IndexRules) -> Vec<String> {
        let lists = [&self.attributes_to_highlight, &self.attributes_to_crop];
        let lists = lists.into_iter().filter_map(|list| shown_list(list.as_deref(), rules, false)).flatten();
        lists.map(|entry| name_of(&entry).to_owned()).collect()
    }

    /// The same query for nodes of which some do not know every field that it names; `known` are those of its fields
    /// that some node knows. Nothing else is asked otherwise where nodes do not differ.
    #[must_use]
    pub fn widened(&self, known: &[String], rules: &IndexRules) -> Self {
        let is_known = |entry: &String| {
            let name = name_of(entry);
            name == "*" || known.iter().any(|known| known == name)
        };
        let may_be_asked = |entry: &String| !entry.contains('.') || is_known(entry);
        let list = |requested: &Option<Vec<String>>, all: bool| {
            let list = shown_list(requested.as_deref(), rules, all)?;
            Some(list.into_iter().filter(may_be_asked).collect::<Vec<_>>())
        };
        let retrieved = list(&self.attributes_to_retrieve, true);
        let mut highlight = list(&self.attributes_to_highlight, false).unwrap_or_default();
        let mut crop = list(&self.attributes_to_crop, false).unwrap_or_default();
        let marks = highlight.iter().chain(&crop).any(is_known);
        let marked = highlight.iter().chain(&crop).map(|entry| name_of(entry).to_owned()).collect::<Vec<_>>();
        let mut roots = Vec::new();
        let retrieve = retrieved.clone().map(|mut list| {
            for root in roots_of(&list) {
                if !holds(&list, &root) {
                    list.push(root.clone());
                }
                roots.push(root);
            }
            list
        });
        roots.extend(roots_of(&marked));
        roots.sort_unstable();
        roots.dedup();
        let missing = roots_of(&highlight).into_iter().filter(|root| !highlight.contains(root));
        let missing = missing.collect::<Vec<_>>();
        highlight.extend(missing);
        crop.extend(cropped_roots(&crop));
        match marks {
            true => highlight.push(UNMARKED.to_owned()),
            // One node formats nothing where it knows nothing that is to be marked.
            false => [&mut highlight, &mut crop].into_iter().for_each(Vec::clear),
        }
        let marked = if marks { marked } else { Vec::new() };
        let widened = Widened { retrieve, highlight, crop, roots, retrieved, marked };
        Self { widened: Some(widened), ..self.clone() }
    }

    /// The marks of a widened query that stand where one node sets none.
    #[must_use]
    pub fn marks(&self) -> Option<Marks<'_>> {
        let widened = self.widened.as_ref()?;
        Some(Marks { roots: &widened.roots, wanted: &widened.marked })
            .filter(|marks| !marks.wanted.is_empty() && !marks.wanted.iter().any(|name| name == "*"))
    }
}

/// The top-level fields of paths inside such fields.
fn roots_of(entries: &[String]) -> Vec<String> {
    let roots = entries.iter().filter_map(|entry| Some(name_of(entry).split_once('.')?.0.to_owned()));
    let mut roots = roots.collect::<Vec<_>>();
    roots.sort_unstable();
    roots.dedup();
    roots
}

/// The top-level fields to crop, each as long as the paths inside it; none where these differ in length, since a node
/// would take one length for all of them.
fn cropped_roots(crop: &[String]) -> Vec<String> {
    let length = |entry: &String| entry.split_once(':').map(|(_, length)| length.to_owned());
    let mut found = Vec::new();
    for root in roots_of(crop) {
        let below = crop.iter().filter(|entry| is_below(name_of(entry), &root)).collect::<Vec<_>>();
        let named = below.iter().any(|entry| name_of(entry) == root);
        let first = below.first().and_then(|entry| length(entry));
        if !named && below.iter().all(|entry| length(entry) == first) {
            found.push(first.map_or_else(|| root.clone(), |length| format!("{root}:{length}")));
        }
    }
    found
}

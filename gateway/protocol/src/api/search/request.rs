//! A search as the client sent it, and the request that every leg gets for it.
//!
//! Invariants: only what the gateway must know is read, everything else is copied as raw JSON. A request that the
//! gateway cannot read is given to a node, which refuses it in Meilisearch's own words. Source: Meilisearch's search
//! route, 1.15 to 1.50.

pub mod nullable;
mod widened;

use std::{borrow::Cow, hash::Hash};

use ahash::RandomState;
use merge::{ExtraFields, FacetRules, Paging};
use serde_json::Value;
use sonic_rs::{JsonValueTrait, LazyValue};
use store::IndexRecord;

use crate::api::{
    http::json_depth::is_bounded,
    index_rules::IndexRules,
    search::{
        filter::{combine_filters, narrow},
        key_filter::pinned_keys,
        narrowing::NotNarrowed,
        nullable::is_absent,
        request::widened::Widened,
    },
};

/// The gateway does not understand the request: a node tells what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUnderstood;

/// The distinct attribute with which nodes leave out no hits, whatever the index's settings: it counts as filterable
/// since the reserved field above it is, and no document has it.
const NOT_DISTINCT: &str = "\"_miroir_shard.none\"";

/// Hits per page when the client does not say.
pub(crate) const HITS_DEFAULT: usize = 20;
/// A node numbers its documents with 32 bits, so no leg has more.
pub(crate) const LEG_HITS_MAX: usize = u32::MAX as usize;

/// What the gateway reads of a search; the rest stays raw.
#[derive(Clone)]
pub struct SearchRequest<'a> {
    pub paging: Paging,
    pub show_ranking_score: bool,
    pub show_ranking_score_details: bool,
    /// The attribute of which no two hits may share a value, if the query names one.
    pub distinct: Option<String>,
    /// Set when the query has a semantic half, or is semantic only.
    pub hybrid: Option<Hybrid<'a>>,
    /// Whether only hits found by their vector count.
    pub only_vectors: bool,
    /// Whether the gateway itself reads the details, so that nothing is hidden from them.
    pub raw_details: bool,
    show_matches_position: bool,
    /// The field that identifies documents, where hits of several lists are merged.
    identity: Option<String>,
    /// Whether there are words to search for.
    has_words: bool,
    /// Whether the client gave the vector of the words.
    has_vector: bool,
    /// Whether facets were requested with `*`.
    all_facets: bool,
    sort: Vec<String>,
    filter: Option<Cow<'a, str>>,
    attributes_to_retrieve: Option<Vec<String>>,
    attributes_to_highlight: Option<Vec<String>>,
    attributes_to_crop: Option<Vec<String>>,
    /// Fields that are retrieved whatever the client requested and the settings hide.
    always_retrieved: Vec<String>,
    /// The lists of attributes for nodes of which some do not know every field that the client names.
    widened: Option<Widened>,
    /// Members copied to the legs unchanged: quoted names and raw values.
    copied: Vec<(String, Cow<'a, str>)>,
}

/// The `hybrid` parameter of a query.
#[derive(Clone)]
pub struct Hybrid<'a> {
    /// The raw JSON string.
    embedder: Cow<'a, str>,
    /// The share of the semantic half, from 0 to 1.
    pub semantic_ratio: f32,
}

/// Which lists a query with an embedder needs (Meilisearch's `search_kind`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchKind {
    /// One list: by keywords, by vector, or everything.
    Single,
    /// Two lists to be merged, with the share of the semantic one.
    Hybrid { semantic_ratio: f32 },
}

/// What one leg has to answer beside what the client requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegNeeds {
    /// Hits from the start of the order.
    pub hits: usize,
    /// Whether its hits will be merged with those of other legs.
    pub merged: bool,
    /// Whether it must keep hits that share a distinct value.
    pub plain: bool,
}

impl<'a> SearchRequest<'a> {
    /// Reads the JSON body of `POST …/search`; an empty body is an empty search.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &'a [u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let mut request = Self {
            paging: Paging::Offset { offset: 0, limit: HITS_DEFAULT },
            show_ranking_score: false,
            show_ranking_score_details: false,
            distinct: None,
            hybrid: None,
            only_vectors: false,
            raw_details: false,
            show_matches_position: false,
            identity: None,
            has_words: false,
            has_vector: false,
            all_facets: false,
            sort: Vec::new(),
            filter: None,
            attributes_to_retrieve: None,
            attributes_to_highlight: None,
            attributes_to_crop: None,
            always_retrieved: Vec::new(),
            widened: None,
            copied: Vec::with_capacity(8),
        };
        let (mut offset, mut limit, mut page, mut hits_per_page) = (None, None, None, None);
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            if is_absent(&name, &value)? {
                continue;
            }
            match name.as_ref() {
                "offset" => offset = Some(count(&value)?),
                "limit" => limit = Some(count(&value)?),
                "page" => page = Some(count(&value)?),
                "hitsPerPage" => hits_per_page = Some(count(&value)?),
                "showRankingScore" => {
                    request.show_ranking_score = flag(&value)?;
                    request.copy(&name, &value);
                }
                "showRankingScoreDetails" => request.show_ranking_score_details = flag(&value)?,
                "showMatchesPosition" => {
                    request.show_matches_position = flag(&value)?;
                    request.copy(&name, &value);
                }
                "filter" => request.filter = Some(filter(raw(&value))?),
                "attributesToRetrieve" => request.attributes_to_retrieve = Some(names(&value)?),
                "attributesToHighlight" => request.attributes_to_highlight = Some(names(&value)?),
                "attributesToCrop" => request.attributes_to_crop = Some(names(&value)?),
                _ => {
                    request.read_copied(&name, &value)?;
                    request.copy(&name, &value);
                }
            }
        }
        request.paging = match (page, hits_per_page) {
            (None, None) => {
                Paging::Offset { offset: offset.unwrap_or(0), limit: limit.unwrap_or(HITS_DEFAULT) }
            }
            _ => {
                Paging::Page { page: page.unwrap_or(1), hits_per_page: hits_per_page.unwrap_or(HITS_DEFAULT) }
            }
        };
        Ok(request)
    }

    /// Reads a member that legs get unchanged.
    fn read_copied(&mut self, name: &str, value: &LazyValue<'a>) -> Result<(), NotUnderstood> {
        let text = || value.as_str().ok_or(NotUnderstood);
        match name {
            "hybrid" => self.hybrid = Some(Hybrid::read(value)?),
            "vector" => self.has_vector = true,
            "q" => self.has_words = !text()?.trim().is_empty(),
            "distinct" => self.distinct = Some(text()?.to_owned()),
            "sort" => self.sort = names(value)?,
            "facets" => self.all_facets = names(value)?.iter().any(|name| name == "*"),
            _ => {}
        }
        Ok(())
    }

    /// Narrows the search by the filter of a tenant's search rules.
    pub fn restrict(&mut self, rules: Option<String>) {
        if let Some(rules) = rules {
            self.filter = Some(narrow(self.filter.as_deref(), rules).into());
        }
    }

    /// The keys of which every hit has one, where the filter tells them. Facets need every shard: their names depend
    /// on every document.
    ///
    /// # Errors
    /// The reason why no keys are pinned.
    pub fn pinned_keys(&self, record: &IndexRecord) -> Result<Vec<String>, NotNarrowed> {
        let filter = self.filter.as_deref().ok_or(NotNarrowed::NoFilter)?;
        let primary_key = record.primary_key.as_deref().ok_or(NotNarrowed::NoPrimaryKey)?;
        let keys = pinned_keys(filter, primary_key).filter(|keys| !keys.is_empty());
        let keys = keys.ok_or(NotNarrowed::NotPinned)?;
        if !record.keys_are_plain {
            return Err(NotNarrowed::KeysNotPlain);
        }
        if self.copied_value("\"facets\"").is_some() {
            return Err(NotNarrowed::Facets);
        }
        Ok(keys)
    }

    /// Whether legs may be asked for fewer hits than the page has: what the answer shows depends on its own hits alone,
    /// and their order on nothing beyond them. Scores are measured over all hits of the legs, buckets of places may begin
    /// before a page, and a node finds the neighbours of a vector by how many are asked for.
    #[must_use]
    pub fn may_be_asked_shallow(&self) -> bool {
        let sorts_by_place = self.copied_value("\"sort\"").is_some_and(|sort| sort.contains("_geoPoint"));
        let by_vector = self.hybrid.is_some() || self.copied_value("\"vector\"").is_some();
        !(sorts_by_place
            || by_vector
            || self.has_threshold()
            || self.show_ranking_score
            || self.show_ranking_score_details
            || self.only_vectors)
    }

    /// The same number for every page of one query.
    #[must_use]
    pub fn turn(&self) -> usize {
        turn_of((&self.filter, &self.copied))
    }

    fn copy(&mut self, name: &str, value: &LazyValue<'a>) {
        self.copied.push((sonic_rs::to_string(name).unwrap_or_default(), raw(value)));
    }

    /// The number of hits from the start of the order to the end of the client's page, as far as one node gives them.
    #[must_use]
    pub fn hits_wanted(&self, rules: &IndexRules) -> usize {
        self.page_end().min(rules.hits_total_max).min(LEG_HITS_MAX)
    }

    /// The part of a leg's body that is the same for all legs: everything but the filter, without the closing brace.
    #[must_use]
    pub fn leg_prefix(&self, rules: &IndexRules, needs: LegNeeds) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        body.push(b'{');
        match self.paging {
            Paging::Offset { .. } => {
                member(&mut body, "\"offset\"", "0");
                number_member(&mut body, "\"limit\"", needs.hits);
            }
            Paging::Page { .. } => {
                member(&mut body, "\"page\"", "1");
                number_member(&mut body, "\"hitsPerPage\"", needs.hits);
            }
        }
        if needs.merged || self.show_ranking_score_details {
            member(&mut body, "\"showRankingScoreDetails\"", "true");
        }
        for (name, value) in self.copied.iter().filter(|(name, _)| !needs.plain || name != "\"distinct\"") {
            member(&mut body, name, value);
        }
        if needs.plain {
            member(&mut body, "\"distinct\"", NOT_DISTINCT);
        }
        self.push_attributes(&mut body, rules, needs.merged);
        body
    }

    /// The attribute that makes hits distinct: the query's, else the index's.
    #[must_use]
    pub fn distinct<'r>(&'r self, rules: &'r IndexRules) -> Option<&'r str> {
        self.distinct.as_deref().or(rules.distinct.as_deref())
    }

    /// How facets are ordered and cut. `orders_under_star`: whether nodes order each facet by its own setting when
    /// asked for all facets.
    #[must_use]
    pub fn facet_rules<'r>(&self, rules: &'r IndexRules, orders_under_star: bool) -> &'r FacetRules {
        if self.all_facets && !orders_under_star { &rules.facets_in_one_order } else { &rules.facets }
    }

    /// The nodes' tie-break, to be cut out of details: none where the client itself sorts by the primary key.
    #[must_use]
    pub fn tie_break<'r>(&self, rules: &'r IndexRules) -> Option<&'r str> {
        let tie_break = rules.tie_break.as_ref()?;
        let sorts_by_key =
            |rule: &String| rule.rsplit_once(':').is_some_and(|(field, _)| field == tie_break.field);
        (!self.sort.iter().any(sorts_by_key)).then_some(tie_break.raw_rule.as_str())
    }

    /// The name of the embedder that the query names.
    #[must_use]
    pub fn embedder(&self) -> Option<String> {
        sonic_rs::from_str(&self.hybrid.as_ref()?.embedder).ok()
    }

    /// Whether the query has one list or two halves.
    #[must_use]
    pub fn kind(&self) -> SearchKind {
        match &self.hybrid {
            Some(hybrid) if self.has_words && hybrid.semantic_ratio > 0.0 && hybrid.semantic_ratio < 1.0 => {
                SearchKind::Hybrid { semantic_ratio: hybrid.semantic_ratio }
            }
            _ => SearchKind::Single,
        }
    }

    /// Whether nodes would have to embed the query: it has an embedder, words, and no vector.
    #[must_use]
    pub fn needs_embedding(&self) -> bool {
        let embeds = |hybrid: &Hybrid<'_>| hybrid.semantic_ratio > 0.0;
        self.has_words && !self.has_vector && self.hybrid.as_ref().is_some_and(embeds)
    }

    /// The same query, whose hits `primary_key` identifies.
    #[must_use]
    pub fn identified_by(&self, primary_key: &str) -> Self {
        Self { identity: Some(primary_key.to_owned()), ..self.clone() }
    }

    /// The keyword half of a hybrid query, from the first hit on, with scores.
    #[must_use]
    pub fn keyword_half(&self, hits: usize) -> Self {
        let mut half = self.whole_list(hits);
        half.hybrid = None;
        half.has_vector = false;
        half.copied.retain(|(name, _)| name != "\"hybrid\"" && name != "\"vector\"");
        half
    }

    /// The semantic half of a hybrid query, from the first hit on, with scores.
    ///
    /// Nodes mark matched words in a hybrid search, but not in one by vector alone. Where the client wants them
    /// marked, the half is a hybrid search with hardly any keyword share, whose first hits are those of the vector.
    #[must_use]
    pub fn semantic_half(&self, hits: usize) -> Self {
        let mut half = self.whole_list(hits);
        let marks_words = self.show_matches_position
            || self.attributes_to_highlight.is_some()
            || self.attributes_to_crop.is_some();
        half.only_vectors = marks_words;
        if let Some(hybrid) = &mut half.hybrid {
            hybrid.semantic_ratio = if marks_words { 0.999_999_9 } else { 1.0 };
            let value =
                format!("{{\"embedder\":{},\"semanticRatio\":{}}}", hybrid.embedder, hybrid.semantic_ratio);
            half.set("\"hybrid\"", value);
        }
        half
    }

    /// The same query with the vector of its words.
    #[must_use]
    pub fn with_vector(mut self, vector: String) -> Self {
        self.has_vector = true;
        self.set("\"vector\"", vector);
        self
    }

    fn whole_list(&self, hits: usize) -> Self {
        let mut list = self.clone();
        list.paging = match self.paging {
            Paging::Offset { .. } => Paging::Offset { offset: 0, limit: hits },
            Paging::Page { .. } => Paging::Page { page: 1, hits_per_page: hits },
        };
        list.show_ranking_score = true;
        list.show_ranking_score_details = true;
        list.raw_details = true;
        list.set("\"showRankingScore\"", "true".to_owned());
        list
    }

    fn set(&mut self, quoted_name: &str, value: String) {
        self.copied.retain(|(name, _)| name != quoted_name);
        self.copied.push((quoted_name.to_owned(), Cow::Owned(value)));
    }

    /// A body, without its closing brace, that asks for the vector of the query's words and as little else as
    /// possible.
    #[must_use]
    pub fn embedding_prefix(&self) -> Vec<u8> {
        let mut body = b"{\"limit\":1,\"attributesToRetrieve\":[],\"retrieveVectors\":true".to_vec();
        for (name, value) in self.copied.iter().filter(|(name, _)| name == "\"q\"") {
            member(&mut body, name, value);
        }
        if let Some(hybrid) = &self.hybrid {
            let value = format!("{{\"embedder\":{},\"semanticRatio\":1.0}}", hybrid.embedder);
            member(&mut body, "\"hybrid\"", &value);
        }
        body
    }

    /// The filter as raw JSON.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// The sort expressions.
    #[must_use]
    pub fn sort(&self) -> &[String] {
        &self.sort
    }

    /// Hits from the start of the order to the end of the client's page.
    #[must_use]
    pub fn page_end(&self) -> usize {
        match self.paging {
            Paging::Offset { offset, limit } => offset.saturating_add(limit),
            Paging::Page { page, hits_per_page } => page.saturating_mul(hits_per_page),
        }
    }

    /// Whether it finds everything that its filter lets through.
    #[must_use]
    pub fn finds_everything(&self) -> bool {
        !self.has_words && !self.has_vector && self.hybrid.is_none()
    }

    /// A body, without its closing brace, that asks for up to `hits` hits with these attributes only. `plain`: legs
    /// keep hits that share a distinct value.
    #[must_use]
    pub fn counting_prefix(&self, attributes: &[&str], hits: usize, plain: bool) -> Vec<u8> {
        const KEPT: [&str; 9] = [
            "\"q\"",
            "\"sort\"",
            "\"matchingStrategy\"",
            "\"attributesToSearchOn\"",
            "\"rankingScoreThreshold\"",
            "\"distinct\"",
            "\"locales\"",
            "\"hybrid\"",
            "\"vector\"",
        ];
        let mut body = b"{\"page\":1,\"showRankingScoreDetails\":true".to_vec();
        number_member(&mut body, "\"hitsPerPage\"", hits);
        let list = sonic_rs::to_string(attributes).unwrap_or_default();
        member(&mut body, "\"attributesToRetrieve\"", &list);
        for (name, value) in self.copied.iter().filter(|(name, _)| KEPT.contains(&name.as_str())) {
            if plain && name == "\"distinct\"" {
                continue;
            }
            member(&mut body, name, value);
        }
        if plain {
            member(&mut body, "\"distinct\"", NOT_DISTINCT);
        }
        body
    }

    /// Facets that can be counted one by one under `distinct`: requested by name, over a list by keywords, and not
    /// under an estimate that follows scores.
    #[must_use]
    pub fn facets_counted(&self) -> Option<Vec<String>> {
        let by_vector = self.has_vector || self.hybrid.is_some();
        let by_place = self.sort.iter().any(|rule| rule.starts_with("_geoPoint("));
        let estimated = self.has_threshold() && matches!(self.paging, Paging::Offset { .. });
        if self.all_facets || by_vector || by_place || estimated {
            return None;
        }
        let names = sonic_rs::from_str::<Vec<String>>(self.copied_value("\"facets\"")?).ok()?;
        (!names.is_empty()).then_some(names)
    }

    /// Whether it asks for all facets there are.
    #[must_use]
    pub fn asks_all_facets(&self) -> bool {
        self.all_facets
    }

    /// Whether a score threshold leaves out hits.
    #[must_use]
    pub fn has_threshold(&self) -> bool {
        self.copied_value("\"rankingScoreThreshold\"").is_some()
    }

    fn copied_value(&self, quoted_name: &str) -> Option<&str> {
        self.copied.iter().find(|(name, _)| name == quoted_name).map(|(_, value)| value.as_ref())
    }

    /// A body, without its closing brace, that counts hits and the values of attributes among them, and asks for no
    /// hits.
    #[must_use]
    pub fn values_prefix(&self, attributes: &[&str]) -> Vec<u8> {
        let mut body = self.counting_prefix(&[], 0, true);
        let facets = sonic_rs::to_string(attributes).unwrap_or_default();
        member(&mut body, "\"facets\"", &facets);
        body
    }

    /// Fields that legs are asked for although the client did not request them, since the merge reads them.
    #[must_use]
    pub fn extra_fields(&self, rules: &IndexRules) -> Option<ExtraFields<'static>> {
        let mut retrieved = shown_list(self.attributes_to_retrieve.as_deref(), rules, true)?;
        retrieved.extend_from_slice(&self.always_retrieved);
        let missing = self.missing_fields(&retrieved, rules);
        let extra = (!missing.is_empty()).then(|| self.cut_again(&missing, retrieved, rules));
        match &self.widened {
            None => extra,
            Some(widened) => Some(widened.also_cut(extra, &self.always_retrieved)),
        }
    }

    /// Requests fields that the answer must contain whatever the client requested and the settings hide; gives what
    /// to cut out of the hits again.
    pub fn also_retrieve<'n>(
        &mut self,
        fields: impl IntoIterator<Item = &'n str>,
        rules: &IndexRules,
    ) -> Option<ExtraFields<'static>> {
        let retrieved = shown_list(self.attributes_to_retrieve.as_deref(), rules, true)?;
        let missing = fields.into_iter().filter(|field| !holds(&retrieved, field));
        let missing = missing.map(str::to_owned).collect::<Vec<_>>();
        let extra = (!missing.is_empty()).then(|| self.cut_again(&missing, retrieved, rules));
        self.always_retrieved.extend(missing);
        extra
    }

    /// The fields requested beside those that the client gets.
    fn cut_again(
        &self,
        missing: &[String],
        retrieved: Vec<String>,
        rules: &IndexRules,
    ) -> ExtraFields<'static> {
        let mut formatted = retrieved.clone();
        for list in [&self.attributes_to_highlight, &self.attributes_to_crop] {
            let list = shown_list(list.as_deref(), rules, false).unwrap_or_default();
            formatted.extend(list.iter().map(|entry| name_of(entry).to_owned()));
        }
        let owned = |list: Vec<String>| list.into_iter().map(Cow::Owned).collect::<Vec<_>>();
        let member = |path: &String| Cow::Owned(path.split('.').next().unwrap_or(path).to_owned());
        let mut members = missing.iter().map(member).collect::<Vec<_>>();
        if missing.iter().any(|path| path == "_geo") {
            // As one node does, the distance is told where the client gets a document's place.
            members.push(Cow::Borrowed("_geoDistance"));
        }
        ExtraFields { members, retrieved: owned(retrieved), formatted: owned(formatted) }
    }

    /// The fields that the merge reads and `retrieved` does not contain.
    fn missing_fields(&self, retrieved: &[String], rules: &IndexRules) -> Vec<String> {
        let sorts_by_place = self.sort.iter().any(|rule| rule.starts_with("_geoPoint("));
        let looked_at = self.distinct(rules).into_iter().chain(sorts_by_place.then_some("_geo"));
        let looked_at = looked_at.chain(self.identity.as_deref());
        looked_at.filter(|path| !holds(retrieved, path)).map(str::to_owned).collect()
    }

    /// Completes a prefix with the client's filter and a leg's shard filter, and closes the body.
    #[must_use]
    pub fn leg_body(&self, prefix: &[u8], shard_filter: Option<&str>) -> Vec<u8> {
        let mut body = Vec::with_capacity(prefix.len() + 64 + shard_filter.map_or(0, str::len));
        body.extend_from_slice(prefix);
        if let Some(filter) = combine_filters(self.filter.as_deref(), shard_filter) {
            member(&mut body, "\"filter\"", &filter);
        }
        body.push(b'}');
        body
    }

    /// Removes match positions in hidden attributes from an answer, since nodes display all attributes.
    pub fn hide_positions(&self, rules: &IndexRules, answer: &mut Vec<u8>) {
        let (true, Some(displayed)) = (self.show_matches_position, &rules.displayed) else { return };
        let Ok(mut value) = serde_json::from_slice::<Value>(answer) else { return };
        for hit in value["hits"].as_array_mut().into_iter().flatten() {
            if let Some(positions) = hit.get_mut("_matchesPosition").and_then(Value::as_object_mut) {
                positions.retain(|name, _| displayed.iter().any(|shown| is_below(name, shown)));
            }
        }
        *answer = value.to_string().into_bytes();
    }

    /// Nodes display every attribute; what the user's `displayedAttributes` hides is removed from the lists here.
    fn push_attributes(&self, body: &mut Vec<u8>, rules: &IndexRules, merged: bool) {
        let lists = [
            ("\"attributesToRetrieve\"", &self.attributes_to_retrieve, true),
            ("\"attributesToHighlight\"", &self.attributes_to_highlight, false),
            ("\"attributesToCrop\"", &self.attributes_to_crop, false),
        ];
        let widened = self.widened.as_ref().filter(|_| merged);
        for (name, requested, retrieved) in lists {
            let shown = || shown_list(requested.as_deref(), rules, retrieved);
            if let Some(mut list) = widened.map_or_else(shown, |widened| widened.list(name)) {
                if retrieved {
                    list.extend_from_slice(&self.always_retrieved);
                }
                if merged && retrieved {
                    list.extend(self.missing_fields(&list, rules));
                }
                member(body, name, &sonic_rs::to_string(&list).unwrap_or_default());
            }
        }
    }
}

impl<'a> Hybrid<'a> {
    fn read(value: &LazyValue<'a>) -> Result<Self, NotUnderstood> {
        let mut hybrid = Self { embedder: Cow::Borrowed(""), semantic_ratio: 0.5 };
        let raw = value.as_raw_cow();
        if !raw.starts_with('{') {
            return Err(NotUnderstood);
        }
        for member in value.clone().into_object_iter().ok_or(NotUnderstood)? {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            match name.as_ref() {
                "embedder" if value.is_str() => hybrid.embedder = value.as_raw_cow(),
                "semanticRatio" if value.is_null() => {}
                "semanticRatio" => {
                    let ratio = value.as_f64().ok_or(NotUnderstood)?;
                    #[allow(clippy::cast_possible_truncation, reason = "nodes keep ratios as f32, too")]
                    let ratio = ratio as f32;
                    hybrid.semantic_ratio = ratio;
                }
                _ => return Err(NotUnderstood),
            }
        }
        if hybrid.embedder.is_empty() || !(0.0..=1.0).contains(&hybrid.semantic_ratio) {
            return Err(NotUnderstood);
        }
        Ok(hybrid)
    }
}

/// The attributes to ask nodes for in place of `requested`: nodes display all, clients see what the index displays.
/// `None` stands for what nodes give by default.
fn shown_list(requested: Option<&[String]>, rules: &IndexRules, all_by_default: bool) -> Option<Vec<String>> {
    match (&rules.displayed, requested) {
        (None, requested) => requested.map(<[String]>::to_vec),
        (Some(displayed), None) => all_by_default.then(|| displayed.clone()),
        (Some(displayed), Some(requested)) => Some(shown(requested, displayed)),
    }
}

/// Whether a list of retrieved attributes contains a whole field.
fn holds(retrieved: &[String], path: &str) -> bool {
    retrieved.iter().any(|entry| entry == "*" || is_below(path, entry))
}

/// An entry of an attribute list without its crop length.
fn name_of(entry: &str) -> &str {
    entry.split_once(':').map_or(entry, |(name, _)| name)
}

/// A number that depends only on `query`, and stays the same over restarts of one build.
pub(crate) fn turn_of(query: impl Hash) -> usize {
    let hash = RandomState::with_seeds(1, 2, 3, 4).hash_one(query);
    usize::try_from(hash >> 1).unwrap_or(0)
}

/// The attributes of `requested` that `displayed` lets through by their exact names; `*` means all of them. A trailing
/// `:number` (crop length) stays with its attribute.
fn shown(requested: &[String], displayed: &[String]) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for entry in requested {
        let name = name_of(entry);
        if name == "*" {
            list.extend(displayed.iter().map(|shown| entry.replacen('*', shown, 1)));
            continue;
        }
        list.extend(displayed.iter().any(|shown| shown == name).then(|| entry.clone()));
    }
    list
}

/// Whether an attribute is `parent` or a part of it.
pub(crate) fn is_below(child: &str, parent: &str) -> bool {
    child.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn member(body: &mut Vec<u8>, quoted_name: &str, value: &str) {
    if body.len() > 1 {
        body.push(b',');
    }
    body.extend_from_slice(quoted_name.as_bytes());
    body.push(b':');
    body.extend_from_slice(value.as_bytes());
}

fn number_member(body: &mut Vec<u8>, quoted_name: &str, value: usize) {
    member(body, quoted_name, itoa::Buffer::new().format(value));
}

pub(crate) fn raw<'a>(value: &LazyValue<'a>) -> Cow<'a, str> {
    value.as_raw_cow()
}

fn count(value: &LazyValue<'_>) -> Result<usize, NotUnderstood> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood)
}

fn flag(value: &LazyValue<'_>) -> Result<bool, NotUnderstood> {
    value.as_bool().ok_or(NotUnderstood)
}

pub(crate) fn filter(raw: Cow<'_, str>) -> Result<Cow<'_, str>, NotUnderstood> {
    if raw.starts_with('"') || raw.starts_with('[') { Ok(raw) } else { Err(NotUnderstood) }
}

pub(crate) fn names(value: &LazyValue<'_>) -> Result<Vec<String>, NotUnderstood> {
    sonic_rs::from_str(value.as_raw_str()).map_err(|_| NotUnderstood)
}

#[cfg(test)]
mod tests;

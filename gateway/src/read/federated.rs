//! Federated search: runs every query as a search of its own over all shards and merges the hits into one list.
//!
//! Invariants: hits of one query keep their exact order, whatever shards they are on. Totals and facets count all
//! documents that any query of an index finds; nodes count them shard by shard. What a single node would refuse, a
//! node refuses.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::{
    StreamExt, TryFutureExt, TryStreamExt,
    future::{join3, try_join, try_join_all},
    stream,
};
use merge::{ExtraFields, FacetRules, FederatedIndex, FederatedQuery, FederationSpec};

use crate::{
    api::{
        error::{ApiError, Code},
        search::{
            federation_rules::{RuleKinds, first_incompatible},
            multi_search::{Counting, Federation, MultiQuery},
            request::SearchRequest,
        },
        settings::ranking_rules_default,
    },
    config::limits,
    nodes::pool::NodeRequest,
    observe::log,
    read::{
        ask,
        context::ReadContext,
        hits::milliseconds,
        scatter::{Gathered, LegQuestion, Scatter},
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

const TARGET: &str = "/multi-search";
const NOT_MERGED: &str = "The nodes gave no answer that can be merged.";

/// Answers the queries of a `POST /multi-search` with `federation`.
pub(crate) async fn federated(
    core: &Core,
    snapshot: &Snapshot,
    queries: &[MultiQuery],
    federation: &Federation,
) -> Result<MergedAnswer, ApiError> {
    let started = runtime::now();
    let mut groups = BTreeMap::<&str, Group<'_>>::new();
    for (position, query) in queries.iter().enumerate() {
        let index = crate::state::snapshot::find_index(snapshot, &query.index_uid);
        let index = index.map_err(|error| error.inside(&format!(".queries[{position}]")))?;
        let group = groups.entry(&query.index_uid).or_insert_with(|| Group {
            name: &query.index_uid,
            index,
            queries: Vec::new(),
        });
        group.queries.push(query);
    }
    let work = Federated { core, snapshot, queries, federation, groups: &groups, started };
    let answers = queries.iter().enumerate().map(|(position, query)| {
        let refused = move |error: ApiError| match error.status().is_client_error() {
            true => error.inside(&format!(".queries[{position}]")),
            false => error,
        };
        work.search(query).map_err(refused)
    });
    let answers =
        stream::iter(answers).buffered(limits::MULTI_SEARCH_QUERIES_AT_ONCE).try_collect::<Vec<_>>();
    let counts = try_join_all(groups.values().map(|group| work.count(group)));
    let (checked, counts, answers) = join3(work.check_together(), counts, answers).await;
    checked?;
    work.merge(&answers?, &counts?)
}

/// The queries that name one index.
struct Group<'a> {
    /// The client's name of the index.
    name: &'a str,
    index: &'a Arc<Index>,
    queries: Vec<&'a MultiQuery>,
}

/// One federated search under way.
struct Federated<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    queries: &'a [MultiQuery],
    federation: &'a Federation,
    groups: &'a BTreeMap<&'a str, Group<'a>>,
    started: Instant,
}

/// The answer of one query, and the fields to cut out of its hits.
struct Answered {
    merged: MergedAnswer,
    extra: Option<ExtraFields<'static>>,
}

impl Federated<'_> {
    /// Has a node check what shows only when all queries are seen together. Any node can, since all hold the same
    /// settings.
    async fn check_together(&self) -> Result<(), ApiError> {
        if let Some((one, other)) = incompatible_orders(self.core, self.snapshot, self.queries) {
            self.check_pair([one, other]).await?;
        }
        let facets_elsewhere =
            self.federation.facets_by_index.keys().any(|uid| !self.groups.contains_key(uid.as_str()));
        if self.groups.len() == 1 && !facets_elsewhere {
            return Ok(());
        }
        // Nodes rank by one rule more than the client knows of, so their objections to orders are not passed on. Those
        // come before a node looks at facets, which queries without an order let it do.
        let everything = self.groups.keys().map(|uid| MultiQuery::of_everything(uid)).collect::<Vec<_>>();
        for queries in [self.queries, &everything[..]] {
            let queries = queries.iter().collect::<Vec<_>>();
            let counting = Counting {
                queries: &queries,
                node_uid: &|uid| self.node_uid(uid),
                only: None,
                filters: &[],
                hits_max: 0,
            };
            let body = Bytes::from(self.federation.counting_body(&counting));
            let nodes = self.snapshot.topology.every_node();
            match ask::first_of(self.core, nodes, NodeRequest::post_json(TARGET, body)).await? {
                Ok(_) => return Ok(()),
                Err(refusal) if speaks_of_ranking_rules(&refusal.body) => {}
                Err(refusal) => return Err(ApiError::from_node(refusal.status, &refusal.body)),
            }
        }
        Ok(())
    }

    /// Has a node check two queries whose orders do not go together; a node that does not compare orders does not
    /// object.
    async fn check_pair(&self, positions: [usize; 2]) -> Result<(), ApiError> {
        let queries = positions.map(|position| {
            let query = &self.queries[position];
            let uid = sonic_rs::to_string(&self.node_uid(&query.index_uid)).unwrap_or_default();
            query.search_body(&[("indexUid", &uid), ("attributesToRetrieve", "[]")])
        });
        let body =
            Bytes::from(format!("{{\"federation\":{{\"limit\":0}},\"queries\":[{}]}}", queries.join(",")));
        let nodes = self.snapshot.topology.every_node();
        // The caller then has a node refuse the whole request, so that the message names the right positions.
        match ask::first_of(self.core, nodes, NodeRequest::post_json(TARGET, body)).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(ApiError::from_node(refusal.status, &refusal.body)),
        }
    }

    fn node_uid(&self, uid: &str) -> String {
        let known = self.snapshot.find(uid);
        known.map_or_else(|| uid.to_owned(), |index| index.record.node_uid.clone())
    }

    /// Counts totals and facets of one index over all its queries. Nodes break ties by one more rule, so they take
    /// placeholder queries and ranked queries for different kinds. Placeholder queries are counted first, then the
    /// documents that only the ranked ones find.
    async fn count(&self, group: &Group<'_>) -> Result<MergedAnswer, ApiError> {
        let (everything, ranked): (Vec<_>, Vec<_>) =
            group.queries.iter().copied().partition(|query| query.is_placeholder());
        if everything.is_empty() || ranked.is_empty() || group.index.rules.tie_break.is_none() {
            return self.count_some(group, &group.queries, &[]).await;
        }
        let not_understood = |_| {
            ApiError::new(
                Code::BadRequest,
                "A filter of a query without words cannot be negated, which counting a federation needs.",
            )
        };
        let found = everything.iter().map(|query| query.filter_negated().map_err(not_understood));
        // A placeholder query without a filter finds everything, so the ranked queries add nothing.
        let Some(not_found) = found.collect::<Result<Option<Vec<_>>, _>>()? else {
            return self.count_some(group, &everything, &[]).await;
        };
        let filters = not_found.iter().map(String::as_str).collect::<Vec<_>>();
        let (first, rest) =
            try_join(self.count_some(group, &everything, &[]), self.count_some(group, &ranked, &filters))
                .await?;
        let uid = group.name;
        let mut body = Vec::new();
        let merged = merge::federated_totals(
            &[&first.body, &rest.body],
            &[uid],
            uid,
            &group.index.rules.facets,
            &mut body,
        );
        merged.map_err(|_| ApiError::new(Code::MiroirShardUnavailable, NOT_MERGED))?;
        Ok(MergedAnswer::of_parts(body, [&first, &rest]))
    }

    /// Counts some of the queries among the documents that `filters` let through.
    async fn count_some(
        &self,
        group: &Group<'_>,
        queries: &[&MultiQuery],
        filters: &[&str],
    ) -> Result<MergedAnswer, ApiError> {
        let rules = &group.index.rules;
        let turn = self.core.turn();
        let of_leg = |leg: &LegQuestion<'_>, _| {
            let filters = filters.iter().copied().chain(leg.filter).collect::<Vec<_>>();
            let counting = Counting {
                queries,
                node_uid: &|uid| match uid == group.name {
                    true => leg.index.record.node_uid.clone(),
                    false => self.node_uid(uid),
                },
                only: Some(&leg.index.record.node_uid),
                filters: &filters,
                hits_max: rules.hits_total_max,
            };
            self.federation.counting_body(&counting).into()
        };
        let scatter = Scatter::new(self.core, self.snapshot, group.index, turn, TARGET, of_leg).at(TARGET);
        // The list of values is cut only after all counts are summed.
        let all_values = FacetRules { values_max: usize::MAX, ..rules.facets.clone() };
        let facets = if queries.len() == group.queries.len() { &rules.facets } else { &all_values };
        let parts = (0..group.index.parts()).map(|part| group.index.part(part));
        let node_uids = parts.map(|part| part.record.node_uid.as_str()).collect::<Vec<_>>();
        let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
            merge::federated_totals(gathered.bodies, &node_uids, group.name, facets, body).map(|_| ())
        };
        scatter.ask_and_merge(merge).await
    }

    /// Runs one query from its first hit to the last that the page may need.
    async fn search(&self, query: &MultiQuery) -> Result<Answered, ApiError> {
        let group = &self.groups[query.index_uid.as_str()];
        let limit = match self.federation.counts_all_hits() {
            false => self.federation.hits_needed(),
            true => self.federation.hits_needed().max(self.core.edge().page_depth_max),
        };
        let limit = limit.to_string();
        let distinct = self.federation.distinct.as_ref();
        let quoted = distinct.map(|distinct| sonic_rs::to_string(distinct).unwrap_or_default());
        let mut replaced = vec![
            ("offset", "0"),
            ("limit", limit.as_str()),
            ("showRankingScore", "true"),
            ("showRankingScoreDetails", "true"),
        ];
        replaced.extend(quoted.as_deref().map(|distinct| ("distinct", distinct)));
        let body = query.search_body(&replaced);
        let not_understood = |_| {
            ApiError::new(
                Code::BadRequest,
                "A query of this federation cannot be spread over the nodes of a cluster.",
            )
        };
        let mut search = SearchRequest::parse(body.as_bytes()).map_err(not_understood)?;
        search.raw_details = true;
        let wanted = group.primary_key().into_iter().chain(distinct.map(String::as_str));
        let extra = search.also_retrieve(wanted, &group.index.rules);
        let merged = crate::read::search::search_index(
            ReadContext { core: self.core, snapshot: self.snapshot, index: group.index, search: &search },
            None,
        )
        .await?;
        Ok(Answered { merged, extra })
    }

    fn merge(&self, answers: &[Answered], counts: &[MergedAnswer]) -> Result<MergedAnswer, ApiError> {
        let indexes = self.groups.iter().map(|(uid, group)| FederatedIndex {
            uid,
            primary_key: group.primary_key(),
            facets: &group.index.rules.facets,
            hits_total_max: group.index.rules.hits_total_max,
        });
        let indexes = indexes.collect::<Vec<_>>();
        let queries = self.queries.iter().zip(answers).map(|(query, answered)| FederatedQuery {
            index: self.groups.keys().position(|uid| *uid == query.index_uid).unwrap_or_default(),
            weight: query.weight,
            show_ranking_score: query.member("showRankingScore") == Some("true"),
            show_ranking_score_details: query.member("showRankingScoreDetails") == Some("true"),
            extra: answered.extra.as_ref(),
            displayed: self.groups[query.index_uid.as_str()].index.rules.displayed.as_deref(),
        });
        let spec = FederationSpec {
            paging: self.federation.paging,
            indexes: &indexes,
            queries: &queries.collect::<Vec<_>>(),
            distinct: self.federation.distinct.as_deref(),
            merge_facets: self.federation.merge_facets,
            processing_time_ms: milliseconds(runtime::now().saturating_duration_since(self.started)),
            scores_end_at_sorts: self.core.shared.nodes.health.scores_end_at_sorts(),
        };
        let bodies = answers.iter().map(|answered| &answered.merged.body[..]).collect::<Vec<_>>();
        let totals = counts.iter().map(|counted| &counted.body[..]).collect::<Vec<_>>();
        let mut body = Vec::new();
        if let Err(error) = merge::federation(&bodies, &totals, &spec, &mut body) {
            log::warn("federation_not_merged", &[("reason", &error.to_string())]);
            return Err(ApiError::new(Code::MiroirShardUnavailable, NOT_MERGED));
        }
        let parts = answers.iter().map(|answered| &answered.merged).chain(counts);
        Ok(MergedAnswer::of_parts(body, parts))
    }
}

/// The positions of the first two queries whose orders cannot be merged into one list.
pub(crate) fn incompatible_orders(
    core: &Core,
    snapshot: &Snapshot,
    queries: &[MultiQuery],
) -> Option<(usize, usize)> {
    let default = ranking_rules_default(core.shared.nodes.health.lowest_version());
    let kinds = in_nodes_order(queries).into_iter().map(|position| {
        let query = &queries[position];
        let index = snapshot.find(&query.index_uid);
        let rules = match index.and_then(|index| index.record.settings["rankingRules"].as_array()) {
            Some(rules) => rules.iter().filter_map(serde_json::Value::as_str).collect(),
            None => default.to_vec(),
        };
        (position, RuleKinds::of(&rules, &query.sort(), query.finds()))
    });
    first_incompatible(kinds)
}

/// The positions of queries in the order in which a node checks them: by the names of their indexes.
pub(crate) fn in_nodes_order(queries: &[MultiQuery]) -> Vec<usize> {
    let mut positions = (0..queries.len()).collect::<Vec<_>>();
    positions.sort_by_key(|position| &queries[*position].index_uid);
    positions
}

fn speaks_of_ranking_rules(refusal: &[u8]) -> bool {
    let refusal = serde_json::from_slice::<serde_json::Value>(refusal).unwrap_or_default();
    refusal["code"] == "invalid_multi_search_query_ranking_rules"
}

impl Group<'_> {
    /// The field that identifies hits, when several queries may find the same hit.
    fn primary_key(&self) -> Option<&str> {
        self.index.record.primary_key.as_deref().filter(|_| self.queries.len() > 1)
    }
}

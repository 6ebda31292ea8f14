//! Explains how a search would run: its plan, made by the functions that plan searches, and warnings.
//!
//! Invariants: nothing here makes decisions. Explaining a plan does not change the next one. What only operators may
//! know is shown to operators alone.

use std::collections::BTreeMap;

use router::{Leg, NodeIndex, ShardSet};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::ApiError,
        search::{
            attributes::{self, Attributes},
            request::SearchRequest,
        },
    },
    config::limits,
    read::{
        coalesce,
        context::ReadContext,
        hits::{ListPlan, milliseconds, plan_list},
        plan::{self, GroupReason},
        trace::{LegTime, Trace},
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        read_preference::TenantGroup,
        snapshot::{Index, Snapshot},
    },
};

/// A search whose plan is to be explained.
pub(crate) struct Explained<'a> {
    pub(crate) core: &'a Core,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) index: &'a Index,
    /// The client's name of the index.
    pub(crate) name: &'a str,
    /// The search as it is run.
    pub(crate) asked: &'a SearchRequest<'a>,
    /// The search as the client wrote it.
    pub(crate) written: &'a SearchRequest<'a>,
    /// The name of the client's tenant.
    pub(crate) tenant: Option<&'a str>,
    /// Whether the client may know what operators know.
    pub(crate) to_operator: bool,
}

impl Explained<'_> {
    /// The explanation without a result.
    ///
    /// # Errors
    /// Those of planning.
    pub(crate) fn answer(&self) -> Result<Map<String, Value>, ApiError> {
        let stats = &self.core.load_stats;
        // No other plan is made on this core before these are done.
        let (list, hedge) = stats.unseen(|| {
            let list = plan_list(ReadContext {
                core: self.core,
                snapshot: self.snapshot,
                index: self.index,
                search: self.asked,
            });
            list.map(|list| {
                let hedge = self.hedge(&list);
                (list, hedge)
            })
        })?;
        let warnings = self.warnings(&list);
        let answer = json!({
            "resolvedUid": self.resolved(),
            "plan": self.plan(&list, hedge),
            "warnings": warnings,
        });
        Ok(answer.as_object().cloned().unwrap_or_default())
    }

    /// The index that is read, or all targets of an alias.
    fn resolved(&self) -> Value {
        match self.index.targets.is_empty() {
            true => json!(self.index.record.uid),
            false => self.index.targets.iter().map(|target| json!(target.record.uid)).collect(),
        }
    }

    fn plan(&self, list: &ListPlan, hedge: Value) -> Value {
        let reason = match &list.narrowed {
            Ok(_) => "the filter pins the primary key",
            Err(reason) => reason.as_str(),
        };
        let all = || (0..self.index.shards_in_all()).collect::<ShardSet>();
        let wanted = list.narrowed.as_ref().ok().cloned().unwrap_or_else(all);
        json!({
            "alias": self.alias(),
            "narrowed": list.narrowed.is_ok(),
            "narrowingReason": reason,
            "targetShards": self.names(&wanted),
            "group": self.group(&list.placed.legs),
            "nodes": self.nodes(&list.placed.legs),
            "legDepth": list.leg_depth(self.index),
            "hedge": hedge,
            "coalescing": coalesce::applies(self.core, self.index),
            "tenant": self.tenant(),
            "estimatedP95Ms": self.estimated_p95_ms(&list.placed.legs),
            "settingsVersion": self.index.record.settings_version,
            "broadcastPending": self.index.record.settings_pending,
        })
    }

    fn alias(&self) -> Value {
        match self.snapshot.aliases.get(self.name).map(|alias| &alias.record) {
            None => Value::Null,
            Some(alias) => json!({"name": alias.name, "kind": alias.kind, "version": alias.version}),
        }
    }

    /// The tenant for whom it is read, and its group.
    fn tenant(&self) -> Value {
        match (self.tenant, self.core.read_preference.get().tenant) {
            (Some(name), Some(TenantGroup { group, source })) => {
                json!({"name": name, "group": group, "source": source.as_str()})
            }
            _ => Value::Null,
        }
    }

    /// The shards as clients see them: by number, after the index's name where several are read.
    fn names(&self, shards: &ShardSet) -> Vec<Value> {
        shards.iter().map(|shard| self.shard_name(shard)).collect()
    }

    fn shard_name(&self, shard: u32) -> Value {
        match self.index.targets.is_empty() {
            true => json!(shard),
            false => {
                let (part, first) = self.index.part_of(shard);
                json!(format!("{}:{}", self.index.part(part).record.uid, shard - first))
            }
        }
    }

    fn group(&self, legs: &[Leg]) -> Value {
        let topology = &self.snapshot.topology;
        let Some(read) = legs.first().map(|leg| self.group_of(leg)) else {
            return Value::Null;
        };
        let (first, reason) = plan::first_group(self.core, topology, self.asked.turn());
        let reason = if read == first { reason } else { GroupReason::Failover };
        json!({"id": read, "reason": reason.as_str()})
    }

    fn nodes(&self, legs: &[Leg]) -> Value {
        let text = |shard: Value| shard.as_str().map_or_else(|| shard.to_string(), str::to_owned);
        let mut by_shard = BTreeMap::new();
        for leg in legs {
            by_shard.extend(leg.shards.iter().map(|shard| (shard, self.node_id(leg.node))));
        }
        let named = by_shard.into_iter().map(|(shard, node)| (text(self.shard_name(shard)), json!(node)));
        Value::Object(named.collect())
    }

    fn group_of(&self, leg: &Leg) -> usize {
        usize::from(self.snapshot.topology.node(leg.node).group)
    }

    fn node_id(&self, node: NodeIndex) -> &str {
        &self.snapshot.topology.node(node).id
    }

    /// After how long another node would be asked for the first of the legs, if there is another one.
    fn hedge(&self, list: &ListPlan) -> Value {
        let core = self.core;
        let legs = &list.placed.legs;
        let after = legs.iter().filter_map(|leg| core.load_stats.hedge_after(leg.node)).min();
        let others = legs.iter().any(|leg| {
            let (shards, turn) = (Some(&leg.shards), self.asked.turn());
            let placed = plan::place(core, self.snapshot, self.index, shards, &[leg.node], turn);
            !placed.legs.is_empty() && placed.uncovered.is_empty()
        });
        let armed = core.shared.config.hedging && others && after.is_some();
        json!({"armed": armed, "triggerMs": after.filter(|_| armed).map(milliseconds)})
    }

    fn estimated_p95_ms(&self, legs: &[Leg]) -> Value {
        let slowest = legs.iter().filter_map(|leg| self.core.load_stats.high_latency(leg.node)).max();
        json!(slowest.map(|slowest| slowest.as_secs_f64() * 1000.0))
    }

    fn warnings(&self, list: &ListPlan) -> Vec<Value> {
        let mut warnings = Vec::new();
        let mut warn = |code: &str, message: String| warnings.push(json!({"code": code, "message": message}));
        let (written, settings) = (self.written, &self.index.record.settings);
        let filterable = Attributes::filterable(settings);
        for name in attributes::of_filter(written.filter()).iter().filter(|name| !filterable.has(name)) {
            warn("attributeNotFilterable", format!("The filter names `{name}`, which is not filterable."));
        }
        let sortable = Attributes::sortable(settings);
        for name in attributes::of_sort(written.sort()).iter().filter(|name| !sortable.has(name)) {
            warn("attributeNotSortable", format!("The search sorts by `{name}`, which is not sortable."));
        }
        let depth = written.page_end();
        if depth > limits::EXPLAINED_PAGE_DEPTH_MAX {
            let most = limits::EXPLAINED_PAGE_DEPTH_MAX;
            warn(
                "deepPage",
                format!(
                    "Offset and limit together are {depth}, over {most}: every leg is asked for as much."
                ),
            );
        }
        if written.finds_everything() && written.filter().is_none() {
            warn(
                "emptyQuery",
                "The search has neither words nor a filter: it ranks every document.".to_owned(),
            );
        }
        if let Err(reason) = &list.narrowed
            && let Some(key) = self.index.record.primary_key.as_ref()
            && attributes::of_filter(written.filter()).contains(key)
        {
            warn(
                "notNarrowed",
                format!("The filter names the primary key, but all shards are asked: {}.", reason.as_str()),
            );
        }
        if !list.placed.uncovered.is_empty() {
            let shards = Value::from(self.names(&list.placed.uncovered));
            warn("shardsUnavailable", format!("No node that serves reads answers for the shards {shards}."));
        }
        if self.to_operator
            && let Some(tenant) = self.core.read_preference.get().tenant
            && list.placed.legs.iter().any(|leg| self.group_of(leg) != tenant.group)
        {
            let message = format!("The search does not read group {}, which is its tenant's.", tenant.group);
            warn("tenantGroupMissed", message);
        }
        if self.to_operator && self.index.record.settings_pending {
            warn(
                "settingsPending",
                "A change of settings is on its way: nodes may answer by different ones.".to_owned(),
            );
        }
        warnings
    }

    /// The outcome of a search that was run.
    pub(crate) fn execution(&self, trace: Trace, answer: &MergedAnswer) -> Value {
        let (retries, hedges) = (trace.retries(), trace.hedges());
        let leg = |leg: LegTime| {
            json!({
                "node": self.node_id(leg.node),
                "shards": self.names(&leg.shards),
                "status": leg.status,
                "milliseconds": leg.took.as_secs_f64() * 1000.0,
            })
        };
        json!({
            "legs": trace.legs().into_iter().map(leg).collect::<Vec<_>>(),
            "retries": retries,
            "hedges": hedges,
            "missingShards": self.names(&answer.missing),
        })
    }
}

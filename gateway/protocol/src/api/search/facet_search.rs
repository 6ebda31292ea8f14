//! A facet search as the client sent it, and the request that every leg gets for it.
//!
//! Invariants: as for searches, a node refuses what the gateway cannot read.

use sonic_rs::JsonValueTrait;

use crate::api::{
    http::json_depth::is_bounded,
    search::{
        filter::{combine_filters, narrow},
        nullable::is_absent,
        request::{NotUnderstood, filter, raw},
    },
};

/// What the gateway reads of a facet search.
pub struct FacetSearchRequest {
    pub facet_name: String,
    filter: Option<String>,
    /// Members copied to the legs unchanged, with a comma after each.
    copied: String,
}

impl FacetSearchRequest {
    /// Reads the JSON body of `POST …/facet-search`.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let (mut facet_name, mut own_filter, mut copied) = (None, None, String::new());
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            // Nodes accept unknown members here.
            if is_absent(&name, &value).unwrap_or_default() {
                continue;
            }
            if name == "filter" {
                own_filter = Some(filter(raw(&value))?.into_owned());
                continue;
            }
            if name == "facetName" {
                facet_name = Some(value.as_str().ok_or(NotUnderstood)?.to_owned());
            }
            let quoted = sonic_rs::to_string(name.as_ref()).unwrap_or_default();
            copied.push_str(&format!("{quoted}:{},", value.as_raw_str()));
        }
        Ok(Self { facet_name: facet_name.ok_or(NotUnderstood)?, filter: own_filter, copied })
    }

    /// Narrows the search by the filter of a tenant's search rules.
    pub fn restrict(&mut self, rules: Option<String>) {
        if let Some(rules) = rules {
            self.filter = Some(narrow(self.filter.as_deref(), rules));
        }
    }

    /// The same request for a leg.
    #[must_use]
    pub fn leg_body(&self, shard_filter: Option<&str>) -> Vec<u8> {
        let filter = combine_filters(self.filter.as_deref(), shard_filter);
        format!("{{{}\"filter\":{}}}", self.copied, filter.as_deref().unwrap_or("null")).into_bytes()
    }
}

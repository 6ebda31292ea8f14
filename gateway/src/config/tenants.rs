//! The options of tenant affinity: what names a tenant, where tenants go that no table names, and the groups that
//! serve assigned tenants alone.
//!
//! Invariant: without affinity no group is dedicated. That some group is left for everybody is checked at the start,
//! against the groups that there are.

use super::limits::GROUPS_MAX;
use super::options::RawOptions;
use super::value::Allowed;
use super::{ConfigError, option, refused, value};

/// What names the tenant of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantAffinity {
    /// Nothing: reads have no tenant.
    Off,
    /// The header `X-Miroir-Tenant`.
    Header,
    /// The API key, by the table.
    ApiKey,
    /// The header, else the key; the table alone knows tenants.
    Explicit,
}

/// Where a tenant reads that the table assigns to no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantFallback {
    /// In the group that its name hashes to.
    Hash,
    /// In any group, each time another.
    Random,
    /// Nowhere: the read is refused.
    Reject,
}

impl TenantAffinity {
    pub(crate) const NAMES: [(&'static str, TenantAffinity); 4] = [
        ("off", TenantAffinity::Off),
        ("header", TenantAffinity::Header),
        ("api-key", TenantAffinity::ApiKey),
        ("explicit", TenantAffinity::Explicit),
    ];
}

impl TenantFallback {
    pub(crate) const NAMES: [(&'static str, TenantFallback); 3] = [
        ("hash", TenantFallback::Hash),
        ("random", TenantFallback::Random),
        ("reject", TenantFallback::Reject),
    ];
}

/// The options together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantConfig {
    pub affinity: TenantAffinity,
    pub fallback: TenantFallback,
    /// The groups that serve the tenants that the table assigns to them, and nobody else; ascending.
    pub dedicated_groups: Vec<u16>,
}

impl TenantConfig {
    pub(crate) fn validate(raw: &RawOptions) -> Result<Self, ConfigError> {
        let affinity = option("tenant-affinity", &raw.tenant_affinity, TenantAffinity::Off, |text| {
            value::one_of(text, &TenantAffinity::NAMES)
        })?;
        let fallback = option("tenant-fallback", &raw.tenant_fallback, TenantFallback::Hash, |text| {
            value::one_of(text, &TenantFallback::NAMES)
        })?;
        let dedicated_groups =
            option("tenant-dedicated-groups", &raw.tenant_dedicated_groups, Vec::new(), groups)?;
        if affinity == TenantAffinity::Off && !dedicated_groups.is_empty() {
            let text = raw.tenant_dedicated_groups.as_deref().unwrap_or_default();
            let allowed = "groups are dedicated to tenants only where --tenant-affinity is on".to_owned();
            return Err(refused("tenant-dedicated-groups", text, allowed));
        }
        Ok(Self { affinity, fallback, dedicated_groups })
    }
}

/// Reads numbers of groups, separated by commas. A group may come later than the option.
fn groups(text: &str) -> Result<Vec<u16>, Allowed> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let number = |part: &str| part.parse().ok().filter(|group| *group < GROUPS_MAX);
    let mut groups = parts.map(number).collect::<Option<Vec<u16>>>().ok_or_else(|| {
        format!("give numbers of groups from 0 to {} with commas, for example 2,3", GROUPS_MAX - 1)
    })?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

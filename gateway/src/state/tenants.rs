//! The tenant of a read, and the replica group that it goes to.
//!
//! Invariants: with tenant affinity off nothing here is called. The same table sends a tenant to the same group, on
//! every core and pod. What names a tenant wrongly is refused, never served as if it named none.

use router::Topology;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    api::{
        error::{ApiError, Code},
        tenant::check_name,
    },
    auth::Permission,
    config::{TenantAffinity, TenantFallback},
    state::{
        core::Core,
        read_preference::{GroupSource, ReadPreference, TenantGroup},
    },
    wire::h1::Request,
};

pub(crate) const HEADER: &str = "x-miroir-tenant";

/// The name of a request's tenant, if it has one.
///
/// # Errors
/// 400 for a header that no tenant can be called by.
pub(crate) fn name(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Option<String>, ApiError> {
    let in_header = || match request.headers.get(HEADER) {
        None => Ok(None),
        Some(value) => {
            let name = value.to_str().unwrap_or_default();
            check_name(name, "in the header `X-Miroir-Tenant`").map(|()| Some(name.to_owned()))
        }
    };
    let of_key = || {
        let tenants = core.shared.tenants.load();
        permission.key_uid().and_then(|uid| tenants.value.keys.get(&uid).cloned())
    };
    match core.shared.config.tenants.affinity {
        TenantAffinity::Off => Ok(None),
        TenantAffinity::Header => in_header(),
        TenantAffinity::ApiKey => Ok(of_key()),
        TenantAffinity::Explicit => Ok(in_header()?.or_else(of_key)),
    }
}

/// The group of a tenant; `None` for a read without a tenant, which takes its turn.
///
/// # Errors
/// 403 where `--tenant-fallback reject` refuses whom the table does not name.
pub(crate) fn group(core: &Core, name: Option<&str>) -> Result<Option<TenantGroup>, ApiError> {
    let config = &core.shared.config.tenants;
    let refused = |message: String| Err(ApiError::new(Code::MiroirTenantUnknown, message));
    let Some(name) = name else {
        return match config.fallback {
            TenantFallback::Hash | TenantFallback::Random => Ok(None),
            TenantFallback::Reject => {
                refused("The request names no tenant, and others are not served.".to_owned())
            }
        };
    };
    let snapshot = core.shared.snapshot();
    let assigned = core.shared.tenants.load().value.groups.get(name).map(|group| usize::from(*group));
    if let Some(group) = assigned.filter(|group| snapshot.topology.group_numbers().any(|own| own == *group)) {
        return Ok(Some(TenantGroup { group, source: GroupSource::Table }));
    }
    let shared = shared_groups(&snapshot.topology, &config.dedicated_groups);
    let nth = |number: usize| shared.get(number % shared.len().max(1)).copied();
    let (group, source) = match config.fallback {
        TenantFallback::Hash => {
            let hash = usize::try_from(xxh3_64(name.as_bytes()) >> 1).unwrap_or_default();
            (nth(hash), GroupSource::Hash)
        }
        TenantFallback::Random => (nth(core.turn()), GroupSource::Random),
        TenantFallback::Reject => return refused(format!("The tenant `{name}` is assigned to no group.")),
    };
    Ok(group.map(|group| TenantGroup { group, source }))
}

/// The groups that serve everybody, ascending.
pub(crate) fn shared_groups(topology: &Topology, dedicated: &[u16]) -> Vec<usize> {
    let nobody = ReadPreference::default();
    topology.group_numbers().filter(|group| nobody.admits(dedicated, *group)).collect()
}

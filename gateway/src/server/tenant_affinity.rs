//! Tenant affinity: the reads of a tenant go to the tenant's replica group.
//!
//! Invariant: with `--tenant-affinity off` nothing here runs, and no header is looked at.

use crate::{
    api::error::ApiError,
    auth::Permission,
    config::TenantAffinity,
    server::{preference::preferring, routes::Route},
    state::{core::Core, read_preference::ReadPreference, tenants},
    wire::h1::{Request, Response},
};

/// Whether the tenant of a request to this route matters: the route reads documents.
pub(crate) fn applies(core: &Core, route: &Route<'_>) -> bool {
    core.shared.config.tenants.affinity != TenantAffinity::Off
        && matches!(
            route,
            Route::Search { .. }
                | Route::FacetSearch(_)
                | Route::MultiSearch
                | Route::Similar(_)
                | Route::Explain(_)
                | Route::Document { .. }
                | Route::Documents(_)
                | Route::FetchDocuments(_)
                | Route::Fields(_)
        )
}

/// Serves a read in the group of its tenant; `serving` serves it as if it had none.
pub(crate) async fn within(
    core: &Core,
    request: &Request,
    permission: &Permission,
    serving: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let name = tenants::name(core, request, permission)?;
    let tenant =
        tenants::group(core, name.as_deref()).inspect_err(|_| core.metrics.tenant_reads("rejected"))?;
    core.metrics.tenant_reads(tenant.map_or("none", |tenant| tenant.source.as_str()));
    preferring(core, |preference| ReadPreference { tenant, ..preference }, serving).await
}

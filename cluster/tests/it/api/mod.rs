//! Meilisearch's routes, route by route.

pub(crate) mod console;
pub(crate) mod dumps;
pub(crate) mod keys;
pub(crate) mod reserved;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod search_page;
pub(crate) mod tenants;
pub(crate) mod webhooks;

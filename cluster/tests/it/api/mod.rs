//! Meilisearch's routes, route by route.

mod dumps;
mod keys;
mod reserved;
mod routes;
mod rules;
mod tenants;
mod webhooks;

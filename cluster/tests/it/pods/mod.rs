//! Several gateways over one store.

pub(crate) mod console;
pub(crate) mod coordination;
pub(crate) mod pods_work;
pub(crate) mod search_page;
pub(crate) mod shared_tables;
pub(crate) mod store_commands;
pub(crate) mod store_moves;

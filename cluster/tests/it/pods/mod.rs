//! Several gateways over one store.

mod pods;
mod pods_work;
mod store_commands;
mod store_moves;

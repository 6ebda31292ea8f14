//! `miroir-ctl` as an operator starts it: against gateways that a test plays, and against stores on disk.

mod commands;
mod gateway;
mod program;
mod stores;
mod tls;

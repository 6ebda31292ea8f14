//! The commands, one file each: its words, its requests, its report.
//!
//! Invariant: this table is the only list of them; help, completions and the manual page are made from it.

mod alias;
mod anti_entropy;
mod audit;
mod backup;
mod canary;
mod cluster;
mod completions;
mod data;
mod doctor;
mod explain;
mod operations;
mod shadow;
mod status;
mod store;
mod task;
mod tenant;
mod topology;
mod ttl;
mod ui;
mod verify;
mod writes;

use argh::{ArgsInfo, FromArgs};

use self::{
    data::{cdc, dump, migrate, rollover},
    topology::{group, node, rebalance, reshard, routing, shards},
};
use crate::kit::{context::Context, report::Report};

/// A command that has been read.
pub(crate) trait Action {
    /// Asks the gateway and reports what it said.
    ///
    /// # Errors
    /// Words that cannot be meant, and requests that fail.
    fn run(&self, context: &Context) -> anyhow::Result<Report>;

    /// Whether `--watch` may run it again and again: it changes nothing.
    fn is_worth_watching(&self) -> bool {
        false
    }
}

/// Declares the enum of commands from one line each, in the order of the help.
macro_rules! commands {
    ($($module:ident::$name:ident,)*) => {
        /// Any command.
        #[derive(FromArgs, ArgsInfo)]
        #[argh(subcommand)]
        pub(crate) enum Command {
            $($name($module::$name),)*
        }

        impl Command {
            pub(crate) fn run(&self, context: &Context) -> anyhow::Result<Report> {
                match self {
                    $(Self::$name(command) => command.run(context),)*
                }
            }

            pub(crate) fn is_worth_watching(&self) -> bool {
                match self {
                    $(Self::$name(command) => command.is_worth_watching(),)*
                }
            }
        }
    };
}

commands! {
    status::Status,
    doctor::Doctor,
    cluster::Cluster,
    node::Node,
    group::Group,
    shards::Shards,
    rebalance::Rebalance,
    reshard::Reshard,
    routing::Routing,
    operations::Operations,
    verify::Verify,
    anti_entropy::AntiEntropy,
    task::Task,
    writes::Writes,
    alias::Alias,
    ttl::Ttl,
    explain::Explain,
    tenant::Tenant,
    canary::Canary,
    shadow::Shadow,
    rollover::Rollover,
    cdc::Cdc,
    dump::Dump,
    migrate::Migrate,
    backup::Backup,
    ui::Ui,
    audit::Audit,
    store::Store,
    completions::Completions,
}

//! The arguments that all commands share, and the source of the admin key.

use std::path::PathBuf;

use anyhow::Context;
use argh::FromArgs;

use crate::{
    anti_entropy::AntiEntropy, canary::Canary, node::Node, shadow::Shadow, shards::Shards, status::Status,
    store::Store, tenant::Tenant,
};

/// Operates a Miroir cluster over the management API of a gateway.
#[derive(FromArgs)]
pub(crate) struct Arguments {
    /// the gateway, HOST:PORT or http[s]://HOST:PORT, 127.0.0.1:7700 by default
    #[argh(option, default = "\"127.0.0.1:7700\".to_owned()")]
    pub(crate) address: String,
    /// the admin key, unless MIROIR_ADMIN_API_KEY or ~/.config/miroir/credentials has it
    #[argh(option)]
    admin_key: Option<String>,
    /// authorities that sign the certificate of an https gateway, as PEM (default: the public ones)
    #[argh(option)]
    pub(crate) ca: Option<PathBuf>,
    /// print the answers of the API as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    #[argh(subcommand)]
    pub(crate) command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
pub(crate) enum Command {
    Status(Status),
    Node(Node),
    Shards(Shards),
    AntiEntropy(AntiEntropy),
    Store(Store),
    Tenant(Tenant),
    Canary(Canary),
    Shadow(Shadow),
}

impl Arguments {
    /// The admin key, from the first of these that has it: the environment, the file of credentials, the flag.
    pub(crate) fn admin_key(&self) -> anyhow::Result<Option<String>> {
        let set = |key: String| Some(key.trim().to_owned()).filter(|key| !key.is_empty());
        if let Some(key) = std::env::var("MIROIR_ADMIN_API_KEY").ok().and_then(set) {
            return Ok(Some(key));
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let file = home.map(|home| home.join(".config/miroir/credentials"));
        let key = match file.filter(|file| file.exists()) {
            Some(file) => {
                let text = std::fs::read_to_string(&file);
                set(text.with_context(|| format!("{} cannot be read", file.display()))?)
            }
            None => None,
        };
        Ok(key.or_else(|| self.admin_key.clone()))
    }
}

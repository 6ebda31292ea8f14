//! The network that a client describes: remotes, shards and a name of its own.
//!
//! Invariant: it is kept and shown as a Community Edition node does. Nothing is sent to the remotes, and no node of
//! the cluster is told of them. Source: Meilisearch's network routes, 1.50.

use std::collections::{BTreeMap, BTreeSet};

use deserr::Deserr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::api::{
    error::{ApiError, Code},
    http::patch::{BodyError, Places, Setting},
};

/// A network as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    #[serde(rename = "self")]
    local: Option<String>,
    remotes: BTreeMap<String, Remote>,
    shards: BTreeMap<String, BTreeSet<String>>,
    version: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    url: String,
    search_api_key: Option<String>,
    write_api_key: Option<String>,
}

/// The body of `PATCH /network`.
#[derive(Debug, Deserr)]
#[deserr(error = BodyError<InNetwork>, rename_all = camelCase, deny_unknown_fields)]
pub struct NetworkChange {
    #[deserr(default)]
    remotes: Setting<BTreeMap<String, Option<RemoteChange>>>,
    #[deserr(default)]
    shards: Setting<BTreeMap<String, Option<ShardChange>>>,
    /// Only nodes use it among themselves; they read it from clients as well, and ignore it.
    #[deserr(default)]
    #[expect(dead_code, reason = "what is wrong with it is told")]
    previous_shards: Setting<BTreeMap<String, Option<ShardChange>>>,
    #[deserr(default, rename = "self")]
    local: Setting<String>,
    #[deserr(default)]
    leader: Setting<String>,
    #[deserr(default)]
    previous_remotes: Setting<BTreeMap<String, Option<RemoteChange>>>,
}

#[derive(Debug, PartialEq, Eq, Deserr)]
#[deserr(error = BodyError<InNetwork>, rename_all = camelCase, deny_unknown_fields)]
struct RemoteChange {
    #[deserr(default)]
    url: Setting<String>,
    #[deserr(default)]
    search_api_key: Setting<String>,
    #[deserr(default)]
    write_api_key: Setting<String>,
}

#[derive(Debug, PartialEq, Eq, Deserr)]
#[deserr(error = BodyError<InNetwork>, rename_all = camelCase, deny_unknown_fields)]
struct ShardChange {
    #[deserr(default)]
    remotes: Option<BTreeSet<String>>,
    #[deserr(default)]
    add_remotes: Option<BTreeSet<String>>,
    #[deserr(default)]
    remove_remotes: Option<BTreeSet<String>>,
}

#[derive(Debug)]
enum InNetwork {}

impl Places for InNetwork {
    fn code_at(path: &[&str]) -> Code {
        match path {
            ["remotes" | "previousRemotes", _, "url", ..] => Code::InvalidNetworkUrl,
            ["remotes" | "previousRemotes", _, "searchApiKey", ..] => Code::InvalidNetworkSearchApiKey,
            ["remotes" | "previousRemotes", _, "writeApiKey", ..] => Code::InvalidNetworkWriteApiKey,
            ["remotes" | "previousRemotes", ..] | ["shards" | "previousShards", _, _, ..] => {
                Code::InvalidNetworkRemotes
            }
            ["shards" | "previousShards", ..] => Code::InvalidNetworkShards,
            ["self", ..] => Code::InvalidNetworkSelf,
            ["leader", ..] => Code::InvalidNetworkLeader,
            _ => Code::BadRequest,
        }
    }
}

impl NetworkChange {
    /// # Errors
    /// 400, as one node's.
    pub fn parse(body: Value) -> Result<Self, ApiError> {
        deserr::deserialize::<Self, _, BodyError<InNetwork>>(body).map_err(ApiError::from)
    }

    /// The network after this change, with a new version.
    ///
    /// # Errors
    /// 400, as one node's; 451 for what the Enterprise Edition alone does.
    pub fn apply(self, before: Network) -> Result<Network, ApiError> {
        if matches!(self.leader, Setting::Set(_)) {
            let message = "Meilisearch Enterprise Edition is required to set `network.leader`";
            return Err(ApiError::new(Code::RequiresEnterpriseEdition, message));
        }
        if self.previous_remotes != Setting::Keep {
            return Err(ApiError::new(
                Code::UnexpectedNetworkPreviousRemotes,
                "Unexpected `previousRemotes` in network call.\n  - Note: `previousRemote` is reserved for internal use.",
            ));
        }
        let mut after = Network { local: self.local.or(before.local), version: Uuid::new_v4(), ..before };
        match self.shards {
            Setting::Keep => {}
            Setting::Reset => after.shards.clear(),
            Setting::Set(changes) => {
                for (name, change) in changes {
                    let remotes = after.shards.remove(&name).unwrap_or_default();
                    if let Some(change) = change {
                        after.shards.insert(name, change.apply(remotes));
                    }
                }
            }
        }
        match self.remotes {
            Setting::Keep => {}
            Setting::Reset => after.remotes.clear(),
            Setting::Set(changes) => {
                for (name, change) in changes {
                    let remote = after.remotes.remove(&name);
                    match change {
                        Some(change) => {
                            drop(after.remotes.insert(name.clone(), change.apply(&name, remote)?))
                        }
                        None => after
                            .shards
                            .values_mut()
                            .for_each(|remotes| remotes.retain(|known| *known != name)),
                    }
                }
            }
        }
        after.shards.retain(|_, remotes| !remotes.is_empty());
        Ok(after)
    }
}

impl RemoteChange {
    fn apply(self, name: &str, before: Option<Remote>) -> Result<Remote, ApiError> {
        let invalid = |message| ApiError::new(Code::InvalidNetworkUrl, message);
        let url = match (self.url, &before) {
            (Setting::Set(url), _) => match Url::parse(&url) {
                Ok(_) => url,
                Err(error) => {
                    return Err(invalid(format!("Invalid `.remotes.{name}.url` (`{url}`): {error}")));
                }
            },
            (Setting::Reset, Some(_)) => {
                return Err(invalid(format!("Field `.remotes.{name}.url` cannot be set to `null`")));
            }
            (Setting::Keep, Some(before)) => before.url.clone(),
            (Setting::Keep | Setting::Reset, None) => {
                let message = format!("Missing field `.remotes.{name}.url`");
                return Err(ApiError::new(Code::MissingNetworkUrl, message));
            }
        };
        let (search, write) =
            before.map_or((None, None), |before| (before.search_api_key, before.write_api_key));
        Ok(Remote {
            url,
            search_api_key: self.search_api_key.or(search),
            write_api_key: self.write_api_key.or(write),
        })
    }
}

impl ShardChange {
    fn apply(self, before: BTreeSet<String>) -> BTreeSet<String> {
        let mut remotes = self.remotes.unwrap_or(before);
        remotes.extend(self.add_remotes.unwrap_or_default());
        let removed = self.remove_remotes.unwrap_or_default();
        remotes.retain(|name| !removed.contains(name));
        remotes
    }
}

impl Network {
    /// The network's name of this cluster.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// The network with the members that a node of the cluster shows; `of_a_node` is that node's answer.
    #[must_use]
    pub fn view(&self, mut of_a_node: Value) -> Value {
        let with_shards = of_a_node.get("shards").is_some();
        for (name, value) in of_a_node.as_object_mut().into_iter().flatten() {
            *value = match name.as_str() {
                "self" => json!(self.local),
                "remotes" => self
                    .remotes
                    .iter()
                    .map(|(name, remote)| (name.clone(), remote.view(with_shards)))
                    .collect(),
                "shards" => {
                    let shards = self.shards.iter();
                    shards.map(|(name, remotes)| (name.clone(), json!({"remotes": remotes}))).collect()
                }
                "version" => json!(self.version),
                _ if value.is_boolean() => json!(false),
                _ => Value::Null,
            };
        }
        of_a_node
    }
}

impl Remote {
    /// The remote as clients see it. Nodes that know shards show a write key and a status, which stays the same until
    /// a remote is asked.
    fn view(&self, with_shards: bool) -> Value {
        let mut view = json!({"url": self.url, "searchApiKey": self.search_api_key});
        if with_shards {
            view["writeApiKey"] = json!(self.write_api_key);
            view["status"] = json!("available");
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: Network, body: Value) -> Result<Network, ApiError> {
        NetworkChange::parse(body)?.apply(before)
    }

    #[test]
    fn nothing_that_a_node_was_told_shows() {
        let of_a_node =
            json!({"self": "a", "remotes": {"a": {"url": "u"}}, "sharding": true, "version": "7"});
        let shown = json!({
            "self": null,
            "remotes": {},
            "sharding": false,
            "version": "00000000-0000-0000-0000-000000000000",
        });
        assert_eq!(Network::default().view(of_a_node), shown);
    }

    #[test]
    fn changes_are_made_on_what_there_is() {
        let body = json!({
            "remotes": {"a": {"url": "http://a/", "searchApiKey": "k"}, "b": {"url": "http://b/"}},
            "shards": {"s": {"remotes": ["a", "b"]}, "t": {"remotes": ["a"]}},
        });
        let network = change(Network::default(), body).unwrap();
        let body = json!({"remotes": {"a": null, "b": {"writeApiKey": "w"}}, "self": "b"});
        let network = change(network, body).unwrap();
        let node = json!({"self": null, "remotes": {}, "shards": {}, "leader": null});
        let remote =
            json!({"url": "http://b/", "searchApiKey": null, "writeApiKey": "w", "status": "available"});
        let expected = json!({
            "self": "b",
            "remotes": {"b": remote},
            "shards": {"s": {"remotes": ["b"]}},
            "leader": null,
        });
        assert_eq!(network.view(node), expected);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        let check = |body: Value, code: Code| {
            let refused = change(Network::default(), body.clone()).unwrap_err();
            assert_eq!(refused.code(), Some(code), "{body}");
        };
        check(json!({"remotes": {"a": {}}}), Code::MissingNetworkUrl);
        check(json!({"remotes": {"a": {"url": "a b"}}}), Code::InvalidNetworkUrl);
        check(json!({"remotes": {"a": {"url": 7}}}), Code::InvalidNetworkUrl);
        check(json!({"remotes": {"a": 7}}), Code::InvalidNetworkRemotes);
        check(json!({"shards": {"a": {"remotes": 7}}}), Code::InvalidNetworkRemotes);
        check(json!({"shards": {"a": {"nope": 7}}}), Code::InvalidNetworkShards);
        check(json!({"leader": "a"}), Code::RequiresEnterpriseEdition);
        check(json!({"previousRemotes": {}}), Code::UnexpectedNetworkPreviousRemotes);
        check(json!({"nope": 1}), Code::BadRequest);
    }
}

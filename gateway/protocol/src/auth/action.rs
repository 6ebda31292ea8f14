//! The actions that a key may be allowed: Meilisearch's names, and what each stands for.
//!
//! Invariant: a set of actions holds single actions only; patterns such as `documents.*` are resolved when the set is
//! made. Source of names, scopes and groups: Meilisearch 1.50.

use serde::{Deserialize, Serialize};

/// Whether a key for some indexes only may use an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Only a key for all indexes.
    Global,
    /// On an index that the key is for; without an index, the route shows what the key may see.
    Filtered,
    /// On an index that the key is for, and on no route without an index.
    Index,
}

macro_rules! actions {
    ($($action:ident = $name:literal, $scope:ident, $reads:literal;)*) => {
        /// One action, or a pattern of several.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Action { $(#[serde(rename = $name)] $action,)* }

        /// Every action with its scope, and whether `*.get` includes it.
        const TABLE: &[(Action, Scope, bool)] = &[$((Action::$action, Scope::$scope, $reads),)*];

        impl Action {
            /// The names as Meilisearch lists them, by position of the action.
            pub(crate) const NAMES: &'static [&'static str] = &[$($name,)*];
        }
    };
}

actions! {
    All = "*", Index, false;
    Search = "search", Filtered, true;
    DocumentsAll = "documents.*", Index, false;
    DocumentsAdd = "documents.add", Index, false;
    DocumentsGet = "documents.get", Filtered, true;
    DocumentsDelete = "documents.delete", Index, false;
    IndexesAll = "indexes.*", Index, false;
    IndexesCreate = "indexes.create", Filtered, false;
    IndexesGet = "indexes.get", Filtered, true;
    IndexesUpdate = "indexes.update", Index, false;
    IndexesDelete = "indexes.delete", Index, false;
    IndexesSwap = "indexes.swap", Filtered, false;
    TasksAll = "tasks.*", Index, false;
    TasksCancel = "tasks.cancel", Filtered, false;
    TasksDelete = "tasks.delete", Filtered, false;
    TasksGet = "tasks.get", Filtered, true;
    SettingsAll = "settings.*", Index, false;
    SettingsGet = "settings.get", Filtered, true;
    SettingsUpdate = "settings.update", Index, false;
    StatsAll = "stats.*", Filtered, false;
    StatsGet = "stats.get", Filtered, true;
    MetricsAll = "metrics.*", Global, false;
    MetricsGet = "metrics.get", Global, true;
    DumpsAll = "dumps.*", Global, false;
    DumpsCreate = "dumps.create", Global, false;
    SnapshotsAll = "snapshots.*", Global, false;
    SnapshotsCreate = "snapshots.create", Global, false;
    Version = "version", Global, true;
    KeysCreate = "keys.create", Global, false;
    KeysGet = "keys.get", Global, false;
    KeysUpdate = "keys.update", Global, false;
    KeysDelete = "keys.delete", Global, false;
    ExperimentalGet = "experimental.get", Global, true;
    ExperimentalUpdate = "experimental.update", Global, false;
    Export = "export", Global, true;
    NetworkGet = "network.get", Global, true;
    NetworkUpdate = "network.update", Global, false;
    ChatCompletions = "chatCompletions", Filtered, false;
    ChatsAll = "chats.*", Global, false;
    ChatsGet = "chats.get", Global, true;
    ChatsDelete = "chats.delete", Global, false;
    ChatsSettingsAll = "chatsSettings.*", Global, false;
    ChatsSettingsGet = "chatsSettings.get", Global, true;
    ChatsSettingsUpdate = "chatsSettings.update", Global, false;
    AllGet = "*.get", Index, false;
    WebhooksGet = "webhooks.get", Global, true;
    WebhooksUpdate = "webhooks.update", Global, false;
    WebhooksDelete = "webhooks.delete", Global, false;
    WebhooksCreate = "webhooks.create", Global, false;
    WebhooksAll = "webhooks.*", Global, false;
    IndexesCompact = "indexes.compact", Index, false;
    FieldsPost = "fields.post", Index, true;
    TasksCompact = "tasks.compact", Global, false;
    DynamicSearchRulesGet = "dynamicSearchRules.get", Global, true;
    DynamicSearchRulesCreate = "dynamicSearchRules.create", Global, false;
    DynamicSearchRulesUpdate = "dynamicSearchRules.update", Global, false;
    DynamicSearchRulesDelete = "dynamicSearchRules.delete", Global, false;
    DynamicSearchRulesAll = "dynamicSearchRules.*", Global, false;
}

/// The patterns of one family with the actions that they include. Some include less than their name says:
/// `documents.*` does not include edits of documents by function, which only `*` does.
const GROUPS: &[(Action, &[Action])] = &[
    (Action::DocumentsAll, &[Action::DocumentsAdd, Action::DocumentsGet, Action::DocumentsDelete]),
    (
        Action::IndexesAll,
        &[
            Action::IndexesCreate,
            Action::IndexesGet,
            Action::IndexesUpdate,
            Action::IndexesDelete,
            Action::IndexesSwap,
            Action::IndexesCompact,
        ],
    ),
    (Action::TasksAll, &[Action::TasksGet, Action::TasksDelete, Action::TasksCancel, Action::TasksCompact]),
    (Action::SettingsAll, &[Action::SettingsGet, Action::SettingsUpdate]),
    (Action::StatsAll, &[Action::StatsGet]),
    (Action::MetricsAll, &[Action::MetricsGet]),
    (Action::DumpsAll, &[Action::DumpsCreate]),
    (Action::SnapshotsAll, &[Action::SnapshotsCreate]),
    (Action::ChatsAll, &[Action::ChatsGet, Action::ChatsDelete]),
    (Action::ChatsSettingsAll, &[Action::ChatsSettingsGet, Action::ChatsSettingsUpdate]),
    (
        Action::WebhooksAll,
        &[Action::WebhooksGet, Action::WebhooksUpdate, Action::WebhooksDelete, Action::WebhooksCreate],
    ),
    (
        Action::DynamicSearchRulesAll,
        &[
            Action::DynamicSearchRulesGet,
            Action::DynamicSearchRulesCreate,
            Action::DynamicSearchRulesUpdate,
            Action::DynamicSearchRulesDelete,
        ],
    ),
];

impl Action {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|position| TABLE[position].0)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub(crate) fn scope(self) -> Scope {
        TABLE[self as usize].1
    }
}

/// Actions, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionSet(u64);

const _: () = assert!(TABLE.len() <= 64, "an action is a bit of 64");

impl ActionSet {
    /// All that a key with these actions may do.
    pub(crate) fn of(actions: &[Action]) -> Self {
        let every = || TABLE.iter().map(|(action, _, _)| *action);
        let mut set = Self(0);
        for action in actions {
            match GROUPS.iter().find(|(pattern, _)| pattern == action) {
                Some((_, members)) => set.extend(members.iter().copied()),
                None if *action == Action::All => set.extend(every().filter(|one| *one != Action::AllGet)),
                None if *action == Action::AllGet => set.extend(every().filter(|one| TABLE[*one as usize].2)),
                None => set.extend([*action]),
            }
        }
        set
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as usize) != 0
    }

    fn extend(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            self.0 |= 1 << action as usize;
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn names_lead_to_their_actions() {
        for (position, (action, _, _)) in TABLE.iter().enumerate() {
            assert_eq!(*action as usize, position);
            assert_eq!(Action::by_name(action.name()), Some(*action));
        }
        assert_eq!(Action::by_name("doc.add"), None);
        assert_eq!(Action::by_name(""), None);
    }

    #[test]
    fn patterns_stand_for_their_actions() {
        let check = |name: &str, contained: &[&str], missing: &[&str]| {
            let set = ActionSet::of(&[Action::by_name(name).unwrap()]);
            let holds = |name: &&&str| set.contains(Action::by_name(name).unwrap());
            assert!(contained.iter().all(|name| holds(&name)), "{name}");
            assert!(!missing.iter().any(|name| holds(&name)), "{name}");
        };
        check("*", &["search", "keys.get", "documents.*", "version", "dumps.create"], &["*.get"]);
        check(
            "*.get",
            &["search", "documents.get", "version", "export"],
            &["keys.get", "documents.add", "*"],
        );
        check("documents.*", &["documents.add", "documents.delete"], &["documents.*", "search"]);
        check("indexes.*", &["indexes.swap", "indexes.compact"], &["settings.get", "fields.post"]);
        check("tasks.*", &["tasks.get", "tasks.compact"], &["stats.get"]);
        check("stats.*", &["stats.get"], &["stats.*", "metrics.get"]);
        check("search", &["search"], &["documents.get", "*"]);
    }
}

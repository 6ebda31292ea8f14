//! The user of a search, as a proxy in front of the gateway names it, and the filter that follows from it.
//!
//! Invariants: only a trusted proxy is believed. A name becomes one quoted text of the filter, whatever it holds, or it
//! is refused; so no name can widen what its user sees. A page that has a filter is never served without it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::limits::{SEARCH_PAGE_GROUPS_MAX, SEARCH_PAGE_IDENTITY_BYTES_MAX};

/// A user with groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// What a filter's template may name.
const PLACEHOLDERS: [&str; 2] = ["{user}", "{groups}"];

/// Whether the other end of a connection may say who its user is: a proxy that the operator names, or, where none is
/// named, one on this machine.
#[must_use]
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    match trusted {
        [] => peer.is_loopback(),
        networks => networks.iter().any(|network| network.contains(&peer)),
    }
}

impl Identity {
    /// Reads the values of the two headers.
    ///
    /// # Errors
    /// What is wrong, for the client.
    pub(crate) fn read(user: Option<&str>, groups: Option<&str>) -> Result<Self, String> {
        let user = user.map(str::trim).filter(|user| !user.is_empty());
        let user = user.ok_or("the proxy in front of this gateway names no user")?.to_owned();
        let groups = groups.unwrap_or_default().split(',').map(str::trim).filter(|group| !group.is_empty());
        let groups = groups.map(str::to_owned).collect::<Vec<_>>();
        if groups.len() > SEARCH_PAGE_GROUPS_MAX {
            return Err(format!(
                "the user has {} groups, and at most {SEARCH_PAGE_GROUPS_MAX} are allowed",
                groups.len()
            ));
        }
        Ok(Self { user, groups })
    }

    /// The filter of this user.
    ///
    /// # Errors
    /// What is wrong, for the client.
    pub(crate) fn filter(&self, template: &str) -> Result<String, String> {
        let user = quoted(&self.user)?;
        let groups = self.groups.iter().map(|group| quoted(group)).collect::<Result<Vec<_>, _>>()?;
        let groups = format!("[{}]", groups.join(", "));
        let mut filter = String::with_capacity(template.len() + user.len() + groups.len());
        let mut rest = template;
        // A value is written once and never looked at again, so that a name like `{groups}` stays a name.
        while let Some((at, name)) = first_placeholder(rest) {
            filter.push_str(&rest[..at]);
            filter.push_str(if name == PLACEHOLDERS[0] { &user } else { &groups });
            rest = &rest[at + name.len()..];
        }
        filter.push_str(rest);
        Ok(filter)
    }
}

/// Checks a template as far as it can be checked without a node: its placeholders.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_template(template: &str) -> Result<(), String> {
    let mut rest = template.to_owned();
    for name in PLACEHOLDERS {
        for quote in ['"', '\''] {
            if template.contains(&format!("{quote}{name}")) || template.contains(&format!("{name}{quote}")) {
                return Err(format!("`{name}` is quoted by the gateway: write it without quotes"));
            }
        }
        rest = rest.replace(name, "");
    }
    match (rest.contains(['{', '}']), rest.len() == template.len()) {
        (true, _) => Err(format!("it names something else than {}", PLACEHOLDERS.join(" and "))),
        (false, true) => Err(format!(
            "it names neither {}, so it would be the same for everybody",
            PLACEHOLDERS.join(" nor ")
        )),
        (false, false) => Ok(()),
    }
}

fn first_placeholder(text: &str) -> Option<(usize, &'static str)> {
    PLACEHOLDERS.iter().filter_map(|name| text.find(name).map(|at| (at, *name))).min()
}

/// A name as a quoted text of a filter. In such a text a backslash takes the character behind it, and only a quote is
/// written with one. A name in which a backslash could do anything else is refused.
fn quoted(name: &str) -> Result<String, String> {
    if name.len() > SEARCH_PAGE_IDENTITY_BYTES_MAX {
        return Err(format!("a name has more than {SEARCH_PAGE_IDENTITY_BYTES_MAX} bytes"));
    }
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        let behind = chars.peek();
        if char.is_control() || (char == '\\' && matches!(behind, None | Some('"' | '\'' | '\\'))) {
            return Err("a name has a character that no filter can hold".to_owned());
        }
    }
    Ok(format!("\"{}\"", name.replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(user: &str, groups: &str, template: &str) -> Result<String, String> {
        Identity::read(Some(user), Some(groups))?.filter(template)
    }

    #[test]
    fn names_become_quoted_texts() {
        let check = |user: &str, groups: &str, expected: &str| {
            assert_eq!(
                filter(user, groups, "a = {user} OR g IN {groups}").unwrap(),
                expected,
                "{user} {groups}"
            );
        };
        check("ada", "x, y", r#"a = "ada" OR g IN ["x", "y"]"#);
        check("ada", "", r#"a = "ada" OR g IN []"#);
        check(r#"" OR a != ""#, "", r#"a = "\" OR a != \"" OR g IN []"#);
        check(
            "' OR 1",
            r#"x"] OR a EXISTS OR g IN ["#,
            r#"a = "' OR 1" OR g IN ["x\"] OR a EXISTS OR g IN ["]"#,
        );
        check("{groups}", "{user}", r#"a = "{groups}" OR g IN ["{user}"]"#);
        check(r"CORP\ada", "", r#"a = "CORP\ada" OR g IN []"#);
    }

    #[test]
    fn names_that_no_filter_can_hold_are_refused() {
        for user in [r"ada\", r#"a\" OR b = "#, r"a\\", r"\'", "a\u{1}b", &"x".repeat(600)] {
            assert!(filter(user, "", "a = {user}").is_err(), "{user}");
            assert!(filter("ada", user, "a = {user}").is_err(), "{user}");
        }
        assert!(Identity::read(None, None).is_err() && Identity::read(Some(" "), Some("a")).is_err());
        assert!(Identity::read(Some("a"), Some(&"g,".repeat(201))).is_err());
    }

    #[test]
    fn templates_name_the_user_or_groups_unquoted() {
        assert!(check_template("a = {user}").is_ok() && check_template("g IN {groups} AND b = 1").is_ok());
        for wrong in
            ["a = \"{user}\"", "a = '{user}'", "a = {usr}", "a = 1", "", "a = {user} OR b = {", "a = {user}}"]
        {
            assert!(check_template(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_trusted_proxies_say_who_searches() {
        let check = |peer: &str, trusted: &[&str], expected: bool| {
            let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>();
            assert_eq!(is_trusted(peer.parse().unwrap(), &trusted), expected, "{peer}");
        };
        check("127.0.0.1", &[], true);
        check("::1", &[], true);
        check("10.0.0.1", &[], false);
        check("10.0.0.1", &["10.0.0.0/8"], true);
        check("::ffff:10.0.0.1", &["10.0.0.0/8"], true);
        check("127.0.0.1", &["10.0.0.0/8"], false);
    }
}

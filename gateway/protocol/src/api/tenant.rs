//! Tenants as operators assign them: each to a replica group, and API keys to tenants.
//!
//! Invariants: no IO. One value holds the whole table, so that each change builds on the one before. A table has a
//! bounded number of rows, and names have a bounded length.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Table;
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body::object,
    },
    limits::{TENANT_BYTES_MAX, TENANTS_MAX},
};

/// The table of tenants, all in one record.
pub const TENANTS: Table = Table::named("tenants");
pub const TENANTS_KEY: &str = "all";

/// Which group each tenant reads, and which tenant each key belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenants {
    /// The number of the replica group, by the tenant's name.
    pub groups: BTreeMap<String, u16>,
    /// The tenant's name, by the key's uid.
    pub keys: BTreeMap<Uuid, String>,
}

impl Tenants {
    /// Assigns a tenant to a group.
    ///
    /// # Errors
    /// 400 when the table is full.
    pub fn assign(&mut self, tenant: &str, group: u16) -> Result<(), ApiError> {
        if !self.groups.contains_key(tenant) && self.groups.len() >= TENANTS_MAX {
            return Err(bad(format!("The table has its {TENANTS_MAX} tenants: delete one first.")));
        }
        self.groups.insert(tenant.to_owned(), group);
        Ok(())
    }

    /// Gives a key to a tenant.
    ///
    /// # Errors
    /// 400 when the table is full.
    pub fn give_key(&mut self, key: Uuid, tenant: &str) -> Result<(), ApiError> {
        if !self.keys.contains_key(&key) && self.keys.len() >= TENANTS_MAX {
            return Err(bad(format!("The table has its {TENANTS_MAX} keys: delete one first.")));
        }
        self.keys.insert(key, tenant.to_owned());
        Ok(())
    }

    /// Takes a tenant out of the table.
    ///
    /// # Errors
    /// 404 when it is not in it.
    pub fn remove(&mut self, tenant: &str) -> Result<(), ApiError> {
        self.groups.remove(tenant).map(drop).ok_or_else(|| not_found(format!("Tenant `{tenant}` not found.")))
    }

    /// Takes a key out of the table.
    ///
    /// # Errors
    /// 404 when it is not in it.
    pub fn remove_key(&mut self, key: Uuid) -> Result<(), ApiError> {
        self.keys.remove(&key).map(drop).ok_or_else(|| not_found(format!("Key `{key}` has no tenant.")))
    }

    /// The table as the management API shows it.
    #[must_use]
    pub fn view(&self) -> Value {
        let tenants = self.groups.iter().map(|(tenant, group)| json!({"tenant": tenant, "group": group}));
        let keys = self.keys.iter().map(|(key, tenant)| json!({"keyUid": key, "tenant": tenant}));
        json!({"results": tenants.collect::<Vec<_>>(), "keys": keys.collect::<Vec<_>>()})
    }
}

/// Reads the body of `PUT /_miroir/tenants/{tenant}`: the group, which must be one of `known`.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_group(body: Value, known: &[usize]) -> Result<u16, ApiError> {
    let body = object(body, &["group"])?;
    if body["group"].is_null() {
        return Err(bad("Missing field `group`.".to_owned()));
    }
    let number = body["group"].as_u64().and_then(|number| u16::try_from(number).ok());
    let Some(number) = number else {
        let message =
            format!("Invalid value at `.group`: expected a group's number, but found `{}`.", body["group"]);
        return Err(bad(message));
    };
    if known.contains(&usize::from(number)) {
        return Ok(number);
    }
    let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(bad(format!("Invalid value at `.group`: there is no group {number}, only {known}.")))
}

/// Reads the body of `PUT /_miroir/tenants/keys/{keyUid}`: the tenant.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_tenant(body: Value) -> Result<String, ApiError> {
    let body = object(body, &["tenant"])?;
    match &body["tenant"] {
        Value::String(tenant) => {
            check_name(tenant, "at `.tenant`")?;
            Ok(tenant.clone())
        }
        Value::Null => Err(bad("Missing field `tenant`.".to_owned())),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(bad(format!("Invalid value at `.tenant`: expected a string, but found `{other}`.")))
        }
    }
}

/// Checks a tenant's name; `place` tells where it stands.
///
/// # Errors
/// 400 that tells what is allowed.
pub fn check_name(name: &str, place: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:@".contains(&byte);
    if (1..=TENANT_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(bad(format!(
        "Invalid tenant {place}: a tenant's name has 1 to {TENANT_BYTES_MAX} of the characters A-Z a-z 0-9 _ . - : @."
    )))
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::BadRequest, message)
}

fn not_found(message: String) -> ApiError {
    ApiError::new(Code::MiroirTenantNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: ApiError) -> String {
        error.into_task_error().message
    }

    #[test]
    fn bad_bodies_are_refused_with_what_is_wrong() {
        let group = |body: Value, expected: &str| {
            let message = message(parse_group(body.clone(), &[0, 2]).unwrap_err());
            assert!(message.contains(expected), "{body}: {message}");
        };
        group(json!([]), "object");
        group(json!({}), "Missing field `group`");
        group(json!({"group": "1"}), "`.group`");
        group(json!({"group": -1}), "`.group`");
        group(json!({"group": 0.5}), "`.group`");
        group(json!({"group": 70_000}), "`.group`");
        group(json!({"group": 1}), "no group 1, only 0, 2");
        group(json!({"group": 0, "x": 1}), "`x`");
        assert_eq!(parse_group(json!({"group": 2}), &[0, 2]).unwrap(), 2);
        let tenant = |body: Value, expected: &str| {
            let message = message(parse_tenant(body.clone()).unwrap_err());
            assert!(message.contains(expected), "{body}: {message}");
        };
        tenant(json!({}), "Missing field `tenant`");
        tenant(json!({"tenant": 7}), "`.tenant`");
        tenant(json!({"tenant": ""}), "1 to 128");
        tenant(json!({"tenant": "a b"}), "1 to 128");
        tenant(json!({"tenant": "a".repeat(129)}), "1 to 128");
        assert_eq!(parse_tenant(json!({"tenant": "a:b@c"})).unwrap(), "a:b@c");
    }

    #[test]
    fn a_table_is_bounded_and_says_what_it_lacks() {
        let mut tenants = Tenants::default();
        for number in 0..TENANTS_MAX {
            tenants.assign(&number.to_string(), 0).unwrap();
        }
        assert!(message(tenants.assign("more", 0).unwrap_err()).contains("10000 tenants"));
        tenants.assign("7", 1).unwrap();
        tenants.remove("8").unwrap();
        tenants.assign("more", 0).unwrap();
        assert_eq!(tenants.remove("8").unwrap_err().code(), Some(Code::MiroirTenantNotFound));
        assert_eq!(tenants.remove_key(Uuid::nil()).unwrap_err().code(), Some(Code::MiroirTenantNotFound));
        tenants.give_key(Uuid::nil(), "7").unwrap();
        assert_eq!(tenants.view()["keys"][0]["tenant"], "7");
        let stored = serde_json::to_value(&tenants).unwrap();
        assert_eq!(serde_json::from_value::<Tenants>(stored).unwrap(), tenants);
    }
}

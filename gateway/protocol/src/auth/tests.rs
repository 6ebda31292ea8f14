//! Tests of keys, tokens and permissions, case by case, without a cluster. Expected texts are those of Meilisearch
//! 1.50.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Action, ApiKey, CreateKey, KeyRing, Permission, Secret, UpdateKey, secret};
use crate::api::error::ApiError;

const MASTER_KEY: &str = "a-master-key-of-some-length";
const UID: &str = "01b4bc42-eb33-4041-b481-254d00cce834";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

fn master_key() -> Option<Secret> {
    Some(Secret::new(MASTER_KEY.to_owned()))
}

fn uid() -> Uuid {
    UID.parse().unwrap()
}

fn value() -> String {
    secret::key_value(&secret::derive(MASTER_KEY, uid()))
}

fn key(actions: &[&str], indexes: &[&str]) -> ApiKey {
    let body = json!({"uid": UID, "actions": actions, "indexes": indexes, "expiresAt": null});
    CreateKey::parse(body, now()).unwrap().into_key(now())
}

fn ring(actions: &[&str], indexes: &[&str]) -> KeyRing {
    let mut key = key(&["search"], indexes);
    key.actions = actions.iter().map(|name| Action::by_name(name).unwrap()).collect();
    KeyRing::new(master_key(), [(key, 1)])
}

/// Code and message.
fn said(error: ApiError) -> (String, String) {
    let error = error.into_task_error();
    (error.code, error.message)
}

#[track_caller]
fn refused<T>(result: Result<T, ApiError>, code: &str, message: &str) {
    let Err(error) = result else { panic!("not refused: {message}") };
    assert_eq!(said(error), (code.to_owned(), message.to_owned()));
}

/// A JSON Web Token of these parts.
fn token(header: &Value, claims: &Value, secret: &str) -> String {
    use hmac::{Hmac, Mac};
    let message =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    macro_rules! signed {
        ($hash:ty) => {{
            let mac = Hmac::<$hash>::new_from_slice(secret.as_bytes()).unwrap();
            mac.chain_update(&message).finalize().into_bytes().to_vec()
        }};
    }
    let signature = match header["alg"].as_str() {
        Some("HS512") => signed!(sha2::Sha512),
        Some("HS384") => signed!(sha2::Sha384),
        _ => signed!(sha2::Sha256),
    };
    format!("{message}.{}", base64(&signature))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let count = chunk.len() + 1;
        (0..count).map(move |at| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]))
    });
    digits.collect()
}

fn tenant(rules: Value) -> String {
    token(&json!({"typ": "JWT", "alg": "HS256"}), &json!({"searchRules": rules, "apiKeyUid": UID}), &value())
}

fn search(ring: &KeyRing, token: &str, index: Option<&str>) -> Result<Permission, ApiError> {
    ring.authorize(Some(token), Action::Search, index, now())
}

/// Wrong bodies of new keys: the member that makes it wrong (alone, when it is missing), the code, the message.
const WRONG: &[(&str, &str, &str)] = &[
    ("actions", "missing_api_key_actions", "Missing field `actions`"),
    ("indexes", "missing_api_key_indexes", "Missing field `indexes`"),
    ("expiresAt", "missing_api_key_expires_at", "Missing field `expiresAt`"),
    (
        "doggo: 1",
        "bad_request",
        "Unknown field `doggo`: expected one of `description`, `name`, `uid`, `actions`, `indexes`, `expiresAt`",
    ),
    (
        "expires_at: null",
        "bad_request",
        "Unknown field `expires_at`: did you mean `expiresAt`? expected one of `description`, `name`, `uid`, `actions`, `indexes`, `expiresAt`",
    ),
    (
        "name: 13",
        "invalid_api_key_name",
        "Invalid value type at `.name`: expected a string, but found a positive integer: `13`",
    ),
    (
        "description: {\"name\":\"products\"}",
        "invalid_api_key_description",
        "Invalid value type at `.description`: expected a string, but found an object: `{\"name\":\"products\"}`",
    ),
    (
        "uid: [\"doggo\"]",
        "invalid_api_key_uid",
        "Invalid value type at `.uid`: expected a string, but found an array: `[\"doggo\"]`",
    ),
    ("uid: null", "invalid_api_key_uid", "Invalid value type at `.uid`: expected a string, but found null"),
    ("uid: \"aaaaabbbbbccc\"", "invalid_api_key_uid", "Invalid value at `.uid`: invalid length: found 13"),
    (
        "uid: \"good doggo\"",
        "invalid_api_key_uid",
        "Invalid value at `.uid`: invalid character: found `g` at 0",
    ),
    (
        "actions: \"doggo\"",
        "invalid_api_key_actions",
        "Invalid value type at `.actions`: expected an array, but found a string: `\"doggo\"`",
    ),
    (
        "actions: [\"search\", 7]",
        "invalid_api_key_actions",
        "Invalid value type at `.actions[1]`: expected a string, but found a positive integer: `7`",
    ),
    (
        "indexes: {\"name\":\"products\"}",
        "invalid_api_key_indexes",
        "Invalid value type at `.indexes`: expected an array, but found an object: `{\"name\":\"products\"}`",
    ),
    (
        "expiresAt: {\"name\":\"products\"}",
        "invalid_api_key_expires_at",
        "Invalid value type at `.expiresAt`: expected a string, but found an object: `{\"name\":\"products\"}`",
    ),
    (
        "actions: [\"search\", \"version\"]",
        "index_scoped_api_key_with_global_action",
        "cannot create index-scoped API key with global action `\"version\"`\n  - Hint: remove action `\"version\"` from the action list, or remove `indexes` to make the key global",
    ),
];

/// A valid body with one member changed or, when it stands alone, missing.
fn body_with(change: &str) -> Value {
    let mut body = json!({"actions": ["search"], "indexes": ["products*"], "expiresAt": null});
    match change.split_once(": ") {
        Some((name, value)) => body[name] = serde_json::from_str(value).unwrap(),
        None => drop(body.as_object_mut().unwrap().remove(change)),
    }
    body
}

#[test]
fn bodies_of_new_keys_are_judged_as_on_one_node() {
    for (change, code, message) in WRONG {
        refused(CreateKey::parse(body_with(change), now()), code, message);
    }
    let names = Action::NAMES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    refused(
        CreateKey::parse(body_with("actions: [\"doggo\"]"), now()),
        "invalid_api_key_actions",
        &format!("Unknown value `doggo` at `.actions[0]`: expected one of {names}"),
    );
    for wrong in ["good doggo", "", "a*b", "**", "a/b"] {
        let message = format!(
            "Invalid value at `.indexes[0]`: `{wrong}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
        );
        let body = body_with(&format!("indexes: [\"{wrong}\"]"));
        refused(CreateKey::parse(body, now()), "invalid_api_key_indexes", &message);
    }
    for wrong in ["2010-11-13T00:00:00Z", "tomorrow", "2050-13-01", "2050-11-13 00:00", ""] {
        let message = format!(
            "Invalid value at `.expiresAt`: `{wrong}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
        );
        let body = body_with(&format!("expiresAt: \"{wrong}\""));
        refused(CreateKey::parse(body, now()), "invalid_api_key_expires_at", &message);
    }
    // Of several errors the first in the body's order is reported, whether it is about the time or not.
    let past = json!({"expiresAt": "2010-11-13", "actions": 1, "indexes": ["*"]});
    let message = "Invalid value at `.expiresAt`: `2010-11-13` is not a valid date.";
    let (code, said) = said(CreateKey::parse(past, now()).unwrap_err());
    assert!(code == "invalid_api_key_expires_at" && said.starts_with(message), "{code}: {said}");
    let late = json!({"actions": 1, "expiresAt": "2010-11-13", "indexes": ["*"]});
    let message = "Invalid value type at `.actions`: expected an array, but found a positive integer: `1`";
    refused(CreateKey::parse(late, now()), "invalid_api_key_actions", message);
    let message = "Invalid value type: expected an object, but found an array: `[]`";
    refused(CreateKey::parse(json!([]), now()), "bad_request", message);
}

#[test]
fn good_bodies_become_keys() {
    let check = |expires_at: &str, expected: &str| {
        let body = json!({"actions": ["*"], "indexes": ["*"], "expiresAt": expires_at});
        let key = CreateKey::parse(body, now()).unwrap().into_key(now());
        let key = KeyRing::new(master_key(), [(key, 1)]).newest_first()[0].view();
        assert_eq!(key["expiresAt"], expected);
    };
    check("2050-11-13", "2050-11-13T00:00:00Z");
    check("2050-11-13 10:20:30", "2050-11-13T10:20:30Z");
    check("2050-11-13T10:20:30", "2050-11-13T10:20:30Z");
    check("2050-11-13T10:20:30+02:00", "2050-11-13T10:20:30+02:00");
    let view = ring(&["documents.*", "search"], &["a*"]).newest_first()[0].view();
    let expected = json!({
        "name": null,
        "description": null,
        "key": value(),
        "uid": UID,
        "actions": ["documents.*", "search"],
        "indexes": ["a*"],
        "expiresAt": null,
        "createdAt": "2023-11-14T22:13:20Z",
        "updatedAt": "2023-11-14T22:13:20Z",
    });
    assert_eq!(view.to_string(), expected.to_string());
    // A key for no index at all may have any action, and do nothing.
    assert!(
        CreateKey::parse(json!({"actions": ["version"], "indexes": [], "expiresAt": null}), now()).is_ok()
    );
}

#[test]
fn only_name_and_description_change() {
    let before =
        ApiKey { name: Some("n".to_owned()), description: Some("d".to_owned()), ..key(&["search"], &["*"]) };
    let check = |body: Value, name: Option<&str>, description: Option<&str>| {
        let after = UpdateKey::parse(body).unwrap().apply(&before, now() + Duration::HOUR);
        assert_eq!((after.name.as_deref(), after.description.as_deref()), (name, description));
        assert_eq!((after.created_at, after.updated_at), (now(), now() + Duration::HOUR));
    };
    check(json!({}), Some("n"), Some("d"));
    check(json!({"name": null}), None, Some("d"));
    check(json!({"name": "m", "description": ""}), Some("m"), Some(""));
    for (field, code) in [
        ("uid", "immutable_api_key_uid"),
        ("actions", "immutable_api_key_actions"),
        ("indexes", "immutable_api_key_indexes"),
        ("expiresAt", "immutable_api_key_expires_at"),
        ("createdAt", "immutable_api_key_created_at"),
        ("updatedAt", "immutable_api_key_updated_at"),
    ] {
        let message = format!("Immutable field `{field}`: expected one of `description`, `name`");
        refused(UpdateKey::parse(json!({field: null})), code, &message);
    }
    let message = "Unknown field `key`: expected one of `description`, `name`";
    refused(UpdateKey::parse(json!({"key": "k"})), "bad_request", message);
    let message = "Invalid value type at `.name`: expected a string, but found a positive integer: `13`";
    refused(UpdateKey::parse(json!({"name": 13})), "invalid_api_key_name", message);
}

#[test]
fn without_a_master_key_everything_but_keys_is_open() {
    let open = KeyRing::new(None, [(key(&["*"], &["*"]), 1)]);
    assert!(open.authorize(None, Action::DumpsCreate, None, now()).unwrap().allows_all_indexes());
    assert!(open.authorize(Some("garbled"), Action::Search, Some("a"), now()).is_ok());
    for action in [Action::KeysGet, Action::KeysCreate, Action::KeysUpdate, Action::KeysDelete] {
        refused(
            open.authorize(None, action, None, now()),
            "missing_master_key",
            "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at launch.",
        );
    }
}

#[test]
fn keys_do_what_they_are_for() {
    let invalid = "The provided API key is invalid.";
    let check = |ring: &KeyRing, action, index, expected: Option<&str>| {
        let found = ring.authorize(Some(&value()), action, index, now());
        match expected {
            None => assert!(found.is_ok(), "{action:?} {index:?}"),
            Some(message) => refused(found, "invalid_api_key", message),
        }
    };
    let all = ring(&["*"], &["*"]);
    check(&all, Action::DocumentsAll, Some("a"), None);
    check(&all, Action::KeysGet, None, None);
    check(&all, Action::Version, None, None);
    let some = ring(&["documents.*", "search", "tasks.*", "version"], &["products*", "dog", "dog"]);
    check(&some, Action::DocumentsAdd, Some("products_1"), None);
    check(&some, Action::DocumentsAdd, Some("dog"), None);
    check(&some, Action::DocumentsAll, Some("dog"), Some(invalid));
    check(&some, Action::IndexesGet, Some("dog"), Some(invalid));
    check(&some, Action::TasksGet, None, None);
    check(&some, Action::TasksCompact, None, Some(invalid));
    check(&some, Action::Version, None, Some(invalid));
    check(&some, Action::Search, None, None);
    let message =
        "The API key cannot acces the index `doggo`, authorized indexes are [\"dog\", \"products*\"].";
    check(&some, Action::DocumentsAdd, Some("doggo"), Some(message));
    check(&some, Action::IndexesGet, Some("doggo"), Some(message));
    check(&ring(&["*"], &[]), Action::Search, None, Some(invalid));
    check(&ring(&["*.get"], &["*"]), Action::KeysGet, None, Some(invalid));
    let header = "The Authorization header is missing. It must use the bearer authorization method.";
    refused(all.authorize(None, Action::Version, None, now()), "missing_authorization_header", header);
    assert!(all.authorize(Some(MASTER_KEY), Action::KeysDelete, None, now()).is_ok());
    for wrong in ["", "x", UID, &value()[1..], &format!("{}0", &value()[..63])] {
        refused(all.authorize(Some(wrong), Action::DocumentsGet, None, now()), "invalid_api_key", invalid);
        refused(all.authorize(Some(wrong), Action::Search, None, now()), "invalid_api_key", invalid);
    }
    assert!(all.authorize(Some(&value().to_uppercase()), Action::Version, None, now()).is_ok());
}

#[test]
fn keys_end_when_they_say() {
    let mut key = key(&["*"], &["*"]);
    key.expires_at = Some(now());
    let ring = KeyRing::new(master_key(), [(key, 1)]);
    let at = |moment| ring.authorize(Some(&value()), Action::Version, None, moment);
    assert!(at(now() - Duration::NANOSECOND).is_ok());
    refused(at(now()), "invalid_api_key", "The provided API key is invalid.");
    let tenant = tenant(json!(["*"]));
    let at = |moment| ring.authorize(Some(&tenant), Action::Search, None, moment);
    assert!(at(now() - Duration::NANOSECOND).is_ok());
    refused(at(now()), "invalid_api_key", "The provided API key is invalid.");
}

#[test]
fn permissions_say_what_may_be_seen_and_made() {
    let permission = |actions: &[&str], indexes: &[&str]| {
        ring(actions, indexes).authorize(Some(&value()), Action::IndexesGet, None, now()).unwrap()
    };
    let some = permission(&["indexes.get"], &["products*"]);
    assert!(some.allows_index("products") && some.allows_index("products2") && !some.allows_index("product"));
    assert!(!some.allows_all_indexes() && !some.creates_index("products"));
    assert!(some.allows_task(Some("products")) && !some.allows_task(Some("dog")) && !some.allows_task(None));
    let maker = permission(&["indexes.*"], &["products*"]);
    assert!(maker.creates_index("products") && !maker.creates_index("dog"));
    let all = permission(&["indexes.get"], &["a", "*"]);
    assert!(all.allows_all_indexes() && all.allows_task(None) && !all.creates_index("a"));
    assert!(Permission::everything().creates_index("a") && Permission::everything().allows_task(None));
}

#[test]
fn the_most_exact_search_rule_holds() {
    let ring = ring(&["search"], &["*"]);
    let check = |rules: Value, index: &str, expected: Option<Option<&str>>| {
        let permission = search(&ring, &tenant(rules.clone()), None).unwrap();
        let found = permission.rules_for(index);
        match expected {
            Some(filter) => assert_eq!(found.unwrap().as_deref(), filter, "{rules} {index}"),
            None => refused(found, "invalid_api_key", "The provided API key is invalid."),
        }
    };
    check(json!(["*"]), "a", Some(None));
    check(json!(["a", "b*"]), "bc", Some(None));
    check(json!(["a", "b*"]), "c", None);
    check(json!([]), "a", None);
    check(json!({}), "a", None);
    check(json!({"*": {}}), "a", Some(None));
    check(json!({"*": null}), "a", Some(None));
    check(json!({"a": {"filter": null}}), "a", Some(None));
    check(json!({"a": {"filter": "x = 1"}}), "a", Some(Some("\"x = 1\"")));
    check(json!({"a": {"filter": ["x = 1", ["y", "z"]]}}), "a", Some(Some("[\"x = 1\",[\"y\",\"z\"]]")));
    let nested = json!({"*": {"filter": "all"}, "ab*": {"filter": "long"}, "a*": {"filter": "short"}, "abc": {"filter": "exact"}});
    check(nested.clone(), "x", Some(Some("\"all\"")));
    check(nested.clone(), "ax", Some(Some("\"short\"")));
    check(nested.clone(), "abx", Some(Some("\"long\"")));
    check(nested, "abc", Some(Some("\"exact\"")));
}

#[test]
fn tokens_never_reach_beyond_their_key() {
    let ring = ring(&["search"], &["dog", "cat*"]);
    assert!(search(&ring, &tenant(json!(["*"])), Some("dog")).is_ok());
    let message = "The API key used to generate this tenant token cannot acces the index `doggo`.";
    refused(search(&ring, &tenant(json!(["*"])), Some("doggo")), "invalid_api_key", message);
    let message =
        "The provided tenant token cannot acces the index `dog`, allowed indexes are [\"catto\", \"doggo\"].";
    for rules in [json!(["doggo", "catto"]), json!({"doggo": {}, "catto": null})] {
        refused(search(&ring, &tenant(rules), Some("dog")), "invalid_api_key", message);
    }
    let wide = search(&ring, &tenant(json!(["*"])), None).unwrap();
    assert!(wide.allows_index("cats") && !wide.allows_index("bird") && !wide.allows_all_indexes());
    // Only searches and chats take tokens.
    let found = ring.authorize(Some(&tenant(json!(["*"]))), Action::DocumentsGet, Some("dog"), now());
    refused(found, "invalid_api_key", "The provided API key is invalid.");
    let deleted = ring.without(uid(), 1);
    refused(
        search(&deleted, &tenant(json!(["*"])), Some("dog")),
        "invalid_api_key",
        "The provided API key is invalid.",
    );
}

#[test]
fn bad_tokens_are_refused_with_the_reason() {
    let ring = ring(&["*"], &["*"]);
    let check =
        |token: String, message: &str| refused(search(&ring, &token, Some("a")), "invalid_api_key", message);
    let claims = json!({"searchRules": ["*"], "apiKeyUid": UID});
    let header = |algorithm: &str| json!({"alg": algorithm, "typ": "JWT"});
    for algorithm in ["HS256", "HS384", "HS512"] {
        assert!(
            search(&ring, &token(&header(algorithm), &claims, &value()), Some("a")).is_ok(),
            "{algorithm}"
        );
        check(
            token(&header(algorithm), &claims, "another secret"),
            "Could not decode tenant token, InvalidSignature.",
        );
    }
    check(token(&header("RS256"), &claims, &value()), "Could not decode tenant token, InvalidAlgorithm.");
    check(token(&header("ES256"), &claims, &value()), "Could not decode tenant token, InvalidAlgorithm.");
    let unsigned = search(&ring, &token(&header("none"), &claims, &value()), Some("a")).unwrap_err();
    assert!(
        said(unsigned).1.starts_with("Could not decode tenant token, JSON error: unknown variant `none`")
    );
    let changed = |claims: Value| token(&header("HS256"), &claims, &value());
    check(
        changed(json!({"apiKeyUid": UID, "searchRules": ["*"], "exp": 1_600_000_000})),
        "Tenant token expired. Was valid up to `1600000000` and we're now `1700000000`.",
    );
    assert!(
        search(&ring, &changed(json!({"apiKeyUid": UID, "searchRules": ["*"], "exp": 1_700_000_000})), None)
            .is_ok()
    );
    assert!(
        search(&ring, &changed(json!({"apiKeyUid": UID, "searchRules": ["*"], "exp": null})), None).is_ok()
    );
    check(
        changed(json!({"apiKeyUid": UID, "searchRules": ["*"], "aud": "someone"})),
        "Could not decode tenant token, InvalidAudience.",
    );
    check(
        changed(json!({"exp": 1_234_567})),
        "Could not decode tenant token, JSON error: missing field `searchRules` at line 1 column 15.",
    );
    check(
        changed(json!({"searchRules": "hello", "a": 1})),
        "Could not decode tenant token, JSON error: data did not match any variant of untagged enum SearchRules at line 1 column 22.",
    );
    let stranger = Uuid::from_u128(7);
    let signed = secret::key_value(&secret::derive(MASTER_KEY, stranger));
    let unknown = json!({"searchRules": ["*"], "apiKeyUid": stranger});
    check(token(&header("HS256"), &unknown, &signed), "The provided API key is invalid.");
    check("a.b".to_owned(), "The provided API key is invalid.");
    check(tenant(json!(["*"])).replace('.', ""), "The provided API key is invalid.");
    let tail = search(&ring, &format!("{}*", tenant(json!(["*"]))), None).unwrap_err();
    assert!(said(tail).1.starts_with("Could not decode tenant token, Base64 error: "));
}

#[test]
fn late_changes_never_undo_newer_ones() {
    let one = key(&["search"], &["*"]);
    let named = |name: &str| ApiKey { name: Some(name.to_owned()), ..one.clone() };
    let name = |ring: &KeyRing| ring.by_uid(uid()).and_then(|held| held.key.name.clone());
    let ring = KeyRing::new(master_key(), []).with_new(&one, 1);
    let changed = ring.with_changed(&named("newer"), 3).with_changed(&named("older"), 2);
    assert_eq!(name(&changed).as_deref(), Some("newer"));
    let deleted = changed.without(uid(), 3);
    assert!(deleted.is_empty() && deleted.by_value(&value()).is_none());
    assert!(deleted.with_changed(&named("late"), 2).is_empty());
    let again = deleted.with_new(&named("again"), 5);
    assert_eq!(name(&again.without(uid(), 3)).as_deref(), Some("again"));
    assert_eq!(again.len(), 1);
}

#[test]
fn default_keys_are_listed_as_on_a_new_node() {
    let ring = KeyRing::new(master_key(), ApiKey::defaults(now()).into_iter().map(|key| (key, 1)));
    let listed = ring.newest_first().into_iter().map(|held| held.view()).collect::<Vec<_>>();
    let facts =
        |key: &Value| format!("{} {} {}", key["name"].as_str().unwrap(), key["actions"], key["indexes"]);
    assert_eq!(
        listed.iter().map(facts).collect::<Vec<_>>(),
        [
            "Default Search API Key [\"search\"] [\"*\"]",
            "Default Admin API Key [\"*\"] [\"*\"]",
            "Default Read-Only Admin API Key [\"*.get\",\"keys.get\"] [\"*\"]",
            "Default Chat API Key [\"chatCompletions\",\"search\"] [\"*\"]",
        ]
    );
}

//! Tokens of search pages: what a browser holds, for a quarter of an hour, to search one index.
//!
//! Invariants: a token is HS256, signed with one of the gateway's secrets, which its `kid` names. Nothing in a token is
//! believed before its signature is verified. It allows searches of its index, under its filter, and nothing else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    api::error::{ApiError, Code},
    auth::{
        Secret, hmac_provider,
        page_secrets::{NAME_START, PAGE_TOKEN_SECONDS, PageKey, Rotation},
    },
};

/// The scopes, each a family of routes.
pub const SCOPE_SEARCH: &str = "search";
pub const SCOPE_MULTI_SEARCH: &str = "multi-search";
pub const SCOPE_BEACON: &str = "beacon";

/// The secrets that sign and verify the tokens; none, and no page can be served.
#[derive(Clone, Debug, Default)]
pub struct PageTokens {
    rotation: Rotation,
    /// The newest whose time has come signs; all of them verify.
    keys: Vec<PageKey>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageClaims {
    /// The index, or the alias, as the page's address names it.
    pub idx: String,
    pub scope: Vec<String>,
    pub iat: i64,
    pub exp: i64,
    /// The user, as the proxy in front of the gateway names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// A filter that every search passes besides its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
}

impl PageTokens {
    /// The gateway's own secret, the one before it while it is being replaced, and what has followed it since.
    #[must_use]
    pub fn new(current: Option<&Secret>, previous: Option<&Secret>, rotation: Rotation) -> Self {
        let current = current.map(|own| rotation.keys(own, true));
        let previous = previous.map(|own| rotation.keys(own, false));
        let keys = current.into_iter().chain(previous).flatten().collect();
        Self { rotation, keys }
    }

    /// What has followed the gateway's own secret.
    #[must_use]
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The secrets that sign, have signed or will sign, newest first, by their names.
    #[must_use]
    pub fn view(&self) -> Value {
        let signing = self.keys.iter().filter(|key| key.signs_from.is_some());
        signing.map(PageKey::view).collect()
    }

    /// Checks that there is a secret of the gateway's own, from which others can follow.
    ///
    /// # Errors
    /// 503 `miroir_ui_secret_missing` without one.
    pub fn check_secret(&self) -> Result<(), ApiError> {
        if self.is_empty() { Err(no_secret()) } else { Ok(()) }
    }

    /// Whether there is no secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes a token that is valid from now on for [`PAGE_TOKEN_SECONDS`].
    ///
    /// # Errors
    /// 503 `miroir_ui_secret_missing` without a secret.
    pub fn mint(
        &self,
        idx: &str,
        sub: Option<String>,
        filter: Option<Value>,
        now: OffsetDateTime,
    ) -> Result<(String, PageClaims), ApiError> {
        hmac_provider::install();
        let iat = now.unix_timestamp();
        let signs = |key: &&PageKey| key.signs_from.is_some_and(|since| since <= iat);
        let key = self.keys.iter().find(signs).ok_or_else(no_secret)?;
        let scope = [SCOPE_SEARCH, SCOPE_MULTI_SEARCH, SCOPE_BEACON].map(str::to_owned).to_vec();
        let claims =
            PageClaims { idx: idx.to_owned(), scope, iat, exp: iat + PAGE_TOKEN_SECONDS, sub, filter };
        let header = Header { kid: Some(key.name.clone()), ..Header::new(Algorithm::HS256) };
        let signed = encode(&header, &claims, &EncodingKey::from_secret(key.secret.expose().as_bytes()));
        let token = signed.map_err(|_| ApiError::new(Code::Internal, "A page token cannot be signed."))?;
        Ok((token, claims))
    }

    /// Reads and verifies a token.
    ///
    /// # Errors
    /// 401 `miroir_jwt_invalid`.
    pub fn read(&self, token: &str, now: OffsetDateTime) -> Result<PageClaims, ApiError> {
        hmac_provider::install();
        if self.keys.is_empty() {
            return Err(invalid("this gateway has no secret for such tokens: set SEARCH_UI_JWT_SECRET"));
        }
        let header = decode_header(token).map_err(|_| invalid("its header cannot be read"))?;
        if header.alg != Algorithm::HS256 {
            return Err(invalid("it is not signed with HS256"));
        }
        let named = header.kid.as_deref().unwrap_or_default();
        let key = self.keys.iter().find(|key| key.name == named);
        let is_accepted = |key: &&PageKey| key.until.is_none_or(|until| now.unix_timestamp() < until);
        let key = key.filter(is_accepted);
        let key = key.ok_or_else(|| invalid("its `kid` names none of the gateway's secrets"))?;
        let secret = DecodingKey::from_secret(key.secret.expose().as_bytes());
        let claims = decode::<PageClaims>(token, &secret, &validation());
        let claims = claims.map_err(|error| invalid(&format!("{error}")))?.claims;
        let now = now.unix_timestamp();
        if now >= claims.exp || claims.exp - claims.iat > PAGE_TOKEN_SECONDS {
            return Err(invalid(&format!("it was valid up to `{}` and it is now `{now}`", claims.exp)));
        }
        Ok(claims)
    }
}

impl PageClaims {
    /// Checks that the token is for a family of routes.
    ///
    /// # Errors
    /// 403 `miroir_jwt_scope_denied`.
    pub fn check_scope(&self, scope: &str) -> Result<(), ApiError> {
        match self.scope.iter().any(|known| known == scope) {
            true => Ok(()),
            false => Err(scope_denied(&self.idx, "this route")),
        }
    }

    /// Checks that the token is for an index.
    ///
    /// # Errors
    /// 403 `miroir_jwt_scope_denied`.
    pub fn check_index(&self, uid: &str) -> Result<(), ApiError> {
        match self.idx == uid {
            true => Ok(()),
            false => Err(scope_denied(&self.idx, &format!("the index `{uid}`"))),
        }
    }
}

/// Whether a text is meant as a page token. It tells by the form alone, so that a forged or broken one is refused as
/// what it pretends to be, also where requests need no key at all. Tenant tokens never have an `idx`.
#[must_use]
pub fn looks_like_page_token(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let member = |part: &str, name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()?.get(name).cloned()
    };
    let named = member(header, "kid");
    named.is_some_and(|name| name.as_str().is_some_and(|name| name.starts_with(NAME_START)))
        || member(claims, "idx").is_some()
}

/// The 403 for what a page token does not allow.
#[must_use]
pub fn scope_denied(idx: &str, what: &str) -> ApiError {
    let message =
        format!("This token lets the search page of `{idx}` search that index, and does not allow {what}.");
    ApiError::new(Code::MiroirJwtScopeDenied, message)
}

/// The 503 of a gateway that cannot make tokens.
fn no_secret() -> ApiError {
    ApiError::new(
        Code::MiroirUiSecretMissing,
        "Search pages need a secret that signs their tokens: set SEARCH_UI_JWT_SECRET, the same on all gateways, and start again.",
    )
}

fn invalid(reason: &str) -> ApiError {
    let message = format!("The page token is invalid: {reason}. Ask for a new one.");
    ApiError::new(Code::MiroirJwtInvalid, message)
}

/// The caller's clock, not the library's, decides whether a token has expired.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    validation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of these secrets, the second of which is the former.
    fn tokens_of(current: &str, previous: Option<&str>) -> PageTokens {
        let [current, previous] =
            [Some(current), previous].map(|text| text.map(|text| Secret::new(text.to_owned())));
        PageTokens::new(current.as_ref(), previous.as_ref(), Rotation::default())
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).unwrap()
    }

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[track_caller]
    fn refused(tokens: &PageTokens, token: &str, now: i64) {
        assert!(looks_like_page_token(token), "{token}");
        assert_eq!(tokens.read(token, at(now)).unwrap_err().code(), Some(Code::MiroirJwtInvalid), "{token}");
    }

    #[test]
    fn a_token_is_read_until_it_expires_and_while_its_secret_is_known() {
        let old = tokens_of("old", None);
        let filter = serde_json::json!("owner = \"a\"");
        let (token, claims) = old.mint("cities", Some("a".to_owned()), Some(filter), at(1000)).unwrap();
        assert!(looks_like_page_token(&token));
        assert_eq!(old.read(&token, at(1000)).unwrap(), claims);
        assert_eq!(old.read(&token, at(1899)).unwrap().idx, "cities");
        refused(&old, &token, 1900);
        // While the secret is replaced, both verify and the new one signs.
        let both = tokens_of("new", Some("old"));
        assert!(both.read(&token, at(1000)).is_ok());
        let (newer, _) = both.mint("cities", None, None, at(1000)).unwrap();
        refused(&old, &newer, 1000);
        refused(&tokens_of("new", None), &token, 1000);
        refused(&PageTokens::default(), &token, 1000);
        let nothing = PageTokens::default().mint("cities", None, None, at(0)).unwrap_err();
        assert_eq!(nothing.code(), Some(Code::MiroirUiSecretMissing));
    }

    #[test]
    fn a_secret_that_follows_signs_from_its_time_on() {
        let own = Secret::new("own".to_owned());
        let before = PageTokens::new(Some(&own), None, Rotation::default());
        let rotation = before.rotation().followed_by("salt".to_owned(), at(1000)).unwrap();
        let after = PageTokens::new(Some(&own), None, rotation.clone());
        let token = |tokens: &PageTokens, now| tokens.mint("cities", None, None, at(now)).unwrap().0;
        let (early, late) = (token(&after, 1004), token(&after, 1005));
        // Until then the one before signs, so that all pods know the new one by the time they meet it.
        assert_eq!(early.split('.').next(), token(&before, 1004).split('.').next());
        assert_ne!(early.split('.').next(), late.split('.').next());
        assert!(after.read(&early, at(1903)).is_ok() && after.read(&late, at(1903)).is_ok());
        refused(&before, &late, 1005);
        // One that signed too long, or was stolen, is accepted no longer than its last token could have lived.
        let stolen = token(&before, 1900);
        assert!(after.read(&stolen, at(1964)).is_ok());
        refused(&after, &stolen, 1965);
        // The gateway's own secret is replaced as well: what followed the former one is still read.
        let other = Secret::new("other".to_owned());
        let replaced = PageTokens::new(Some(&other), Some(&own), rotation);
        assert!(replaced.read(&late, at(1903)).is_ok());
        assert_ne!(token(&replaced, 1903).split('.').next(), late.split('.').next());
        assert_eq!(replaced.view().as_array().unwrap().len(), 2);
        assert!(replaced.check_secret().is_ok() && PageTokens::default().check_secret().is_err());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let tokens = tokens_of("s", None);
        let (token, _) = tokens.mint("cities", None, None, at(1000)).unwrap();
        let parts = token.split('.').collect::<Vec<_>>();
        let header =
            |alg: &str, kid: &str| encoded(&serde_json::json!({"alg": alg, "typ": "JWT", "kid": kid}));
        let kid = tokens.keys[0].name.clone();
        let claims =
            encoded(&serde_json::json!({"idx": "cities", "scope": ["search"], "iat": 1000, "exp": 1900}));
        let other = tokens_of("t", None).mint("cities", None, None, at(1000)).unwrap().0;
        let others = other.split('.').collect::<Vec<_>>();
        for forged in [
            format!("{}.{claims}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{claims}.", header("none", &kid)),
            format!("{}.{claims}.{}", header("none", &kid), parts[2]),
            format!("{}.{claims}.{}", header("RS256", &kid), parts[2]),
            format!("{}.{}.{}", header("HS512", &kid), parts[1], parts[2]),
            format!("{}.{}.{}", header("HS256", "page-000000000000"), parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], others[1], others[2]),
            other.clone(),
            format!("{}.x.{}", parts[0], parts[2]),
        ] {
            refused(&tokens, &forged, 1000);
        }
        // A token that one's own secret has signed, but for longer than any token lasts.
        let key = EncodingKey::from_secret(b"s");
        let long =
            PageClaims { idx: "c".into(), scope: vec![], iat: 0, exp: 9_999_999, sub: None, filter: None };
        let head = Header { kid: Some(kid), ..Header::new(Algorithm::HS256) };
        refused(&tokens, &encode(&head, &long, &key).unwrap(), 1000);
    }

    #[test]
    fn other_texts_are_no_page_tokens() {
        let tenant = format!(
            "{}.{}.x",
            encoded(&serde_json::json!({"alg": "HS256"})),
            encoded(&serde_json::json!({"apiKeyUid": "u"}))
        );
        for other in ["", "a", "a.b.c", "....", "a.b.c.d", "0123456789abcdef", &tenant] {
            assert!(!looks_like_page_token(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_for_its_index_and_scopes() {
        let (_, claims) = tokens_of("s", None).mint("a", None, None, at(0)).unwrap();
        assert!(claims.check_index("a").is_ok() && claims.check_scope(SCOPE_BEACON).is_ok());
        for refusal in [claims.check_index("b"), claims.check_index("a*"), claims.check_scope("documents")] {
            assert_eq!(refusal.unwrap_err().code(), Some(Code::MiroirJwtScopeDenied));
        }
    }
}

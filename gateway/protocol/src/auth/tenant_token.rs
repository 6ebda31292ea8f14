//! Tenant tokens: JSON Web Tokens, signed with a key's value, that narrow what the key may search.
//!
//! Invariants: only HMAC with SHA-256, 384 or 512 is accepted. Nothing in a token is believed before its signature is
//! verified. The library is Meilisearch's, so the texts are the same.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    dangerous::insecure_decode,
    decode,
    errors::{Error, ErrorKind},
};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::auth::{hmac_provider, permission::SearchRules};

/// The contents of a verified token.
#[derive(Debug)]
pub(crate) struct TenantToken {
    pub(crate) key_uid: Uuid,
    pub(crate) search_rules: SearchRules,
}

/// Why a text is not a valid token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has another form: it may be a plain key.
    NotAToken,
    /// The reason, for the client.
    Refused(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    search_rules: SearchRules,
    exp: Option<i64>,
    api_key_uid: Uuid,
}

/// Reads a token and verifies it with the value of the key it names.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn read(
    token: &str,
    value_of: impl FnOnce(Uuid) -> String,
    now: OffsetDateTime,
) -> Result<TenantToken, Refusal> {
    hmac_provider::install();
    // Of an unverified token only the name of its key is used.
    let key_uid = insecure_decode::<Claims>(token)?.claims.api_key_uid;
    let key = DecodingKey::from_secret(value_of(key_uid).as_bytes());
    let claims = decode::<Claims>(token, &key, &validation())?.claims;
    let now = now.unix_timestamp();
    if let Some(exp) = claims.exp.filter(|exp| now > *exp) {
        let reason = format!("Tenant token expired. Was valid up to `{exp}` and we're now `{now}`.");
        return Err(Refusal::Refused(reason));
    }
    Ok(TenantToken { key_uid: claims.api_key_uid, search_rules: claims.search_rules })
}

/// The caller's clock, not the library's, decides whether a token has expired.
fn validation() -> Validation {
    let mut validation = Validation::default();
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    validation
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match matches!(error.kind(), ErrorKind::InvalidToken) {
            true => Self::NotAToken,
            false => Self::Refused(format!("Could not decode tenant token, {error}.")),
        }
    }
}

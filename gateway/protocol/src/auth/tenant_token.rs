//! Tenant tokens: JSON Web Tokens, signed with a key's value, that narrow what the key may search.
//!
//! Invariants: only HMAC with SHA-256, 384 or 512 is accepted. Nothing in a token is believed before its signature is
//! verified. The library is Meilisearch's, so the texts are the same.

use hmac::{Hmac, Mac, digest::KeyInit};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Validation,
    crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier},
    dangerous::insecure_decode,
    decode,
    errors::{Error, ErrorKind, Result as JwtResult, new_error},
    signature::{self, Verifier},
};
use serde::Deserialize;
use sha2::{Sha256, Sha384, Sha512};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::auth::permission::SearchRules;

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
    // The first call sets the process's provider; every provider here knows HMAC.
    let _ = HMAC_ONLY.install_default();
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

/// The library's own providers bring RSA and elliptic curves, which no tenant token may use.
static HMAC_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: hmac_verifier,
    jwk_utils: JwkUtils::new_unimplemented(),
};

fn no_signer(_: &Algorithm, _: &EncodingKey) -> JwtResult<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::InvalidAlgorithm))
}

fn hmac_verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    let secret = key.try_get_hmac_secret()?.to_vec();
    Ok(Box::new(HmacVerifier { algorithm: *algorithm, secret }))
}

struct HmacVerifier {
    algorithm: Algorithm,
    secret: Vec<u8>,
}

impl HmacVerifier {
    fn check<M: Mac + KeyInit>(&self, message: &[u8], signature: &[u8]) -> Result<(), signature::Error> {
        let mac = <M as Mac>::new_from_slice(&self.secret).map_err(|_| signature::Error::new())?;
        // In constant time, as the library promises.
        mac.chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl Verifier<Vec<u8>> for HmacVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        if self.algorithm == Algorithm::HS256 {
            self.check::<Hmac<Sha256>>(message, signature)
        } else if self.algorithm == Algorithm::HS384 {
            self.check::<Hmac<Sha384>>(message, signature)
        } else if self.algorithm == Algorithm::HS512 {
            self.check::<Hmac<Sha512>>(message, signature)
        } else {
            Err(signature::Error::new())
        }
    }
}

impl JwtVerifier for HmacVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

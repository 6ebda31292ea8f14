//! The cryptography of JSON Web Tokens: HMAC with SHA-2, and nothing else.
//!
//! Invariant: no token of another kind is ever verified or made, `none` and public keys included. The library's own
//! providers bring RSA and elliptic curves, which no token here may use.

use hmac::{Hmac, Mac, digest::KeyInit};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier},
    errors::{ErrorKind, Result as JwtResult, new_error},
    signature::{self, Signer, Verifier},
};
use sha2::{Sha256, Sha384, Sha512};

/// Makes this the process's provider. The first call does so; every provider of this program knows HMAC.
pub(crate) fn install() {
    let _ = HMAC_ONLY.install_default();
}

static HMAC_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: hmac_signer,
    verifier_factory: hmac_verifier,
    jwk_utils: JwkUtils::new_unimplemented(),
};

/// Signs with HMAC-SHA256 alone.
fn hmac_signer(algorithm: &Algorithm, key: &EncodingKey) -> JwtResult<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::HS256 {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(HmacSigner { secret: key.try_get_hmac_secret()?.to_vec() }))
}

fn hmac_verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    let secret = key.try_get_hmac_secret()?.to_vec();
    Ok(Box::new(HmacVerifier { algorithm: *algorithm, secret }))
}

struct HmacSigner {
    secret: Vec<u8>,
}

impl Signer<Vec<u8>> for HmacSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.secret).map_err(|_| signature::Error::new())?;
        Ok(mac.chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl JwtSigner for HmacSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
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

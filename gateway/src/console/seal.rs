//! The seal of session cookies: what a client holds of its session, unreadable and unchangeable to it.
//!
//! Invariants: every sealed text has a random nonce of its own. A text that was changed, or was sealed for another
//! purpose or with another key, does not open. ChaCha20-Poly1305 and HKDF-SHA256 are ring's.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};

use crate::config::Secret;

/// What sealed texts are for; part of the derivation of the key and of every text.
const PURPOSE: &[u8] = b"miroir console session 1";
/// The longest text that is tried to be opened.
const TEXT_BYTES_MAX: usize = 512;

/// Random bytes could not be had, or a text could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct SealError;

/// Seals and opens.
pub struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Seal {
    /// A seal whose key derives from the secret, or from random bytes when there is none.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn new(secret: Option<&Secret>) -> Result<Self, SealError> {
        let random = SystemRandom::new();
        let mut own = [0; 32];
        random.fill(&mut own).map_err(|_| SealError)?;
        let secret = secret.map_or(&own[..], |secret| secret.expose().as_bytes());
        let derived = Salt::new(HKDF_SHA256, PURPOSE).extract(secret);
        let purpose = [PURPOSE];
        let derived = derived.expand(&purpose, &CHACHA20_POLY1305).map_err(|_| SealError)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(derived)), random })
    }

    /// Random bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn random<const LENGTH: usize>(&self) -> Result<[u8; LENGTH], SealError> {
        let mut bytes = [0; LENGTH];
        self.random.fill(&mut bytes).map_err(|_| SealError)?;
        Ok(bytes)
    }

    /// The sealed text of some bytes, of characters that a cookie may have.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, bytes: &[u8]) -> Result<String, SealError> {
        let nonce = self.random::<NONCE_LEN>()?;
        let mut sealed = bytes.to_vec();
        let aad = Aad::from(PURPOSE);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| SealError)?;
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        Ok(URL_SAFE_NO_PAD.encode(whole))
    }

    /// The bytes of a sealed text; `None` for any other text.
    #[must_use]
    pub fn open(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = whole.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(PURPOSE), &mut sealed).ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: Option<&str>) -> Seal {
        Seal::new(secret.map(|text| Secret::new(text.to_owned())).as_ref()).unwrap()
    }

    #[test]
    fn only_what_was_sealed_with_the_same_key_opens() {
        let (one, same, other) =
            (seal(Some("a secret of pods")), seal(Some("a secret of pods")), seal(Some("another")));
        let text = one.seal(b"session").unwrap();
        assert_eq!(same.open(&text).as_deref(), Some(&b"session"[..]));
        assert_eq!(other.open(&text), None);
        assert_eq!(seal(None).open(&seal(None).seal(b"x").unwrap()), None);
        assert_ne!(one.seal(b"session").unwrap(), text, "a nonce is used once");
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let seal = seal(None);
        let text = seal.seal(b"a session of somebody").unwrap();
        for position in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character has bits that no byte comes from, so that two texts may mean the same bytes; those
            // are refused by the decoder.
            assert_eq!(seal.open(&changed), None, "{position}");
            assert_eq!(seal.open(&text[..position]), None, "{position}");
        }
        for strange in ["", "é", "a b", &"A".repeat(TEXT_BYTES_MAX + 4)] {
            assert_eq!(seal.open(strange), None, "{strange}");
        }
    }
}

//! Keys as secrets: how a key's value is derived from the master key, and how secrets are compared.
//!
//! Invariant: a secret is compared in constant time only.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What `Debug` and printed configurations show for a secret.
pub const SECRET_SHOWN: &str = "(set)";

/// A key, or a text that holds one. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The key itself, for comparing and sending.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SECRET_SHOWN)
    }
}

/// Bytes of a key's value; clients see them as twice as many hexadecimal digits.
pub(crate) type KeyBytes = [u8; 32];

/// The value of the key with this uid: HMAC-SHA256 of the hyphenated uid under the master key.
pub(crate) fn derive(master_key: &str, uid: Uuid) -> KeyBytes {
    let mut mac = Hmac::<Sha256>::new_from_slice(master_key.as_bytes()).expect("HMAC takes any key length");
    mac.update(uid.hyphenated().to_string().as_bytes());
    mac.finalize().into_bytes().into()
}

/// A key's value as clients send it.
pub(crate) fn key_value(bytes: &KeyBytes) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a key's hexadecimal digits, in upper or lower case.
pub(crate) fn key_bytes(text: &str) -> Option<KeyBytes> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The hash by which a key is looked up: the time of a lookup tells nothing about the key itself.
pub(crate) fn digest(bytes: &KeyBytes) -> KeyBytes {
    Sha256::digest(bytes).into()
}

/// Compares secrets in constant time; the time tells only their lengths.
#[must_use]
pub fn equal(given: &[u8], expected: &[u8]) -> bool {
    given.ct_eq(expected).into()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn values_follow_from_master_key_and_uid() {
        // Expected values from an independent HMAC implementation.
        let uid = Uuid::parse_str("01b4bc42-eb33-4041-b481-254d00cce834").unwrap();
        let value = key_value(&derive("MASTER_KEY", uid));
        assert_eq!(value, "de29311340f0999d7bb7a3188f922ff6ffe813f8ba44388b53624e9949cf9a1c");
        assert_eq!(key_bytes(&value), Some(derive("MASTER_KEY", uid)));
        assert_eq!(key_bytes(&value.to_uppercase()), key_bytes(&value));
        for wrong in ["", "zz", &value[1..], &format!("{value}0"), &value.replace('d', "+")] {
            assert_eq!(key_bytes(wrong), None, "{wrong}");
        }
    }
}

//! Where a store is, as operators write it: `sled:PATH`, or the URL of a Redis deployment.
//!
//! Invariant: a URL may hold a password, so a location has no `Debug`, and [`StoreLocation::shown`] leaves it out.

use std::path::PathBuf;

/// The schemes of Redis URLs.
const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];

/// A store that can be opened.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// The folder of a sled store; it need not exist.
    Sled { path: PathBuf },
    /// A Redis deployment; see [`crate::RedisOptions`] for the form of its URL.
    Redis { url: String },
}

impl StoreLocation {
    /// What may be written, as the end of a sentence.
    pub const ALLOWED: &'static str = "give sled:PATH, for example sled:./miroir-data, or redis://HOST:PORT";

    /// Reads a location; `None` for a text that names no store. Nothing is opened.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((scheme, rest)) = text.split_once("://")
            && REDIS_SCHEMES.contains(&scheme)
            && !rest.is_empty()
        {
            return Some(Self::Redis { url: text.to_owned() });
        }
        let path = text.strip_prefix("sled:").filter(|path| !path.is_empty())?;
        Some(Self::Sled { path: path.into() })
    }

    /// A text that should be a location, as errors may show it: of a URL only the scheme.
    #[must_use]
    pub fn shown(text: &str) -> String {
        match text.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://..."),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_folders_and_urls_of_redis() {
        let sled = StoreLocation::parse("sled:./data");
        assert!(sled == Some(StoreLocation::Sled { path: "./data".into() }));
        for scheme in REDIS_SCHEMES {
            let url = format!("{scheme}://user:password@a.example:6379");
            assert!(StoreLocation::parse(&url) == Some(StoreLocation::Redis { url: url.clone() }), "{url}");
            assert_eq!(StoreLocation::shown(&url), format!("{scheme}://..."));
        }
        for wrong in ["", "sled:", "./data", "redis:", "redis://", "http://a.example", "://"] {
            assert!(StoreLocation::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(StoreLocation::shown("./data"), "./data");
    }
}

//! The Meilisearch version of a node, as far as answers depend on it.

/// A node's version: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeVersion(pub u16, pub u16);

impl std::fmt::Display for NodeVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

impl NodeVersion {
    /// Reads a text such as `1.50.0`; what follows the minor number is ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// The version in one number, which an atomic can hold; [`Self::unpack`] reads it.
    #[must_use]
    pub fn pack(self) -> u32 {
        u32::from(self.0) << 16 | u32::from(self.1)
    }

    /// The version that [`Self::pack`] gave.
    #[must_use]
    pub fn unpack(packed: u32) -> Self {
        let low = |number: u32| u16::try_from(number & 0xffff).unwrap_or(u16::MAX);
        Self(low(packed >> 16), low(packed))
    }
}

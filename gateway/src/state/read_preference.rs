//! The group that a request's reads go to first, and the groups that they may go to at all.
//!
//! Invariants: a session's group wins over the tenant's. A dedicated group takes nobody but the tenants that the
//! table assigns to it.

/// What the request that is being polled prefers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReadPreference {
    /// The group that took the session's write.
    pub(crate) session: Option<usize>,
    pub(crate) tenant: Option<TenantGroup>,
}

/// The group of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TenantGroup {
    pub(crate) group: usize,
    pub(crate) source: GroupSource,
}

/// What assigns a tenant to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum GroupSource {
    Table,
    Hash,
    Random,
}

impl GroupSource {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Hash => "hash",
            Self::Random => "random",
        }
    }
}

impl ReadPreference {
    /// Whether the request may read a group, where these groups are dedicated.
    pub(crate) fn admits(self, dedicated: &[u16], group: usize) -> bool {
        let assigned = TenantGroup { group, source: GroupSource::Table };
        !dedicated.iter().any(|own| usize::from(*own) == group) || self.tenant == Some(assigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dedicated_group_takes_its_assigned_tenants_alone() {
        let of =
            |group, source| ReadPreference { session: None, tenant: Some(TenantGroup { group, source }) };
        assert!(ReadPreference::default().admits(&[], 1));
        assert!(!ReadPreference::default().admits(&[1], 1));
        assert!(ReadPreference::default().admits(&[1], 0));
        assert!(of(1, GroupSource::Table).admits(&[1], 1));
        assert!(!of(1, GroupSource::Hash).admits(&[1], 1));
        assert!(!of(2, GroupSource::Table).admits(&[1], 1));
        assert!(of(1, GroupSource::Table).admits(&[1], 0));
    }
}

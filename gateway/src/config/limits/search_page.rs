//! Bounds of search pages: what a page's configuration may hold, and what its visitors may do.

use std::time::Duration;

/// Sessions, and beacons, that one address may ask for within [`SEARCH_PAGE_WINDOW`], on all pods together.
pub const SEARCH_PAGE_REQUESTS_MAX: u64 = 60;
pub const SEARCH_PAGE_WINDOW: Duration = Duration::from_secs(60);
/// Counters read from the store at once when those that have ended are deleted.
pub const COUNTERS_PER_READ: usize = 1000;
/// Refused addresses that a core remembers, so that a flood costs the store nothing.
pub const SEARCH_PAGE_REFUSED_MAX: usize = 10_000;

/// Bytes of a configuration as it is sent.
pub const SEARCH_PAGE_BYTES_MAX: usize = 64 << 10;
/// Characters of a title, a label or another text for people.
pub const SEARCH_PAGE_TEXT_MAX: usize = 500;
/// Bytes of a template for hits, and how deep its elements may lie in each other.
pub const SEARCH_PAGE_TEMPLATE_BYTES_MAX: usize = 16 << 10;
pub const SEARCH_PAGE_TEMPLATE_DEPTH_MAX: usize = 32;
/// Facets, orders, origins or attributes that one list may have.
pub const SEARCH_PAGE_LIST_MAX: usize = 50;
/// Facets of a page that names none: the first that can be filtered by.
pub const SEARCH_PAGE_FACETS_DEFAULT: usize = 8;
pub const SEARCH_PAGE_HITS_DEFAULT: u16 = 20;
pub const SEARCH_PAGE_HITS_MAX: u16 = 100;

/// Events of one beacon, and how long an event's id is known.
pub const SEARCH_PAGE_EVENTS_MAX: usize = 50;
pub const SEARCH_PAGE_EVENT_ID_BYTES_MAX: usize = 64;
pub const SEARCH_PAGE_EVENT_MEMORY: Duration = Duration::from_secs(3600);
/// The longest time that an event may report; a browser's clock can be anything.
pub const SEARCH_PAGE_EVENT_TIME_MAX: Duration = Duration::from_secs(60);

/// Bytes of a user's name, and groups of a user, as the proxy in front says them.
pub const SEARCH_PAGE_IDENTITY_BYTES_MAX: usize = 512;
pub const SEARCH_PAGE_GROUPS_MAX: usize = 200;

const _: () = {
    assert!(SEARCH_PAGE_TEMPLATE_BYTES_MAX < SEARCH_PAGE_BYTES_MAX);
    assert!(SEARCH_PAGE_HITS_DEFAULT <= SEARCH_PAGE_HITS_MAX);
    assert!(SEARCH_PAGE_FACETS_DEFAULT <= SEARCH_PAGE_LIST_MAX);
};

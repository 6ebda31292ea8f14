//! Sessions of the console: a sealed ticket in the client's cookie, and a record in the store.
//!
//! Invariants: a ticket counts while it opens, has not expired, and its record is in the store, whichever pod made it.
//! The token against forged requests is part of the ticket, so that it belongs to one session. There are at most
//! `CONSOLE_SESSIONS_MAX` records; the oldest goes for one more.

use http::header;
use serde::{Deserialize, Serialize};
use store::{Change, Store, StoreError, Table};
use time::OffsetDateTime;

use crate::{
    config::limits,
    console::seal::{Seal, SealError},
    wire::h1::Request,
};

/// The table of sessions, by id.
pub const SESSIONS: Table = Table::named("console_sessions");
/// The name of the cookie.
pub const COOKIE: &str = "miroir_admin";

const ID_BYTES: usize = 16;
const TICKET_BYTES: usize = 2 * ID_BYTES + 8;

/// What a client holds of its session, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    id: [u8; ID_BYTES],
    token: [u8; ID_BYTES],
    /// Seconds since 1970.
    expires_at: i64,
}

/// What the store knows of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The address that signed in.
    pub address: String,
    /// The beginning of what its browser says of itself.
    pub agent: String,
}

/// Why a session could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Ticket {
    /// The session's id, as records and lists name it.
    #[must_use]
    pub fn id(&self) -> String {
        hexadecimal(&self.id)
    }

    /// The token that a changing request of the session carries in `X-CSRF-Token`.
    #[must_use]
    pub fn csrf_token(&self) -> String {
        hexadecimal(&self.token)
    }

    fn encode(&self) -> [u8; TICKET_BYTES] {
        let mut bytes = [0; TICKET_BYTES];
        bytes[..ID_BYTES].copy_from_slice(&self.id);
        bytes[ID_BYTES..2 * ID_BYTES].copy_from_slice(&self.token);
        bytes[2 * ID_BYTES..].copy_from_slice(&self.expires_at.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<ID_BYTES>()?;
        let (token, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let expires_at = i64::from_be_bytes(rest.try_into().ok()?);
        Some(Self { id: *id, token: *token, expires_at })
    }
}

/// The sealed ticket of a request that is to be judged by its session; a request that carries a key is not.
#[must_use]
pub fn sealed_ticket(request: &Request) -> Option<&str> {
    let cookies = request.headers.get(header::COOKIE)?;
    if request.headers.contains_key(header::AUTHORIZATION) || request.headers.contains_key("x-admin-key") {
        return None;
    }
    among_cookies(cookies.to_str().ok()?)
}

fn among_cookies(cookies: &str) -> Option<&str> {
    cookies.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE).then(|| value.trim())
    })
}

/// The value of `Set-Cookie` that gives a client its ticket, or takes it away.
#[must_use]
pub fn set_cookie(sealed: Option<&str>, is_secure: bool) -> String {
    let age = sealed.map_or(0, |_| limits::CONSOLE_SESSION_TIME.as_secs());
    let secure = if is_secure { "; Secure" } else { "" };
    let sealed = sealed.unwrap_or_default();
    format!("{COOKIE}={sealed}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Begins a session; gives its ticket, and the same sealed.
///
/// # Errors
/// [`BeginError`].
pub async fn begin(
    store: &Store,
    seal: &Seal,
    address: String,
    agent: &str,
    now: OffsetDateTime,
) -> Result<(Ticket, String), BeginError> {
    make_room(store, now).await?;
    let expires_at = now + limits::CONSOLE_SESSION_TIME;
    let ticket =
        Ticket { id: seal.random()?, token: seal.random()?, expires_at: expires_at.unix_timestamp() };
    let agent = agent.chars().take(limits::CONSOLE_AGENT_CHARS_MAX).collect();
    let record = SessionRecord { started_at: now, expires_at, address, agent };
    let sealed = seal.seal(&ticket.encode())?;
    let value = serde_json::to_value(&record).unwrap_or_default();
    store.put_record(SESSIONS, &ticket.id(), value, None).await?;
    Ok((ticket, sealed))
}

/// The session of a sealed ticket, if it still counts.
///
/// # Errors
/// The store's.
pub async fn find(
    store: &Store,
    seal: &Seal,
    sealed: &str,
    now: OffsetDateTime,
) -> Result<Option<Ticket>, StoreError> {
    let ticket = seal.open(sealed).and_then(|bytes| Ticket::decode(&bytes));
    let Some(ticket) = ticket.filter(|ticket| ticket.expires_at > now.unix_timestamp()) else {
        return Ok(None);
    };
    Ok(store.record(SESSIONS, &ticket.id()).await?.map(|_| ticket))
}

/// Ends a session, for every pod; one that has ended already is no error.
///
/// # Errors
/// The store's.
pub async fn end(store: &Store, id: &str) -> Result<(), StoreError> {
    store.commit(vec![Change::ForgetRecord { table: SESSIONS, key: id.to_owned() }]).await.map(|_| ())
}

/// All sessions that have not expired, newest first, with their ids.
///
/// # Errors
/// The store's.
pub async fn list(store: &Store, now: OffsetDateTime) -> Result<Vec<(String, SessionRecord)>, StoreError> {
    let mut sessions = all(store).await?;
    sessions.retain(|(_, session)| session.as_ref().is_some_and(|session| session.expires_at > now));
    let sessions = sessions.into_iter().filter_map(|(id, session)| Some((id, session?)));
    let mut sessions = sessions.collect::<Vec<_>>();
    sessions.sort_by_key(|(_, session)| std::cmp::Reverse(session.started_at));
    Ok(sessions)
}

/// Forgets sessions that have expired.
///
/// # Errors
/// The store's.
pub async fn sweep(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let over = |session: &Option<SessionRecord>| session.as_ref().is_none_or(|known| known.expires_at <= now);
    let sessions = all(store).await?.into_iter().filter(|(_, session)| over(session));
    forget(store, sessions.map(|(id, _)| id)).await
}

/// Makes room for one more session.
async fn make_room(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let sessions = all(store).await?;
    if sessions.len() < limits::CONSOLE_SESSIONS_MAX {
        return Ok(());
    }
    sweep(store, now).await?;
    let live = list(store, now).await?;
    let excess = live.into_iter().skip(limits::CONSOLE_SESSIONS_MAX - 1);
    forget(store, excess.map(|(id, _)| id)).await
}

/// Every record with its id; `None` for one that cannot be read.
async fn all(store: &Store) -> Result<Vec<(String, Option<SessionRecord>)>, StoreError> {
    // Pods that begin sessions at one moment may go a little beyond the bound.
    let records = store.records(SESSIONS, None, 2 * limits::CONSOLE_SESSIONS_MAX).await?;
    Ok(records.into_iter().map(|record| (record.key, serde_json::from_value(record.value).ok())).collect())
}

async fn forget(store: &Store, ids: impl Iterator<Item = String>) -> Result<(), StoreError> {
    let changes = ids.map(|key| Change::ForgetRecord { table: SESSIONS, key }).collect::<Vec<_>>();
    if changes.is_empty() {
        return Ok(());
    }
    store.commit(changes).await.map(|_| ())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let check = |cookies, expected| assert_eq!(among_cookies(cookies), expected, "{cookies}");
        check("miroir_admin=abc", Some("abc"));
        check("a=b; miroir_admin=abc; c=d", Some("abc"));
        check("miroir_administrator=abc", None);
        check("x=miroir_admin=abc", None);
        check("", None);
        check("miroir_admin", None);
    }

    #[test]
    fn a_cookie_is_for_this_site_and_no_script() {
        let day = limits::CONSOLE_SESSION_TIME.as_secs();
        assert_eq!(
            set_cookie(Some("abc"), true),
            format!("miroir_admin=abc; Path=/; Max-Age={day}; HttpOnly; SameSite=Strict; Secure")
        );
        assert_eq!(set_cookie(None, false), "miroir_admin=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }

    #[test]
    fn a_session_counts_until_it_ends() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, _thread) = store::open_sled(folder.path()).unwrap();
            let seal = Seal::new(None).unwrap();
            let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
            let (ticket, sealed) = begin(&store, &seal, "::1".into(), "browser", now).await.unwrap();
            assert_eq!(find(&store, &seal, &sealed, now).await.unwrap(), Some(ticket.clone()));
            let other = Seal::new(None).unwrap();
            assert_eq!(find(&store, &other, &sealed, now).await.unwrap(), None);
            let late = now + limits::CONSOLE_SESSION_TIME;
            assert_eq!(find(&store, &seal, &sealed, late).await.unwrap(), None);
            assert_eq!(list(&store, now).await.unwrap()[0].0, ticket.id());
            assert_eq!(list(&store, late).await.unwrap(), []);
            end(&store, &ticket.id()).await.unwrap();
            end(&store, &ticket.id()).await.unwrap();
            assert_eq!(find(&store, &seal, &sealed, now).await.unwrap(), None);
        });
    }

    #[test]
    fn the_oldest_session_goes_for_one_too_many() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, _thread) = store::open_sled(folder.path()).unwrap();
            let seal = Seal::new(None).unwrap();
            let start = OffsetDateTime::UNIX_EPOCH;
            let mut tickets = Vec::new();
            for number in 0..=limits::CONSOLE_SESSIONS_MAX {
                let now = start + time::Duration::seconds(number.try_into().unwrap());
                tickets.push(begin(&store, &seal, "::1".into(), "", now).await.unwrap().1);
            }
            let now = start + time::Duration::seconds(1);
            assert_eq!(list(&store, now).await.unwrap().len(), limits::CONSOLE_SESSIONS_MAX);
            assert_eq!(find(&store, &seal, &tickets[0], now).await.unwrap(), None);
            assert!(find(&store, &seal, &tickets[1], now).await.unwrap().is_some());
        });
    }
}

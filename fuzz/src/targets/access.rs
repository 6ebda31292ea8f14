//! Attacks `gateway::auth` and `gateway::config`: foreign keys and tokens, and an operator's mistakes.
//!
//! - No token but the master key gives access.
//! - A page's token that was changed is refused, or says what it said.
//! - Options are refused with one line, or print as options that read back the same.

use std::io::Write as _;

use arbitrary::{Result, Unstructured};
use gateway::{
    auth::{Action, ApiKey, KeyRing, PageTokens, Rotation, Secret},
    config::{self, Parsed},
};
use time::OffsetDateTime;

use crate::mutate::mutate;

const MASTER_KEY: &str = "the-master-key-of-this-target";
/// A well-formed tenant token whose signature no key has made.
const TOKEN: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6ImFiYyJ9.c2lnbmF0dXJl";
const NODE: &str = "n1=http://10.0.0.1:7700";

pub(crate) fn run_token(bytes: &[u8]) {
    let Ok(Parsed::Run(config)) = config::parse(&["--node", NODE, "--master-key", MASTER_KEY], |_| None)
    else {
        panic!("these options are sound")
    };
    let now = OffsetDateTime::UNIX_EPOCH;
    let keys = ApiKey::defaults(now).into_iter().map(|key| (key, 1));
    let ring = KeyRing::new(config.master_key, keys);
    let check = |token: &str| {
        let opened = ring.authorize(Some(token), Action::Search, Some("a"), now).is_ok();
        assert!(!opened || token == MASTER_KEY, "{token:?} opens an index");
    };
    check(&String::from_utf8_lossy(bytes));
    let mut choices = Unstructured::new(bytes);
    let mut token = TOKEN.as_bytes().to_vec();
    // Running out of bytes to choose by is no finding.
    if mutate(&mut choices, &mut token).is_ok() {
        check(&String::from_utf8_lossy(&token));
    }
    let _ = attack_page_token(bytes, choices, now);
}

fn attack_page_token(bytes: &[u8], mut choices: Unstructured<'_>, now: OffsetDateTime) -> Result<()> {
    let tokens = PageTokens::new(
        Some(&Secret::new("the-secret-of-this-target".to_owned())),
        None,
        Rotation::default(),
    );
    assert!(tokens.read(&String::from_utf8_lossy(bytes), now).is_err(), "{bytes:?} is taken for a token");
    let filter = Some(serde_json::Value::String("owner = \"a\"".to_owned()));
    let (token, claims) = tokens.mint("a", Some("b".to_owned()), filter, now).expect("there is a secret");
    let mut token = token.into_bytes();
    mutate(&mut choices, &mut token)?;
    // Bits at the end of a part that stand for nothing may differ.
    if let Ok(read) = tokens.read(&String::from_utf8_lossy(&token), now) {
        assert_eq!(read, claims, "{token:?}");
    }
    Ok(())
}

pub(crate) fn run_options(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack_options(Unstructured::new(bytes));
    let text = String::from_utf8_lossy(bytes);
    check_options(&text.split_whitespace().collect::<Vec<_>>());
}

fn attack_options(mut choices: Unstructured<'_>) -> Result<()> {
    let mut file = b"node = [\"n1=http://h:1\"]\nshards = 4\nhead-timeout = \"5s\"\nbody-limit = \"1MB\"\nmaster-key = \"hush-hush\"\n".to_vec();
    mutate(&mut choices, &mut file)?;
    let mut named = tempfile::NamedTempFile::new().expect("a file can be made");
    named.write_all(&file).expect("a file can be written");
    let path = named.path().display().to_string();
    check_options(&["--config", &path]);
    let mut flags = format!("--node={NODE} --cores 2 --headers-max=20 --queue-delay-max 5ms").into_bytes();
    mutate(&mut choices, &mut flags)?;
    check_options(&String::from_utf8_lossy(&flags).split_whitespace().collect::<Vec<_>>());
    Ok(())
}

fn check_options(arguments: &[&str]) {
    match config::parse(arguments, |_| None) {
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n'), "{line:?}");
        }
        Ok(Parsed::Print(_)) => {}
        Ok(Parsed::Run(config) | Parsed::Check(config)) => {
            let printed = config::parse(&[&["--print-config"], arguments].concat(), |_| None);
            let Ok(Parsed::Print(text)) = printed else { panic!("{arguments:?} cannot be printed") };
            let keys = [&config.master_key, &config.node_master_key, &config.admin_key];
            if keys.iter().all(|key| key.is_none()) {
                let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
                file.write_all(text.as_bytes()).expect("a file can be written");
                let path = file.path().display().to_string();
                let again = config::parse(&["--config", &path], |_| None);
                assert!(
                    matches!(&again, Ok(Parsed::Run(again)) if **again == *config || config.test_faults),
                    "{text}: {again:?}"
                );
            }
        }
    }
}

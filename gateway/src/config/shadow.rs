//! The option `--shadow`: a cluster that gets a copy of a share of the searches.
//!
//! Invariants: names differ. A key comes from the environment variable that the option names, and is never printed.
//! Whether the address may be reached is checked at the start of the process, which resolves it.

use std::collections::BTreeSet;

use http::Uri;

use super::limits::{SHADOW_SAMPLE_DEFAULT, SHADOWS_MAX};
use super::value::{self, Allowed};
use super::{ConfigError, Secret, refused, without_user};

/// One shadow.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowConfig {
    /// 1 to 64 of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// Scheme, host and path prefix, without a slash at the end.
    pub url: String,
    /// The share of searches that it gets, above 0 and at most 1.
    pub sample: f64,
    /// The environment variable that holds the key for it.
    pub key_env: Option<String>,
    pub key: Option<Secret>,
}

const FORM: &str = "give name=NAME,url=http[s]://HOST[:PORT][,sample=SHARE][,key-env=VARIABLE]";

/// Reads all shadows; `environment` gives the value of a variable.
pub(crate) fn shadows(
    texts: &[String],
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Vec<ShadowConfig>, ConfigError> {
    if texts == ["off"] {
        return Ok(Vec::new());
    }
    if texts.len() > SHADOWS_MAX {
        let allowed = format!("give at most {SHADOWS_MAX}");
        return Err(ConfigError::Value { option: "shadow", value: texts.len().to_string(), allowed });
    }
    let mut names = BTreeSet::new();
    let read = |text: &String| {
        let shadow = shadow(text, environment).and_then(|shadow| match names.insert(shadow.name.clone()) {
            true => Ok(shadow),
            false => Err(format!("another shadow already has the name {}", shadow.name)),
        });
        shadow.map_err(|allowed| refused("shadow", &without_user(text), allowed))
    };
    texts.iter().map(read).collect()
}

fn shadow(text: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<ShadowConfig, Allowed> {
    let (mut name, mut url, mut sample, mut key_env) = (None, None, None, None);
    for part in text.split(',') {
        let (member, value) = part.split_once('=').ok_or(FORM)?;
        let slot = match member {
            "name" => &mut name,
            "url" => &mut url,
            "sample" => &mut sample,
            "key-env" => &mut key_env,
            _ => return Err(FORM.to_owned()),
        };
        if slot.replace(value).is_some() {
            return Err(format!("give {member} once"));
        }
    }
    let name = value::pod_id(name.ok_or(FORM)?)
        .map_err(|allowed| allowed.replace("a pod's ID", "a shadow's name"))?;
    let sample = match sample {
        None => SHADOW_SAMPLE_DEFAULT,
        Some(sample) => value::share(sample, 1.0)
            .ok()
            .filter(|sample| *sample > 0.0)
            .ok_or("for sample give a number above 0 and at most 1")?,
    };
    let key = match key_env {
        None => None,
        Some(variable) => {
            let set = environment(variable).filter(|key| !key.is_empty());
            let key = set.ok_or_else(|| format!("the environment variable {variable} is not set"))?;
            let allowed = |allowed| format!("for the value of {variable} {allowed}");
            Some(value::secret(&key).map_err(allowed)?)
        }
    };
    let key_env = key_env.map(str::to_owned);
    Ok(ShadowConfig { name, url: base(url.ok_or(FORM)?)?, sample, key_env, key })
}

/// The address that paths are added to.
fn base(text: &str) -> Result<String, Allowed> {
    let wrong = || "a shadow's URL is http[s]://HOST[:PORT]".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.as_str().contains('@') {
        return Err(wrong());
    }
    if uri.query().is_some() || text.contains('#') || authority.host().is_empty() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The option's text for a shadow.
pub(crate) fn text(shadow: &ShadowConfig) -> String {
    let key = shadow.key_env.as_ref().map_or_else(String::new, |variable| format!(",key-env={variable}"));
    format!("name={},url={},sample={}{key}", shadow.name, shadow.url, shadow.sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<ShadowConfig>, String> {
        let environment = |name: &str| (name == "SHADOW_KEY").then(|| "secret".to_owned());
        shadows(&[text.to_owned()], &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_shadow_is_read_and_printed() {
        let read =
            parsed("name=next,url=https://search.example:7700/,sample=0.25,key-env=SHADOW_KEY").unwrap();
        let ShadowConfig { name, url, sample, key, .. } = &read[0];
        assert_eq!((name.as_str(), url.as_str(), *sample), ("next", "https://search.example:7700", 0.25));
        assert_eq!(key.as_ref().unwrap().expose(), "secret");
        assert_eq!(parsed("off").unwrap(), []);
        assert_eq!(
            text(&read[0]),
            "name=next,url=https://search.example:7700,sample=0.25,key-env=SHADOW_KEY"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expected: &str| {
            let error = parsed(text).unwrap_err();
            assert!(error.starts_with("option shadow: ") && error.contains(expected), "{text}: {error}");
        };
        check("", "name=NAME");
        check("name=a", "name=NAME");
        check("url=http://a.example", "name=NAME");
        check("name=a,url=http://a.example,x=1", "name=NAME");
        check("name=a,name=b,url=http://a.example", "give name once");
        check("name=a b,url=http://a.example", "a shadow's name");
        check("name=a,url=ftp://a.example", "http[s]://HOST");
        check("name=a,url=http://me:pw@a.example", "http[s]://HOST");
        check("name=a,url=http://a.example/?q", "http[s]://HOST");
        check("name=a,url=a.example", "http[s]://HOST");
        check("name=a,url=http://a.example,sample=0", "above 0");
        check("name=a,url=http://a.example,sample=1.5", "above 0");
        check("name=a,url=http://a.example,sample=x", "above 0");
        check("name=a,url=http://a.example,key-env=NOT_SET", "NOT_SET is not set");
        let twice = ["name=a,url=http://a.example", "name=a,url=http://b.example"].map(str::to_owned);
        assert!(shadows(&twice, &|_: &str| None).unwrap_err().to_string().contains("already has the name a"));
        let many = (0..9).map(|number| format!("name={number},url=http://a.example")).collect::<Vec<_>>();
        assert!(shadows(&many, &|_: &str| None).unwrap_err().to_string().contains("at most 8"));
    }
}

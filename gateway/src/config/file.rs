//! The file that `--config` names: its options, and where an option stands in it.
//!
//! Invariants: an error names the file, the line and the key, and shows of a value only what the option's own error does.
//! Options that begin alike may stand in a table: `drain_timeout` of the table `migration` is `migration-drain-timeout`.

use std::borrow::Cow;

use serde::{Deserialize, de::Error as _};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use crate::config::{ConfigError, options::RawOptions};

/// The text of the file.
pub(crate) struct ConfigFile {
    path: String,
    text: String,
}

impl ConfigFile {
    /// # Errors
    /// When the file cannot be read as text.
    pub(crate) fn read(path: &str) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// # Errors
    /// When it is no TOML, has a key that is no option, or a value of a kind that no option has.
    pub(crate) fn options(&self) -> Result<RawOptions, ConfigError> {
        let read = self.table().and_then(|table| RawOptions::deserialize(Deserializer::from(table)));
        read.map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            let reason = match error.span() {
                Some(span) => {
                    format!("line {}: {}{message}", self.line(span.start), self.key_before(span.start))
                }
                None => message,
            };
            ConfigError::File { path: self.path.clone(), reason }
        })
    }

    /// Adds to an error of an option where the file has it. An error that the file has no part in stays as it is.
    pub(crate) fn locate(&self, error: ConfigError) -> ConfigError {
        let ConfigError::Value { option, .. } = &error else { return error };
        let Some(start) = self.position(option) else { return error };
        ConfigError::InFile { path: self.path.clone(), line: self.line(start), error: Box::new(error) }
    }

    /// The number of the line at a position, from 1.
    fn line(&self, position: usize) -> usize {
        self.text[..position].matches('\n').count() + 1
    }

    /// Where a key of the file begins.
    fn position(&self, key: &str) -> Option<usize> {
        let table = self.table().ok()?;
        let found = table.get_ref().keys().find(|found| found.get_ref() == key)?;
        Some(found.span().start)
    }

    /// The file's keys and values; what stands in a table has the table's name before its own.
    fn table(&self) -> Result<Spanned<DeTable<'_>>, toml::de::Error> {
        let parsed = DeTable::parse(&self.text)?;
        let span = parsed.span();
        let mut options = DeTable::new();
        for (key, value) in parsed.into_inner() {
            let place = value.span();
            match value.into_inner() {
                DeValue::Table(members) => {
                    for (member, value) in members {
                        let name = format!("{}-{}", key.get_ref(), member.get_ref()).replace('_', "-");
                        add(&mut options, Spanned::new(member.span(), Cow::Owned(name)), value)?;
                    }
                }
                value @ (DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)) => add(&mut options, key, Spanned::new(place, value))?,
            }
        }
        Ok(Spanned::new(span, options))
    }

    /// `key KEY: ` where a value at a position belongs to a key of the file.
    fn key_before(&self, position: usize) -> String {
        let Ok(table) = self.table() else { return String::new() };
        let holds = table.get_ref().iter().find(|(_, value)| value.span().contains(&position));
        holds.map_or_else(String::new, |(key, _)| format!("key {}: ", key.get_ref()))
    }
}

/// Adds an option that is not there yet.
fn add<'t>(
    options: &mut DeTable<'t>,
    key: Spanned<Cow<'t, str>>,
    value: Spanned<DeValue<'t>>,
) -> Result<(), toml::de::Error> {
    match options.insert(key.clone(), value) {
        None => Ok(()),
        Some(_) => Err(toml::de::Error::custom(format!("{} is given twice", key.get_ref()))),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Parsed, parse};

    /// What is said of a file begins as expected, its folder left out; `None`: nothing is wrong.
    fn check(text: &str, flags: &[&str], expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("miroir.toml");
        std::fs::write(&path, text).unwrap();
        let args = [&["--config", path.to_str().unwrap(), "--node", "a=http://a"], flags].concat();
        match (parse(&args, |_| None), expected) {
            (Ok(Parsed::Run(_)), None) => {}
            (Err(error), Some(expected)) => {
                let said = error.to_string().replace(folder.path().to_str().unwrap(), "");
                assert!(said.starts_with(expected), "{text:?} {flags:?}: {said}");
            }
            (parsed, _) => panic!("{text:?} {flags:?}: {parsed:?}"),
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let shards = "option shards: \"0\" is not allowed; give a whole number from 1 to 65536";
        let located = format!("config file /miroir.toml: line 3: {shards}");
        check("shards = 8\n", &[], None);
        check("# a comment\nhedging = \"on\"\nshards = 0\n", &[], Some(&located));
        // The flag wins over the file, so the file has no part in it.
        check("shards = 0\n", &["--shards", "7"], None);
        check("shards = 8\n", &["--shards=0"], Some(shards));
        check("shards = \n", &[], Some("config file /miroir.toml: line 1: "));
        check(
            "shards = 8\nshard = 8\n",
            &[],
            Some("config file /miroir.toml: line 2: unknown field `shard`"),
        );
        check("\nhedging = [\"on\"]\n", &[], Some("config file /miroir.toml: line 2: key hedging: "));
    }

    #[test]
    fn options_that_begin_alike_may_stand_in_a_table() {
        check("[migration]\ndrain_timeout = \"30s\"\nskip_delta_pass = \"off\"\n", &[], None);
        let time = "option migration-drain-timeout: \"long\" is not allowed; give";
        let located = format!("config file /miroir.toml: line 2: {time}");
        check("[migration]\ndrain_timeout = \"long\"\n", &[], Some(&located));
        let unknown = "config file /miroir.toml: line 2: unknown field `migration-time`";
        check("[migration]\ntime = \"30s\"\n", &[], Some(unknown));
        let twice = "migration-drain-timeout = \"1s\"\n[migration]\ndrain_timeout = \"2s\"\n";
        check(twice, &[], Some("config file /miroir.toml: migration-drain-timeout is given twice"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("miroir.toml");
        std::fs::write(&path, "\nstore = \"postgres://user:secret@h\"\n").unwrap();
        let error =
            parse(&["--config", path.to_str().unwrap(), "--node", "a=http://a"], |_| None).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("line 2: option store") && !said.contains("secret"), "{said}");
    }
}

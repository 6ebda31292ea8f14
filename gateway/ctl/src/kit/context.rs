//! What a command is run with: the gateway, and how to talk with the operator.

use std::{
    cell::OnceCell,
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};

use super::{client::Client, credentials, failure::Failure};

/// Where the gateway is unless it is named.
const URL_DEFAULT: &str = "http://127.0.0.1:7700";

/// The gateway and the operator.
pub(crate) struct Context {
    url: Option<String>,
    admin_key: Option<String>,
    ca: Option<PathBuf>,
    /// Whether answers are printed as JSON.
    pub(crate) json: bool,
    yes: bool,
    client: OnceCell<Client>,
}

/// How the operator is talked with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Answers are printed as JSON.
    pub(crate) json: bool,
    /// Nothing is asked before something is destroyed.
    pub(crate) yes: bool,
}

impl Context {
    /// The gateway that `url` names, with a key and authorities as the flags give them.
    pub(crate) fn new(
        url: Option<String>,
        admin_key: Option<String>,
        ca: Option<PathBuf>,
        Manner { json, yes }: Manner,
    ) -> Self {
        Self { url, admin_key, ca, json, yes, client: OnceCell::new() }
    }

    /// The client of the gateway. Commands that ask no gateway need neither an address nor a key.
    ///
    /// # Errors
    /// An address, a key or authorities that cannot be used.
    pub(crate) fn client(&self) -> anyhow::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let key = credentials::admin_key(self.admin_key.as_deref())?;
        let client = Client::new(&self.url(), key, self.ca())?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The address of the gateway.
    pub(crate) fn url(&self) -> String {
        let named = self.url.clone().or_else(|| std::env::var("MIROIR_URL").ok());
        let named = named.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty());
        named.unwrap_or_else(|| URL_DEFAULT.to_owned())
    }

    /// The file of authorities that may vouch for the gateway.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Has the operator retype the name of what is destroyed, unless `--yes` was given. `consequence` is a sentence
    /// without its full stop.
    ///
    /// # Errors
    /// Another name was typed, or nobody can be asked.
    pub(crate) fn confirm(&self, name: &str, consequence: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Err(Failure::usage(format!("{consequence}: give --yes, since nobody can be asked here")));
        }
        retyped(name, consequence, &mut input.lock(), &mut std::io::stderr().lock())
    }
}

/// Asks for the name, and reads it.
fn retyped(
    name: &str,
    consequence: &str,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    write!(out, "{consequence}.\nType {name} to go on: ")?;
    out.flush()?;
    let mut typed = String::new();
    ensure!(input.read_line(&mut typed)? > 0, "nothing was typed, and nothing was done");
    match typed.trim() {
        typed if typed == name => Ok(()),
        typed => bail!("{typed:?} is not {name:?}: nothing was done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_itself_confirms() {
        let check = |typed: &str, expected: Option<&str>| {
            let mut asked = Vec::new();
            let ended = retyped("n3", "Node n3 is forgotten", &mut typed.as_bytes(), &mut asked);
            assert_eq!(String::from_utf8(asked).unwrap(), "Node n3 is forgotten.\nType n3 to go on: ");
            assert_eq!(ended.err().map(|error| error.to_string()).as_deref(), expected, "{typed:?}");
        };
        check("n3\n", None);
        check(" n3 \n", None);
        check("yes\n", Some("\"yes\" is not \"n3\": nothing was done"));
        check("N3\n", Some("\"N3\" is not \"n3\": nothing was done"));
        check("", Some("nothing was typed, and nothing was done"));
    }
}

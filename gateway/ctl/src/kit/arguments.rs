//! The words of the command line: options that every command takes, wherever they stand, and the command.
//!
//! Invariants: a noun is understood in the singular and in the plural. A word that is an option's value is left as it
//! is. A word that nobody understands is answered with the one that was probably meant.

use std::path::PathBuf;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, FromArgs};

use super::help;
use crate::commands::Command;

/// Operates a Miroir cluster over the management API of a gateway.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "The admin key comes from MIROIR_ADMIN_API_KEY, then from\n~/.config/miroir/credentials, then from --admin-key.",
    note = "These options may also stand behind the command.",
    error_code(0, "done"),
    error_code(1, "failed or refused"),
    error_code(2, "not understood"),
    error_code(3, "the gateway does not answer"),
    error_code(4, "the cluster is not well"),
    example = "miroir-ctl --url http://127.0.0.1:7700 status"
)]
pub(crate) struct Arguments {
    /// the gateway as URL or HOST:PORT; else MIROIR_URL, else
    /// http://127.0.0.1:7700
    #[argh(option)]
    pub(crate) url: Option<String>,
    /// the admin key, if neither environment nor file has it
    #[argh(option)]
    pub(crate) admin_key: Option<String>,
    /// authorities that sign the certificate of an https gateway, as PEM
    #[argh(option)]
    pub(crate) ca: Option<PathBuf>,
    /// print the answers of the API as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// repeat until interrupted; follow what takes long to its end
    #[argh(switch)]
    pub(crate) watch: bool,
    /// do not ask before something is destroyed
    #[argh(switch)]
    pub(crate) yes: bool,
    #[argh(subcommand)]
    pub(crate) command: Command,
}

/// What the words of a command line mean.
pub(crate) enum Parsed {
    Command(Box<Arguments>),
    Help(String),
    Unreadable(String),
}

/// Reads the words behind the program's name.
pub(crate) fn parse(words: &[String]) -> Parsed {
    let known = Arguments::get_args_info();
    let words = normalised(words, &known);
    if let Some(message) = unknown_command(&words, &known) {
        return Parsed::Unreadable(message);
    }
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    match Arguments::from_args(&["miroir-ctl"], &words) {
        Ok(arguments) => Parsed::Command(Box::new(arguments)),
        Err(exit) if exit.status.is_ok() => Parsed::Help(help::wrapped(&exit.output)),
        Err(exit) => Parsed::Unreadable(exit.output),
    }
}

/// Moves the options of all commands before the command, splits `--name=value`, and gives the noun its own number.
fn normalised(words: &[String], known: &CommandInfoWithArgs) -> Vec<String> {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter().flat_map(|word| split(word));
    let mut has_noun = false;
    while let Some(word) = words.next() {
        let word = if word == "-h" { "--help".to_owned() } else { word };
        if word == "--" {
            rest.push(word);
            rest.extend(words);
            break;
        }
        let global = known.flags.iter().find(|flag| flag.long == word && flag.long != "--help");
        let value = takes_value(known, &word).then(|| words.next()).flatten();
        let to = if global.is_some() { &mut first } else { &mut rest };
        let is_option = word.starts_with('-');
        to.push(if is_option || has_noun { word } else { in_its_number(&word, known) });
        has_noun |= !is_option;
        to.extend(value);
    }
    first.extend(rest);
    first
}

/// `--name=value` as two words.
fn split(word: &str) -> Vec<String> {
    match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") && !name.contains(' ') => {
            vec![name.to_owned(), value.to_owned()]
        }
        _ => vec![word.to_owned()],
    }
}

/// Whether an option of this name, of any command, takes a value.
fn takes_value(command: &CommandInfoWithArgs, word: &str) -> bool {
    let named = command
        .flags
        .iter()
        .any(|flag| flag.long == word && matches!(flag.kind, FlagInfoKind::Option { .. }));
    named || command.commands.iter().any(|sub| takes_value(&sub.command, word))
}

/// The command that a noun names in the other number, if there is one; else the noun.
fn in_its_number(word: &str, known: &CommandInfoWithArgs) -> String {
    let is_known = |name: &str| known.commands.iter().any(|command| command.name == name);
    if is_known(word) {
        return word.to_owned();
    }
    let singular = |from: &str, to: &str| word.strip_suffix(from).map(|stem| format!("{stem}{to}"));
    let other = [singular("ies", "y"), singular("es", ""), singular("s", ""), Some(format!("{word}s"))];
    // A noun that ends so is no plural.
    let is_plural = |name: &String| !name.ends_with("us") || name.len() < word.len();
    other
        .into_iter()
        .flatten()
        .find(|name| is_known(name) && is_plural(name))
        .unwrap_or_else(|| word.to_owned())
}

/// The refusal of a command, or of its verb, that does not exist.
fn unknown_command(words: &[String], known: &CommandInfoWithArgs) -> Option<String> {
    let mut level = known;
    let mut path = String::from("miroir-ctl");
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if level.commands.is_empty() || word == "help" || word == "--help" {
            return None;
        }
        if word.starts_with('-') {
            if takes_value(level, word) {
                words.next();
            }
            continue;
        }
        match level.commands.iter().find(|command| command.name == word) {
            Some(command) => level = &command.command,
            None => {
                let names = level.commands.iter().map(|command| command.name).collect::<Vec<_>>();
                let hint = match meant(word, &names) {
                    Some(name) => format!("did you mean `{path} {name}`?"),
                    None => format!("there are: {}", names.join(", ")),
                };
                return Some(format!("there is no command `{path} {word}`; {hint}"));
            }
        }
        path = format!("{path} {word}");
    }
    None
}

/// The one name that begins like the word, or that is one slip of the keyboard away.
fn meant<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let begun = names.iter().filter(|name| name.starts_with(word)).collect::<Vec<_>>();
    match begun.as_slice() {
        [name] => Some(name),
        [] => names.iter().find(|name| one_slip(word, name)).copied(),
        _ => None,
    }
}

/// Whether one letter too many, too few, wrong, or two in the wrong order make one word of the other.
fn one_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[same..], &other[same..]);
    let behind = |word: &[u8], count: usize| word.get(count..).map(<[u8]>::to_vec);
    let swapped = one.len() >= 2 && other.len() >= 2 && one[0] == other[1] && one[1] == other[0];
    behind(one, 1) == Some(other.to_vec())
        || behind(other, 1) == Some(one.to_vec())
        || (!one.is_empty() && behind(one, 1) == behind(other, 1))
        || (swapped && one[2..] == other[2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_of_all_commands_may_stand_anywhere() {
        let check = |text: &str, expected: &str| {
            assert_eq!(normalised(&words(text), &Arguments::get_args_info()).join(" "), expected, "{text}");
        };
        check("nodes list --json", "--json node list");
        check("node list --url a:1 --json", "--url a:1 --json node list");
        check("status --url=http://a:1", "--url http://a:1 status");
        check("shard list -h", "shards list --help");
        check("anti-entropy verify --index --json", "anti-entropy verify --index --json");
        check("node list -- --json", "node list -- --json");
        check("dances", "dances");
    }

    #[test]
    fn a_word_that_is_unknown_is_answered_with_the_one_that_was_meant() {
        let check = |text: &str, expected: &str| match parse(&words(text)) {
            Parsed::Unreadable(message) => assert!(message.contains(expected), "{text}: {message}"),
            Parsed::Command(_) | Parsed::Help(_) => panic!("{text} is understood"),
        };
        check("statu", "did you mean `miroir-ctl status`?");
        check("ndoe list", "did you mean `miroir-ctl node`?");
        check("node lits", "did you mean `miroir-ctl node list`?");
        check("anti-entropy dance", "there are: run, ");
        check("status --dance", "Unrecognized argument: --dance");
        check("node", "One of the following subcommands must be present");
    }
}

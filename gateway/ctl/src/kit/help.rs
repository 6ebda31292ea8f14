//! Help texts: lines that fit a terminal of 80 columns.

/// Columns of a line of help, at the most.
pub(crate) const COLUMNS_MAX: usize = 79;
/// Where a line that is too long goes on.
const INDENT: usize = 6;

/// The text with its long lines broken between words; a word that is too long by itself stays whole.
pub(crate) fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let mut rest = line.trim_end().to_owned();
        let start = rest.len() - rest.trim_start().len();
        // What is explained stands at its own column, and goes on there.
        let column = rest[start..].find("  ").map(|at| start + at);
        let indent =
            column.map_or(start + INDENT, |at| at + rest[at..].len() - rest[at..].trim_start().len());
        let indent = if indent > COLUMNS_MAX / 2 { INDENT } else { indent };
        while rest.chars().count() > COLUMNS_MAX {
            let fits = rest.char_indices().nth(COLUMNS_MAX + 1).map_or(rest.len(), |(at, _)| at);
            let first = rest.len() - rest.trim_start().len();
            let Some(space) = rest[..fits].rfind(' ').filter(|at| *at > first) else { break };
            lines.push(rest[..space].trim_end().to_owned());
            rest = format!("{}{}", " ".repeat(indent), rest[space..].trim_start());
        }
        lines.push(rest);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use argh::{ArgsInfo, CommandInfoWithArgs};

    use super::*;
    use crate::kit::arguments::{Arguments, Parsed, parse};

    #[test]
    fn long_lines_are_broken_between_words() {
        let check = |text: &str, expected: &str| assert_eq!(wrapped(text), expected);
        check("short\n", "short");
        let word = "x".repeat(40);
        check(&format!("{word} {word}"), &format!("{word}\n      {word}"));
        check(&format!("  --a  {word} {word}"), &format!("  --a  {word}\n       {word}"));
        check(&"y".repeat(100), &"y".repeat(100));
    }

    /// The paths of every command, nouns included, with what is known of each.
    fn every(
        info: CommandInfoWithArgs,
        path: &[String],
        found: &mut Vec<(Vec<String>, CommandInfoWithArgs)>,
    ) {
        for sub in info.commands.clone() {
            every(sub.command, &[path, &[sub.name.to_owned()]].concat(), found);
        }
        found.push((path.to_vec(), info));
    }

    #[test]
    fn every_help_fits_a_terminal_and_every_command_has_an_example_that_is_understood() {
        let mut found = Vec::new();
        every(Arguments::get_args_info(), &[], &mut found);
        assert!(found.len() > 20, "{}", found.len());
        for (path, info) in found {
            let (is_leaf, examples) = (info.commands.is_empty(), info.examples);
            let words = [&path[..], &["--help".to_owned()]].concat();
            let Parsed::Help(text) = parse(&words) else { panic!("{path:?} has no help") };
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS_MAX, "{path:?}: {line}");
            }
            assert!(!is_leaf || !examples.is_empty(), "{path:?} has no example");
            for line in examples.iter().flat_map(|example| example.lines()) {
                let words = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
                let words = words.collect::<Vec<_>>();
                assert_eq!(words[0], "miroir-ctl", "{line}");
                assert!(matches!(parse(&words[1..]), Parsed::Command(_)), "{path:?}: {line}");
                let is_own = path.iter().all(|word| words.contains(word));
                assert!(is_own, "{path:?} has the example of another command: {line}");
            }
        }
    }
}

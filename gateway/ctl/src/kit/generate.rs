//! Completions for shells and the manual page, made from the table of commands.
//!
//! Invariant: nothing is written by hand here, so that both always name what there is.

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind};

use super::arguments::Arguments;

/// The commands with their paths, nouns before their verbs.
fn commands() -> Vec<(String, CommandInfoWithArgs)> {
    fn walk(path: &str, info: CommandInfoWithArgs, found: &mut Vec<(String, CommandInfoWithArgs)>) {
        let subs = info.commands.clone();
        found.push((path.to_owned(), info));
        for sub in subs {
            walk(format!("{path} {}", sub.name).trim_start(), sub.command, found);
        }
    }
    let mut found = Vec::new();
    walk("", Arguments::get_args_info(), &mut found);
    found
}

/// The names of all commands that do something: a noun alone does nothing.
pub(crate) fn names() -> Vec<String> {
    let does_something = |(_, info): &(String, CommandInfoWithArgs)| info.commands.is_empty();
    commands().into_iter().filter(does_something).map(|(path, _)| path).collect()
}

/// What may follow a command: its verbs, and the options of its own and of all commands.
fn words_behind(info: &CommandInfoWithArgs, of_all: &[String]) -> Vec<String> {
    let verbs = info.commands.iter().map(|sub| sub.name.to_owned());
    let own = info.flags.iter().map(|flag| flag.long.to_owned());
    let mut words = verbs.chain(own).chain(of_all.iter().cloned()).collect::<Vec<_>>();
    words.sort_unstable();
    words.dedup();
    words
}

fn options_of_all() -> Vec<String> {
    Arguments::get_args_info().flags.iter().map(|flag| flag.long.to_owned()).collect()
}

/// The completions for a shell that has bash's `complete`; zsh has it once `bashcompinit` is loaded.
pub(crate) fn bash() -> String {
    let mut cases = String::new();
    let of_all = options_of_all();
    for (path, info) in commands() {
        cases.push_str(&format!("        {path:?}) words={:?} ;;\n", words_behind(&info, &of_all).join(" ")));
    }
    format!(
        "_miroir_ctl() {{\n    local word path='' words='' next\n    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        next=\"${{path:+$path }}$word\"\n        case \"$next\" in\n            {}) path=\"$next\" ;;\n        esac\n    done\n    case \"$path\" in\n{cases}    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -F _miroir_ctl -o default miroir-ctl\n",
        commands().iter().skip(1).map(|(path, _)| format!("{path:?}")).collect::<Vec<_>>().join("|")
    )
}

/// The completions for zsh.
pub(crate) fn zsh() -> String {
    format!("#compdef miroir-ctl\nautoload -U +X bashcompinit && bashcompinit\n{}", bash())
}

/// The completions for fish.
pub(crate) fn fish() -> String {
    let mut text = String::from("complete -c miroir-ctl -f\n");
    for (path, info) in commands() {
        let condition = match path.as_str() {
            "" => "__fish_use_subcommand".to_owned(),
            path => format!("__fish_seen_subcommand_from {}", path.split(' ').next_back().unwrap_or(path)),
        };
        let parent =
            path.rsplit_once(' ').map(|(parent, _)| format!("; and __fish_seen_subcommand_from {parent}"));
        let condition = condition + &parent.unwrap_or_default();
        for sub in &info.commands {
            text.push_str(&format!(
                "complete -c miroir-ctl -n {condition:?} -a {} -d {:?}\n",
                sub.name,
                first_sentence(sub.command.description)
            ));
        }
        for flag in info.flags.iter().filter(|flag| flag.long != "--help") {
            let takes = if matches!(flag.kind, FlagInfoKind::Option { .. }) { " -r" } else { "" };
            let name = flag.long.trim_start_matches('-');
            let condition = if path.is_empty() { String::new() } else { format!(" -n {condition:?}") };
            text.push_str(&format!("complete -c miroir-ctl{condition} -l {name}{takes}\n"));
        }
    }
    text
}

fn first_sentence(text: &str) -> String {
    text.split(". ").next().unwrap_or_default().replace('\n', " ")
}

/// The manual page, section 1.
pub(crate) fn man() -> String {
    let mut text = format!(
        ".TH MIROIR-CTL 1 \"\" \"miroir {}\"\n.SH NAME\nmiroir-ctl \\- operates a Miroir cluster\n.SH SYNOPSIS\n.B miroir-ctl\n[options] command [arguments]\n",
        env!("CARGO_PKG_VERSION")
    );
    for (path, info) in commands() {
        match path.as_str() {
            "" => text.push_str(&format!(".SH DESCRIPTION\n{}\n.SH OPTIONS\n", roff(info.description))),
            path => text.push_str(&format!(".SS {}\n{}\n", roff(path), roff(info.description))),
        }
        for positional in info.positionals {
            text.push_str(&format!(".TP\n.I {}\n{}\n", roff(positional.name), roff(positional.description)));
        }
        for flag in info.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help") {
            let value = match flag.kind {
                FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
                FlagInfoKind::Switch => String::new(),
            };
            text.push_str(&format!(
                ".TP\n.B {}{}\n{}\n",
                roff(flag.long),
                roff(&value),
                roff(flag.description)
            ));
        }
        for example in info.examples {
            text.push_str(&format!(".PP\n.nf\n{}\n.fi\n", roff_lines(example)));
        }
        if path.is_empty() {
            for note in info.notes {
                text.push_str(&format!(".PP\n{}\n", roff(note)));
            }
            text.push_str(".SH EXIT STATUS\n");
            for code in info.error_codes {
                text.push_str(&format!(".TP\n.B {}\n{}\n", code.code, roff(code.description)));
            }
            text.push_str(".SH COMMANDS\n");
        }
    }
    text
}

/// A text on one line, safe for roff.
fn roff(text: &str) -> String {
    roff_lines(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Lines of text, safe for roff: no line is taken for a request.
fn roff_lines(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

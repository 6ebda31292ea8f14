//! The README names the commands that work and only flags that exist.

use super::{File, assert_none, offender, repository};

const COMMANDS: [&str; 2] = ["cargo run --release --bin miroir-dev", "cargo test --workspace"];
/// Where the gateway's flags are defined, as fields of one struct.
const OPTIONS: &str = "gateway/src/config/options.rs";

#[test]
fn readme_names_the_two_commands() {
    let files = repository();
    assert_none("README.md names the two commands.", commands(readme(&files)));
}

#[test]
fn readme_lists_flags_that_exist() {
    let files = repository();
    let options = files.iter().find(|file| file.path == OPTIONS);
    // Before the gateway has options there are no flags to compare with.
    let offenders = options.map_or_else(Vec::new, |options| flags(readme(&files), options));
    assert_none("Every flag of README.md's table exists.", offenders);
}

fn readme(files: &[File]) -> &File {
    files.iter().find(|file| file.path == "README.md").expect("there is a README.md")
}

fn commands(readme: &File) -> Vec<String> {
    let missing = COMMANDS.iter().filter(|command| !readme.text.contains(**command));
    missing.map(|command| offender(&readme.path, 1, format_args!("does not name `{command}`"))).collect()
}

/// Flags that open a row of the table and are no field of the options.
fn flags(readme: &File, options: &File) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in (1..).zip(readme.text.lines()) {
        let Some(row) = text.strip_prefix("| `--") else { continue };
        let flag = row.split(|end: char| end != '-' && !end.is_ascii_alphanumeric()).next().unwrap_or(row);
        if !defines(&options.text, flag) {
            offenders.push(offender(&readme.path, line, format_args!("no option is called --{flag}")));
        }
    }
    offenders
}

/// Whether a field or a quoted name stands for the flag.
fn defines(options: &str, flag: &str) -> bool {
    let field = format!("{}:", flag.replace('-', "_"));
    let quoted = format!("\"{flag}\"");
    options.lines().any(|line| {
        let line = line.trim_start();
        let line =
            line.strip_prefix("pub").map_or(line, |line| line.trim_start_matches("(crate)").trim_start());
        line.strip_prefix("(super)").unwrap_or(line).trim_start().starts_with(&field)
            || line.contains(&quoted)
    })
}

#[test]
fn a_missing_command_is_seen() {
    let both = COMMANDS.join("\n");
    assert_eq!(commands(&File::new("README.md", &both)), [""; 0]);
    assert_eq!(commands(&File::new("README.md", COMMANDS[0])).len(), 1);
}

#[test]
fn an_unknown_flag_is_seen() {
    let options = File::new(
        OPTIONS,
        "pub(super) struct Flags {\n    pub(super) metrics_listen: Option<String>,\n    cores: u8,\n    #[argh(option, long = \"config\")]\n    file: u8,\n}",
    );
    let readme = |flag: &str| File::new("README.md", &format!("# x\n| `--{flag} N` | 1 | x |\n"));
    for known in ["metrics-listen", "cores", "config"] {
        assert_eq!(flags(&readme(known), &options), [""; 0], "{known}");
    }
    for unknown in ["listen", "core", "file-name"] {
        assert_eq!(flags(&readme(unknown), &options).len(), 1, "{unknown}");
    }
}

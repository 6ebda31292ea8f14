//! Rules about comments: a sentence names who acts before it says what they do.

use super::{File, assert_none, offender, repository};

/// Words that open a riddle where a sentence belongs.
const OPENINGS: [&str; 3] = ["Who ", "Whoever ", "So many "];

#[test]
fn comments_name_who_acts() {
    let files = repository();
    let offenders = files.iter().filter(|file| file.is_rust()).flat_map(riddles);
    assert_none(
        "No comment line begins with `Who `, `Whoever ` or `So many `, unless it is a heading.",
        offenders,
    );
}

/// Comment lines that begin so; a heading, which ends in a colon, may.
fn riddles(file: &File) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let Some(comment) = text.trim_start().strip_prefix("//") else { continue };
        let comment = comment.trim_start_matches(['/', '!']).trim();
        if OPENINGS.iter().any(|opening| comment.starts_with(opening)) && !comment.ends_with(':') {
            offenders.push(offender(&file.path, line, comment));
        }
    }
    offenders
}

#[test]
fn a_riddle_is_seen() {
    let check = |text: &str| riddles(&File::new("a.rs", text)).len();
    assert_eq!(check("// Who waits is told.\n/// Whoever asks.\n    //! So many of them."), 3);
    assert_eq!(check("/// Who may do what:"), 0);
    assert_eq!(check("/// A waiter is told so, whoever asks.\nlet x = \"// Who\"; // Who\n/// Whole."), 0);
}

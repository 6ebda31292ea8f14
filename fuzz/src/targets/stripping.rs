//! Attacks `merge::strip_document` and `merge::strip_message`.
//!
//! Checked: stripping twice equals stripping once; reserved members and names go, all others stay, raw and in order.

use std::borrow::Cow;

use arbitrary::{Result, Unstructured};

use super::written;
use crate::answer_oracle::{Object, RESERVED, answer, check_document, has_broken_escape};
use crate::mutate::mutate;
use crate::sound_answers::World;

/// Names as nodes list them; half are reserved.
const NAMES: [&str; 6] =
    ["a", "_miroir_shard", "é.b", "_miroir_updated_at", "<..hidden-attributes>", "_miroir_"];

pub(crate) fn run_document(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack_document(Unstructured::new(bytes));
}

pub(crate) fn run_message(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack_message(Unstructured::new(bytes));
}

fn attack_document(mut choices: Unstructured<'_>) -> Result<()> {
    if choices.arbitrary()? {
        check_stripped(choices.take_rest());
        return Ok(());
    }
    let world = World::arbitrary(&mut choices)?;
    for hit in world.legs.iter().flatten() {
        let mut text = hit.document_text().into_bytes();
        let sound = mutate(&mut choices, &mut text)? == 0;
        let stripped = check_stripped(&text);
        assert!(!sound || stripped, "a sound document is refused");
    }
    Ok(())
}

/// Whether the document was accepted.
fn check_stripped(raw: &[u8]) -> bool {
    let strip = |raw: &[u8]| written(|out| merge::strip_document(raw, out)).map(|((), out)| out);
    let Some(out) = strip(raw) else {
        return false;
    };
    if has_broken_escape(raw) {
        return true;
    }
    let text = answer(&out);
    check_document(text);
    assert_eq!(strip(&out).as_ref(), Some(&out), "stripping again changes the document");
    // Blanks around the document may be removed, so trim the original too.
    let before = std::str::from_utf8(raw).expect("what is taken is UTF-8").trim();
    let before = Object::read(before).expect("what is taken is an object");
    let after = Object::read(text).expect("what is written is an object");
    let kept = before.0.iter().filter(|(name, _)| !name.starts_with(RESERVED));
    let kept = kept.map(|(name, value)| (name, value.get())).collect::<Vec<_>>();
    let left = after.0.iter().map(|(name, value)| (name, value.get())).collect::<Vec<_>>();
    assert_eq!(left, kept, "another member than the reserved ones changed");
    true
}

fn attack_message(mut choices: Unstructured<'_>) -> Result<()> {
    if choices.arbitrary()? {
        check_message(&String::from_utf8_lossy(choices.take_rest()));
        return Ok(());
    }
    let mut names = Vec::new();
    for _ in 0..choices.int_in_range(1..=5)? {
        names.push(*choices.choose(&NAMES)?);
    }
    let separator = if choices.arbitrary()? { "`, `" } else { ", " };
    let list = |names: &[&str]| {
        format!(
            "Attribute `x` is not sortable. Available sortable attributes are: `{}`.",
            names.join(separator)
        )
    };
    let message = list(&names);
    let mut bytes = message.clone().into_bytes();
    mutate(&mut choices, &mut bytes)?;
    check_message(&String::from_utf8_lossy(&bytes));
    names.retain(|name| !name.as_bytes().starts_with(RESERVED));
    let stripped = merge::strip_message(&message);
    if names.is_empty() {
        assert!(!stripped.contains("_miroir_"), "a name is left: {stripped}");
    } else {
        assert_eq!(stripped, list(&names), "not the list without reserved names");
        assert_eq!(merge::strip_message(&stripped), stripped, "stripping again changes the message");
    }
    Ok(())
}

fn check_message(message: &str) {
    let stripped = merge::strip_message(message);
    if !message.contains("_miroir_") && !message.contains(merge::STAND_IN) {
        assert!(matches!(stripped, Cow::Borrowed(_)), "a message without reserved names is copied");
        assert_eq!(stripped, message, "a message without reserved names changes");
    }
}

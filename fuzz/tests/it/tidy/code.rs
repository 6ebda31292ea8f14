//! Rules about code, judged by its tokens.

use super::tokens::{Token, attributes, begin, inside};
use super::{File, assert_none, offender, repository};

/// Macros that code under work may have and committed code may not.
const MACROS_FORBIDDEN: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Where `unsafe` may stand: the runtimes' seam with the kernel, and the engine's memory map.
const UNSAFE_ALLOWED: [&str; 2] = ["gateway/src/wire/runtime/", "cluster/node/"];

#[test]
fn nothing_is_left_to_do() {
    assert_none("No unfinished code and no ignored tests.", over_rust(unfinished));
}

#[test]
fn unsafe_stands_where_it_is_allowed() {
    assert_none("`unsafe` stands in gateway/src/wire/runtime and cluster/node only.", over_rust(unsafe_code));
}

#[test]
fn lints_are_allowed_with_a_reason() {
    assert_none("Every `allow` carries a reason.", over_rust(allowed_lints));
}

#[test]
fn merge_uses_no_unchecked_reader() {
    assert_none("merge reads foreign bytes: no `*_unchecked`.", over_rust(unchecked_readers));
}

#[test]
fn every_rust_file_is_read_as_tokens() {
    let files = repository();
    let unreadable = files.iter().filter(|file| file.is_rust() && file.tokens().is_none());
    assert_none("Rust files can be read.", unreadable.map(|file| offender(&file.path, 1, "cannot be read")));
}

fn over_rust(check: fn(&File, &[Token]) -> Vec<String>) -> Vec<String> {
    let files = repository();
    let rust = files.iter().filter(|file| file.is_rust());
    rust.flat_map(|file| file.tokens().map_or_else(Vec::new, |tokens| check(file, tokens))).collect()
}

fn unfinished(file: &File, tokens: &[Token]) -> Vec<String> {
    let mut offenders = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if MACROS_FORBIDDEN.contains(&&*token.text) && begin(&tokens[at + 1..], &["!"]) {
            offenders.push(offender(&file.path, token.line, format_args!("{}!", token.text)));
        }
    }
    for (line, attribute) in attributes(tokens) {
        let conditional =
            begin(attribute, &["cfg_attr"]) && attribute.iter().any(|token| token.text == "ignore");
        if begin(attribute, &["ignore"]) || conditional {
            offenders.push(offender(&file.path, line, "an ignored test"));
        }
    }
    offenders
}

fn unsafe_code(file: &File, tokens: &[Token]) -> Vec<String> {
    if UNSAFE_ALLOWED.iter().any(|allowed| file.path.starts_with(allowed)) {
        return Vec::new();
    }
    let found = tokens.iter().filter(|token| token.text == "unsafe");
    found.map(|token| offender(&file.path, token.line, "unsafe")).collect()
}

fn allowed_lints(file: &File, tokens: &[Token]) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, attribute) in attributes(tokens) {
        for at in (0..attribute.len()).filter(|at| begin(&attribute[*at..], &["allow", "("])) {
            let lints = &attribute[at + 2..];
            let lints = &lints[..inside(lints)];
            if !(0..lints.len()).any(|at| begin(&lints[at..], &["reason", "="])) {
                offenders.push(offender(&file.path, line, "an `allow` without a reason"));
            }
        }
    }
    offenders
}

fn unchecked_readers(file: &File, tokens: &[Token]) -> Vec<String> {
    if !file.path.starts_with("merge/") {
        return Vec::new();
    }
    let found = tokens.iter().filter(|token| token.text.ends_with("_unchecked"));
    found.map(|token| offender(&file.path, token.line, &token.text)).collect()
}

#[cfg(test)]
mod examples {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&File, &[Token]) -> Vec<String>, path: &str, text: &str, lines: &[usize]) {
        let file = File::new(path, text);
        let found = rule(&file, file.tokens().unwrap());
        let expected = lines.iter().map(|line| format!("{path}:{line}: ")).collect::<Vec<_>>();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(&expected).all(|(one, place)| one.starts_with(place)), "{found:?}");
    }

    #[test]
    fn unfinished_code_is_seen() {
        check(
            unfinished,
            "a.rs",
            "fn a() {\n todo!(\"x\");\n dbg!(1);\n std::unimplemented!()\n}",
            &[2, 3, 4],
        );
        check(unfinished, "a.rs", "#[test]\n#[ignore]\nfn a() {}", &[2]);
        check(
            unfinished,
            "a.rs",
            "#[ignore = \"slow\"]\nfn a() {}\n#[cfg_attr(x, ignore)]\nfn b() {}",
            &[1, 3],
        );
        check(unfinished, "a.rs", "// todo!()\nfn todo() { \"dbg!()\" }\n/// #[ignore]\nfn ignore() {}", &[]);
    }

    #[test]
    fn unsafe_is_seen() {
        let text = "// unsafe\n#[allow(unsafe_code, reason = \"unsafe\")]\nfn a() {\n unsafe { b() }\n}";
        check(unsafe_code, "router/src/a.rs", text, &[4]);
        check(unsafe_code, "gateway/src/wire/runtime_other.rs", text, &[4]);
        check(unsafe_code, "gateway/src/wire/runtime/monoio.rs", text, &[]);
        check(unsafe_code, "cluster/node/src/engine.rs", text, &[]);
    }

    #[test]
    fn an_allow_without_a_reason_is_seen() {
        check(allowed_lints, "a.rs", "#![allow(clippy::all)]\n#[allow(dead_code)]\nfn a() {}", &[1, 2]);
        check(allowed_lints, "a.rs", "#[cfg_attr(test, allow(dead_code))]\nfn a() {}", &[1]);
        check(allowed_lints, "a.rs", "#[allow(dead_code, reason = \"x\")]\nfn allow(reason: u8) {}", &[]);
    }

    #[test]
    fn an_unchecked_reader_is_seen() {
        let text = "fn a() {\n sonic_rs::from_slice_unchecked(b)\n}";
        check(unchecked_readers, "merge/src/a.rs", text, &[2]);
        check(unchecked_readers, "store/src/a.rs", text, &[]);
    }
}

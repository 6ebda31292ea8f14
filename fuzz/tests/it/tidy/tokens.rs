//! Rust files as tokens, so that comments and strings cannot offend.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token; brackets of groups are tokens of their own. Comments are none, a string is one.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

pub(super) fn read(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    flatten(text.parse().ok()?, &mut tokens);
    Some(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let TokenTree::Group(group) = tree else {
            tokens.push(Token { text: tree.to_string(), line: tree.span().start().line });
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        tokens.push(Token { text: open.to_owned(), line: group.span_open().start().line });
        flatten(group.stream(), tokens);
        tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
    }
}

/// Whether `tokens` begin with `texts`.
pub(super) fn begin(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// The contents of every attribute, inner and outer, with its line.
pub(super) fn attributes(tokens: &[Token]) -> impl Iterator<Item = (usize, &[Token])> {
    (0..tokens.len()).filter_map(move |at| {
        let rest = &tokens[at..];
        let open = if begin(rest, &["#", "["]) {
            2
        } else if begin(rest, &["#", "!", "["]) {
            3
        } else {
            return None;
        };
        Some((rest[0].line, &rest[open..open + inside(&rest[open..])]))
    })
}

/// How many tokens stand before the bracket that closes the group in which `tokens` begin.
pub(super) fn inside(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match &*token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

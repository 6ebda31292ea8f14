//! Marks of highlighting and cropping that one node does not set.
//!
//! - A list `title.fr` marks the texts at that path, at the paths that lead to it, and at those below it. Legs that do
//!   not know the path are asked to mark all of `title`; what they mark beside it is unmarked here.
//! - An unmarked value is the hit's own, with numbers as text. Where the hit does not have it, it stays as it is.

use crate::json::{Elements, Members, string, unescape};

/// What to unmark in an answer.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// The top-level fields that legs were asked to mark as a whole.
    pub roots: &'a [String],
    /// The paths that the client wants marked.
    pub wanted: &'a [String],
}

/// The answer with those marks only that the client wants, or `None` if it has no others.
#[must_use]
pub fn unmarked(answer: &str, marks: &Marks<'_>) -> Option<String> {
    let offset_of = |part: &str| part.as_ptr() as usize - answer.as_ptr() as usize;
    let mut out = String::new();
    let mut from = 0;
    let hits = Members::of(answer)?.find(|member| member.key == "hits")?;
    for hit in Elements::of(hits.value) {
        let formatted = Members::of(hit).and_then(|all| all.filter(|one| one.key == "_formatted").last());
        for member in formatted.and_then(|one| Members::of(one.value)).into_iter().flatten() {
            let name = unescape(member.key);
            let composite = member.value.starts_with(['{', '[']);
            if !composite || !marks.roots.iter().any(|root| *root == name) {
                continue;
            }
            let own = Members::of(hit).and_then(|mut all| all.find(|one| one.key == member.key));
            let Some(own) = own else { continue };
            let at = offset_of(member.value);
            out.push_str(&answer[from..at]);
            write(&name, member.value, own.value, marks.wanted, &mut out);
            from = at + member.value.len();
        }
    }
    (from > 0).then(|| out + &answer[from..])
}

/// Whether all hits of an answer are formatted.
#[must_use]
pub fn is_formatted(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer);
    let hits = Members::of(&answer).and_then(|mut all| all.find(|member| member.key == "hits"));
    let formatted = |hit: &str| Members::of(hit).into_iter().flatten().any(|one| one.key == "_formatted");
    Elements::of(hits.map_or("", |hits| hits.value)).all(formatted)
}

/// Appends the value at `path`: marked where the client wants that, else as the hit has it.
fn write(path: &str, marked: &str, own: &str, wanted: &[String], out: &mut String) {
    match marked.as_bytes().first() {
        Some(b'{') if own.starts_with('{') => {
            out.push('{');
            for (at, member) in Members::of(marked).into_iter().flatten().enumerate() {
                out.push_str(if at > 0 { ",\"" } else { "\"" });
                out.push_str(member.key);
                out.push_str("\":");
                let own = Members::of(own).and_then(|mut all| all.find(|one| one.key == member.key));
                let path = format!("{path}.{}", unescape(member.key));
                write(&path, member.value, own.map_or(member.value, |own| own.value), wanted, out);
            }
            out.push('}');
        }
        Some(b'[') if own.starts_with('[') && Elements::of(own).count() == Elements::of(marked).count() => {
            out.push('[');
            for (at, (marked, own)) in Elements::of(marked).zip(Elements::of(own)).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(path, marked, own, wanted, out);
            }
            out.push(']');
        }
        Some(b'"') if !wanted.iter().any(|wanted| meet(wanted, path)) => match own.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => {
                out.push('"');
                out.push_str(own);
                out.push('"');
            }
            _ => out.push_str(string(own).map_or(marked, |_| own)),
        },
        _ => out.push_str(marked),
    }
}

/// Whether one path is the other, or leads to it.
fn meet(one: &str, other: &str) -> bool {
    let leads = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    leads(one, other) || leads(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_marks_stay() {
        let hit = |own: &str, formatted: &str| {
            format!(
                r#"{{"hits":[{{"id":1,"t":{own},"u":"b","_formatted":{{"id":"1","t":{formatted},"u":"B"}}}}],"x":1}}"#
            )
        };
        let roots = ["t".to_owned()];
        let check = |wanted: &str, own: &str, formatted: &str, expected: Option<&str>| {
            let wanted = [wanted.to_owned()];
            let found = unmarked(&hit(own, formatted), &Marks { roots: &roots, wanted: &wanted });
            assert_eq!(found, expected.map(|expected| hit(own, expected)), "{wanted:?} {own}");
        };
        check("t.fr", r#""a""#, r#""A""#, None);
        check("t.fr", r#"{"fr":"a","de":"b"}"#, r#"{"fr":"A","de":"B"}"#, Some(r#"{"fr":"A","de":"b"}"#));
        check(
            "t.fr",
            r#"{"n":2.5,"ok":true}"#,
            r#"{"n":"<2.5>","ok":true}"#,
            Some(r#"{"n":"2.5","ok":true}"#),
        );
        check(
            "t.fr",
            r#"["a",{"de":"b","fr":{"x":"c"}},["d"]]"#,
            r#"["A",{"de":"B","fr":{"x":"C"}},["D"]]"#,
            Some(r#"["A",{"de":"b","fr":{"x":"C"}},["D"]]"#),
        );
        check("t", r#"{"de":"b"}"#, r#"{"de":"B"}"#, Some(r#"{"de":"B"}"#));
        assert_eq!(unmarked("{}", &Marks { roots: &roots, wanted: &[] }), None);
        assert_eq!(unmarked("", &Marks { roots: &roots, wanted: &[] }), None);
    }

    #[test]
    fn values_that_a_hit_lacks_stay() {
        let answer = r#"{"hits":[{"id":1,"_formatted":{"t":{"de":"B"}}}]}"#;
        let marks = Marks { roots: &["t".to_owned()], wanted: &["t.fr".to_owned()] };
        assert_eq!(unmarked(answer, &marks), None);
    }
}

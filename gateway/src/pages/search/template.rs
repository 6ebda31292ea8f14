//! Templates for hits: a little HTML with `{{attribute}}`, compiled to a tree that the page draws element by element.
//!
//! Invariants: a tree has only elements and attributes of these lists, so it can hold no script, no style, no form and
//! no handler. What a template does not understand is an error with its line, never left as it is. Values of documents
//! become text, or the rest of an address whose scheme the template or the page has judged.

use serde_json::{Map, Value, json};

use crate::config::limits::{SEARCH_PAGE_TEMPLATE_BYTES_MAX, SEARCH_PAGE_TEMPLATE_DEPTH_MAX};

/// Elements that a template may use.
const ELEMENTS: [&str; 41] = [
    "a",
    "article",
    "b",
    "blockquote",
    "br",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "footer",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "s",
    "section",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "time",
    "tr",
    "ul",
];
/// Elements without contents, which are not closed.
const EMPTY: [&str; 3] = ["br", "hr", "img"];
/// Attributes of any element.
const ATTRIBUTES: [&str; 5] = ["class", "dir", "lang", "title", "aria-label"];
/// Attributes of one element.
const OWN_ATTRIBUTES: [(&str, &str); 8] = [
    ("a", "href"),
    ("img", "src"),
    ("img", "alt"),
    ("img", "width"),
    ("img", "height"),
    ("time", "datetime"),
    ("td", "colspan"),
    ("th", "scope"),
];
/// What an address may begin with, when the template itself says how it begins.
const SCHEMES: [&str; 6] = ["https://", "http://", "/", "#", "?", "mailto:"];

/// A compiled template, and the attributes of documents that it names.
#[derive(Debug, PartialEq)]
pub(crate) struct Compiled {
    /// Nodes: a text, `{"f": attribute}`, `{"t": element, "a": attributes, "c": nodes}`, or
    /// `{"if": attribute, "c": nodes, "else": nodes}`.
    pub(crate) nodes: Value,
    pub(crate) fields: Vec<String>,
}

/// Compiles a template.
///
/// # Errors
/// What is wrong, with its line.
pub(crate) fn compile(text: &str) -> Result<Compiled, String> {
    if text.len() > SEARCH_PAGE_TEMPLATE_BYTES_MAX {
        return Err(format!(
            "it has {} bytes, and at most {SEARCH_PAGE_TEMPLATE_BYTES_MAX} are allowed",
            text.len()
        ));
    }
    let mut parser = Parser { text, at: 0, fields: Vec::new(), depth: 0 };
    let nodes = parser.nodes()?;
    match parser.rest() {
        "" => Ok(Compiled { nodes: Value::Array(nodes), fields: parser.fields }),
        rest if rest.starts_with("</") => Err(parser.wrong(&format!("`{}` closes nothing", excerpt(rest)))),
        rest => Err(parser.wrong(&format!("`{}` has no `{{{{#if}}}}` before it", excerpt(rest)))),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// How much of the text is read.
    at: usize,
    fields: Vec<String>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The error for what stands here.
    fn wrong(&self, reason: &str) -> String {
        format!("line {}: {reason}", self.text[..self.at].matches('\n').count() + 1)
    }

    /// Reads nodes up to a closing tag, an `{{else}}`, an `{{/if}}` or the end.
    fn nodes(&mut self) -> Result<Vec<Value>, String> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.rest();
            if rest.is_empty()
                || rest.starts_with("</")
                || rest.starts_with("{{/")
                || rest.starts_with("{{else}}")
            {
                return Ok(nodes);
            }
            if rest.starts_with("<!--") {
                let end = rest.find("-->").ok_or_else(|| self.wrong("the comment does not end"))?;
                self.at += end + "-->".len();
            } else if rest.starts_with("{{#") {
                nodes.push(self.condition()?);
            } else if rest.starts_with("{{") {
                nodes.push(json!({"f": self.placeholder()?}));
            } else if rest.starts_with('<') {
                nodes.push(self.element()?);
            } else {
                let end = rest.find(['<', '{']).unwrap_or(rest.len());
                // A single brace is a text like any other.
                let end = if end == 0 { 1 } else { end };
                self.at += end;
                nodes.push(Value::String(decoded(&rest[..end])));
            }
        }
    }

    /// Reads `{{attribute}}`.
    fn placeholder(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let end = rest.find("}}").ok_or_else(|| self.wrong(&format!("`{}` has no `}}}}`", excerpt(rest))))?;
        let name = self.field(rest[2..end].trim())?;
        self.at += end + 2;
        Ok(name)
    }

    fn field(&mut self, name: &str) -> Result<String, String> {
        let is_name = |char: char| char.is_alphanumeric() || "_-.$@ ".contains(char);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(self.wrong(&format!("`{{{{{}}}}}` names no attribute", excerpt(name))));
        }
        if !self.fields.iter().any(|known| known == name) {
            self.fields.push(name.to_owned());
        }
        Ok(name.to_owned())
    }

    /// Reads `{{#if attribute}} … {{else}} … {{/if}}`.
    fn condition(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let end = rest.find("}}").ok_or_else(|| self.wrong(&format!("`{}` has no `}}}}`", excerpt(rest))))?;
        let Some(name) = rest[3..end].trim().strip_prefix("if ") else {
            return Err(
                self.wrong(&format!("`{}` is not known; there is `{{{{#if attribute}}}}`", excerpt(rest)))
            );
        };
        let name = self.field(name.trim())?;
        let opened = self.wrong(&format!("`{{{{#if {name}}}}}` has no `{{{{/if}}}}`"));
        self.at += end + 2;
        self.deeper()?;
        let mut node =
            Map::from_iter([("if".to_owned(), json!(name)), ("c".to_owned(), json!(self.nodes()?))]);
        if self.rest().starts_with("{{else}}") {
            self.at += "{{else}}".len();
            node.insert("else".to_owned(), json!(self.nodes()?));
        }
        if !self.rest().starts_with("{{/if}}") {
            return Err(opened);
        }
        self.at += "{{/if}}".len();
        self.depth -= 1;
        Ok(Value::Object(node))
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        match self.depth > SEARCH_PAGE_TEMPLATE_DEPTH_MAX {
            true => {
                Err(self
                    .wrong(&format!("more than {SEARCH_PAGE_TEMPLATE_DEPTH_MAX} elements lie in each other")))
            }
            false => Ok(()),
        }
    }

    fn element(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let name_end =
            rest[1..].find(|char: char| !char.is_ascii_alphanumeric()).map_or(rest.len(), |end| end + 1);
        let name = rest[1..name_end].to_ascii_lowercase();
        if !ELEMENTS.contains(&name.as_str()) {
            let reason =
                format!("`<{}>` is not allowed; a template may use {}", excerpt(&name), ELEMENTS.join(", "));
            return Err(self.wrong(&reason));
        }
        let opened = self.wrong(&format!("`<{name}>` is not closed"));
        self.at += name_end;
        let attributes = self.attributes(&name)?;
        let mut node = Map::from_iter([("t".to_owned(), json!(name))]);
        if !attributes.is_empty() {
            node.insert("a".to_owned(), Value::Object(attributes));
        }
        if self.rest().starts_with("/>") {
            self.at += 2;
            return Ok(Value::Object(node));
        }
        self.at += 1;
        if EMPTY.contains(&name.as_str()) {
            return Ok(Value::Object(node));
        }
        self.deeper()?;
        let contents = self.nodes()?;
        if !contents.is_empty() {
            node.insert("c".to_owned(), Value::Array(contents));
        }
        let closing = self.rest().strip_prefix("</").and_then(|rest| rest.split_once('>'));
        match closing {
            Some((closed, _)) if closed.trim().eq_ignore_ascii_case(&name) => self.at += closed.len() + 3,
            Some((closed, _)) => {
                return Err(
                    self.wrong(&format!("`</{}>` stands where `</{name}>` is expected", excerpt(closed)))
                );
            }
            None => return Err(opened),
        }
        self.depth -= 1;
        Ok(Value::Object(node))
    }

    /// Reads attributes up to the end of the tag, which is left to the caller.
    fn attributes(&mut self, element: &str) -> Result<Map<String, Value>, String> {
        let mut attributes = Map::new();
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with('>') || trimmed.starts_with("/>") {
                return Ok(attributes);
            }
            let end = trimmed
                .find(|char: char| !(char.is_ascii_alphanumeric() || char == '-'))
                .unwrap_or(trimmed.len());
            let name = trimmed[..end].to_ascii_lowercase();
            if name.is_empty() {
                return Err(self.wrong(&format!("`<{element}` does not end with `>`")));
            }
            let known =
                ATTRIBUTES.contains(&name.as_str()) || OWN_ATTRIBUTES.contains(&(element, name.as_str()));
            if !known {
                return Err(self.wrong(&format!("`{}` is not allowed on `<{element}>`", excerpt(&name))));
            }
            let value = trimmed[end..].strip_prefix("=\"").and_then(|rest| rest.split_once('"'));
            let Some((value, _)) = value else {
                return Err(self.wrong(&format!("`{name}` needs a value in double quotes")));
            };
            let parts = self.parts(&name, value)?;
            self.at += end + value.len() + 3;
            attributes.insert(name, Value::Array(parts));
        }
    }

    /// The parts of an attribute's value: texts and placeholders.
    fn parts(&mut self, name: &str, value: &str) -> Result<Vec<Value>, String> {
        let is_address = matches!(name, "href" | "src");
        let leads = value.trim_start();
        let own = leads.starts_with("{{") || SCHEMES.iter().any(|scheme| leads.starts_with(scheme));
        if is_address && (!own || leads.starts_with("//") || leads.starts_with("/\\")) {
            let reason = format!("`{name}` must begin with {} or a placeholder", SCHEMES.join(", "));
            return Err(self.wrong(&reason));
        }
        let mut parts = Vec::new();
        let mut rest = value;
        while let Some((text, after)) = rest.split_once("{{") {
            let (field, after) = after
                .split_once("}}")
                .ok_or_else(|| self.wrong(&format!("`{}` has no `}}}}`", excerpt(value))))?;
            if !text.is_empty() {
                parts.push(Value::String(decoded(text)));
            }
            parts.push(json!({"f": self.field(field.trim())?}));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Value::String(decoded(rest)));
        }
        Ok(parts)
    }
}

/// A text with its character references as the characters that they stand for.
fn decoded(text: &str) -> String {
    // The ampersand comes last, so that nothing is decoded twice.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", "\u{a0}"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (reference, char)| text.replace(reference, char))
}

/// The beginning of a text, for an error.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_trees() {
        let check = |text: &str, nodes: Value, fields: &[&str]| {
            let compiled = compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (compiled.nodes, compiled.fields),
                (nodes, fields.iter().map(|f| (*f).to_owned()).collect()),
                "{text}"
            );
        };
        check("", json!([]), &[]);
        check("a { b &lt;i&gt; &amp;lt;", json!(["a ", "{", " b <i> &lt;"]), &[]);
        check("<P>{{ name }}</p>", json!([{"t": "p", "c": [{"f": "name"}]}]), &["name"]);
        check(
            r#"<a class="title" href="/p/{{id}}?a=1"><img src="{{pic}}" alt="">{{id}}</a><!-- x --><br/>"#,
            json!([
                {"t": "a", "a": {"class": ["title"], "href": ["/p/", {"f": "id"}, "?a=1"]}, "c": [
                    {"t": "img", "a": {"src": [{"f": "pic"}], "alt": []}},
                    {"f": "id"},
                ]},
                {"t": "br"},
            ]),
            &["id", "pic"],
        );
        check(
            "{{#if a.b}}<b>x</b>{{else}}y{{/if}}",
            json!([{"if": "a.b", "c": [{"t": "b", "c": ["x"]}], "else": ["y"]}]),
            &["a.b"],
        );
    }

    #[test]
    fn what_is_broken_or_dangerous_is_refused_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = compile(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("<p>\n{{name</p>", "line 2: `{{name</p>` has no `}}`");
        check("<p>{{}}</p>", "line 1: `{{}}` names no attribute");
        check("{{constructor()}}", "names no attribute");
        check("<p>", "line 1: `<p>` is not closed");
        check("<p></b>", "`</b>` stands where `</p>` is expected");
        check("</p>", "`</p>` closes nothing");
        check("{{/if}}", "has no `{{#if}}` before it");
        check("{{#if a}}x", "`{{#if a}}` has no `{{/if}}`");
        check("{{#each a}}x{{/each}}", "is not known");
        check("a\n\n<script>alert(1)</script>", "line 3: `<script>` is not allowed");
        for element in
            ["iframe", "style", "svg", "form", "input", "object", "link", "base", "math", "template", "x-y"]
        {
            check(&format!("<{element}>"), "is not allowed");
        }
        check("<ScRiPt>", "`<script>` is not allowed");
        check("<p onclick=\"x()\">a</p>", "`onclick` is not allowed on `<p>`");
        check("<p style=\"color:red\">a</p>", "`style` is not allowed");
        check("<p href=\"/\">a</p>", "`href` is not allowed on `<p>`");
        check("<p class=a>x</p>", "`class` needs a value in double quotes");
        check("<p class=\"a>x</p>", "`class` needs a value");
        check("<p {{a}}>", "does not end with `>`");
        for address in [
            "javascript:alert(1)",
            " javascript:{{a}}",
            "JAVASCRIPT:x",
            "data:text/html,x",
            "//evil.example/",
            "/\\evil",
            "x",
        ] {
            check(&format!("<a href=\"{address}\">x</a>"), "`href` must begin with");
        }
        check("<img src=\"vbscript:x\">", "`src` must begin with");
        check(&"<b>".repeat(40), "elements lie in each other");
        check(&"x".repeat(SEARCH_PAGE_TEMPLATE_BYTES_MAX + 1), "at most");
        check("<!-- x", "the comment does not end");
    }
}

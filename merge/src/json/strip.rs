//! Cutting reserved members out of hits and documents by copying the bytes around them.
//!
//! - Kept members keep their bytes and their order; nothing is parsed and printed again.
//! - Reserved are the members whose name begins with `_miroir_`, at the top level of a document and in the objects that
//!   repeat its fields (`_formatted`, `_matchesPosition`, `_rankingScoreDetails`).
//! - A walk ends as soon as no reserved name can follow, so a hit with its marker near the front costs a few members
//!   and one search.

use crate::SearchSpec;
use crate::json::hit::{self, Added, Edit};
use crate::json::{Member, Members, number, unescape};
use crate::order::leg_cursor::{Bucket, Ranked};
use crate::order::weighted_score::Scale;

/// The prefix of all reserved field names.
pub(crate) const RESERVED: &str = "_miroir_";
/// The beginning of a reserved member in JSON text.
const RESERVED_KEY: &str = "\"_miroir_";
const DETAILS: &str = "_rankingScoreDetails";
const SCORE: &str = "_rankingScore";
const SCORE_KEY: &str = "\"_rankingScore\":";

/// Appends the hit without what the client must not see. `scale` is given where the score must be measured by more
/// typos than its leg knew of.
pub(crate) fn hit(ranked: &Ranked<'_>, scale: Option<&Scale<'_>>, spec: &SearchSpec<'_>, out: &mut Vec<u8>) {
    let hit = &ranked.hit;
    let typos = scale.and_then(|scale| scale.more_typos(hit.details));
    let changes = typos.is_some() || spec.show_ranking_score_details && !ranked.buckets.is_empty();
    if !changes && spec.extra_fields.is_none() {
        return nodes_hit(hit.text, hit.details_at, spec, out);
    }
    let mut details = Vec::new();
    if changes {
        merged_details(hit.details, &ranked.buckets, typos, &mut details);
    }
    let details = String::from_utf8_lossy(&details);
    let shown = typos.filter(|_| spec.scores_in_legs).and_then(|_| number(hit::added(hit.text, SCORE)?));
    let score = shown.zip(scale).map(|(shown, scale)| write_number(scale.score(hit.details, shown)));
    let edit = Edit {
        score: true,
        details: true,
        new_score: score.as_deref(),
        new_details: changes.then_some(&details),
        federation: None,
        extra: spec.extra_fields,
    };
    let mut kept = Vec::with_capacity(hit.text.len());
    hit::write(hit.text, &edit, &mut kept);
    nodes_hit(&String::from_utf8_lossy(&kept), None, spec, out);
}

/// Ranking details in which `_geoPoint` rules name the first document of the merged bucket, and in which the rule
/// `typo` ranks among `typos`.
fn merged_details(details: &str, buckets: &[Bucket], typos: Option<f64>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, rule) in Members::of(details).into_iter().flatten().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let key_end = rule.end - rule.value.len();
        out.extend_from_slice(&details.as_bytes()[rule.key_at..key_end]);
        let number = order(rule.value).map(|(number, _)| number);
        let bucket = buckets.iter().find(|bucket| Some(bucket.rule) == number);
        match (bucket, typos.filter(|_| rule.key == "typo")) {
            (Some(Bucket { rule, latitude, longitude, distance }), _) => out.extend_from_slice(
                format!(
                    r#"{{"order":{rule},"value":{{"lat":{latitude:?},"lng":{longitude:?}}},"distance":{distance:?}}}"#
                )
                .as_bytes(),
            ),
            (None, Some(most)) => typos_among(rule.value, most, out),
            (None, None) => out.extend_from_slice(rule.value.as_bytes()),
        }
    }
    out.push(b'}');
}

/// The rule `typo`, ranked among `most` typos.
fn typos_among(rule: &str, most: f64, out: &mut Vec<u8>) {
    let count = hit::field(rule, "typoCount").and_then(number).unwrap_or(0.0);
    let score = write_number((most + 1.0 - count) / (most + 1.0));
    out.push(b'{');
    for (at, field) in Members::of(rule).into_iter().flatten().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let most = most.to_string();
        let value = match field.key {
            "maxTypoCount" => &most,
            "score" => &score,
            _ => field.value,
        };
        out.extend_from_slice(format!("\"{}\":{value}", field.key).as_bytes());
    }
    out.push(b'}');
}

/// Formats a number as nodes do.
fn write_number(number: f64) -> String {
    sonic_rs::to_string(&number).unwrap_or_default()
}

/// Appends a hit without reserved members, and without those that nodes add and the client did not request. Members of
/// the same names that are the document's own are kept.
/// `details_at`: the offset of the opening quote of `_rankingScoreDetails`, if it is known to be the last member of
/// compact JSON.
fn nodes_hit(text: &str, details_at: Option<usize>, spec: &SearchSpec<'_>, out: &mut Vec<u8>) {
    let Some(close) = text.len().checked_sub(1) else { return };
    let cuts_score = spec.scores_in_legs && !spec.show_ranking_score;
    let cuts_details = spec.details_in_legs && !spec.show_ranking_score_details;
    // The offset where members begin that only the gateway requested: score and details are the last members.
    let mut kept_end = close;
    let mut walk_all = spec.show_ranking_score_details && changes_details(spec);
    match details_at.filter(|_| spec.details_in_legs) {
        Some(details_at) => {
            let before = details_at - 1;
            let score_at = score_before(text, before).filter(|_| cuts_score);
            if cuts_details {
                // A hit with no other members begins with its brace, not with a comma.
                kept_end = score_at.unwrap_or(before).max(1);
            }
            walk_all |= cuts_score && (score_at.is_none() || !cuts_details);
        }
        None => walk_all |= (cuts_score || cuts_details) && text.contains("\"_rankingScore"),
    }
    let kept = &text[..kept_end];
    if !walk_all && !kept.contains(RESERVED_KEY) {
        out.extend_from_slice(kept.as_bytes());
        out.push(b'}');
        return;
    }
    let added = Added::to(text);
    let mut writer = Writer::new(text, out);
    let Some(members) = Members::of(text) else { return };
    for member in members.take_while(|member| member.key_at < kept_end) {
        let at = Some(member.key_at);
        let cut = match member.key {
            SCORE => cuts_score && added.score_at == at,
            DETAILS if cuts_details && added.details_at == at => true,
            "_formatted" | "_matchesPosition" | DETAILS => {
                writer.nested(member, spec, member.key == DETAILS && added.details_at == at);
                continue;
            }
            key => key.starts_with(RESERVED),
        };
        if cut {
            writer.cut()
        } else {
            writer.keep(member)
        }
        if cut && !walk_all && !text[member.end..kept_end].contains(RESERVED_KEY) {
            writer.keep_rest(member.end, kept_end);
            break;
        }
    }
    writer.close();
}

/// Appends the object `text` without its reserved members.
pub(crate) fn members(text: &str, out: &mut Vec<u8>) {
    if !text.contains(RESERVED_KEY) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut writer = Writer::new(text, out);
    let Some(members) = Members::of(text) else { return };
    for member in members {
        if member.key.starts_with(RESERVED) { writer.cut() } else { writer.keep(member) }
    }
    writer.close();
}

/// The offset of the comma before a `_rankingScore` that ends at `end`.
fn score_before(text: &str, end: usize) -> Option<usize> {
    if !text[..end].ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let comma = text[..end].rfind([',', '{'])?;
    let is_score = text[comma + 1..end].starts_with(SCORE_KEY);
    is_score.then_some(comma)
}

/// Copies an object member by member, in as few runs of bytes as the cuts permit.
struct Writer<'t, 'o> {
    text: &'t str,
    out: &'o mut Vec<u8>,
    /// The offset where the run that is not copied yet begins; `None` after a cut.
    from: Option<usize>,
    /// The offset where the last kept member ends.
    kept_end: usize,
    any_kept: bool,
}

impl<'t, 'o> Writer<'t, 'o> {
    fn new(text: &'t str, out: &'o mut Vec<u8>) -> Self {
        Self { text, out, from: Some(0), kept_end: 1, any_kept: false }
    }

    fn keep(&mut self, member: Member<'_>) {
        self.resume(member.key_at);
        self.kept_end = member.end;
    }

    fn cut(&mut self) {
        if let Some(from) = self.from.take() {
            self.out.extend_from_slice(&self.text.as_bytes()[from..self.kept_end]);
        }
    }

    /// Keeps an object without its reserved members. Drops a `_formatted` that becomes empty, as one node does.
    /// `are_details`: it is the ranking details that the node added.
    fn nested(&mut self, member: Member<'_>, spec: &SearchSpec<'_>, are_details: bool) {
        let rewritten = are_details && spec.details_in_legs && changes_details(spec);
        let untouched = !rewritten && !member.value.contains(RESERVED_KEY);
        if untouched || !member.value.starts_with('{') {
            return self.keep(member);
        }
        let left = Members::of(member.value)
            .is_some_and(|mut members| members.any(|inner| !inner.key.starts_with(RESERVED)));
        if member.key == "_formatted" && !left {
            return self.cut();
        }
        self.resume(member.key_at);
        let value_at = member.end - member.value.len();
        let from = self.from.replace(member.end).unwrap_or(value_at);
        self.out.extend_from_slice(&self.text.as_bytes()[from..value_at]);
        if are_details {
            details(member.value, spec.tie_break, spec.displayed, self.out)
        } else {
            members(member.value, self.out)
        }
        self.kept_end = member.end;
    }

    /// Keeps all members between the cut member's end and `end`.
    fn keep_rest(&mut self, cut_end: usize, end: usize) {
        let rest = self.text[cut_end..end].trim_start().strip_prefix(',').unwrap_or_default().trim_start();
        if !rest.is_empty() {
            self.resume(end - rest.len());
            self.kept_end = end;
        }
    }

    fn close(mut self) {
        if let Some(from) = self.from.take() {
            self.out.extend_from_slice(&self.text.as_bytes()[from..self.kept_end]);
        }
        self.out.push(b'}');
    }

    fn resume(&mut self, at: usize) {
        if self.from.is_none() {
            if self.any_kept {
                self.out.push(b',');
            }
            self.from = Some(at);
        }
        self.any_kept = true;
    }
}

/// Whether clients see other ranking details than nodes write.
fn changes_details(spec: &SearchSpec<'_>) -> bool {
    spec.tie_break.is_some() || spec.displayed.is_some()
}

/// Whether a rule sorts by an attribute that is not displayed. As on one node, only the attribute's exact name counts,
/// not that of its parent or child.
fn is_hidden(rule: &str, displayed: Option<&[String]>) -> bool {
    let Some(displayed) = displayed else { return false };
    let field = rule.strip_suffix(":asc").or_else(|| rule.strip_suffix(":desc"));
    field.is_some_and(|field| {
        let field = unescape(field);
        !field.starts_with("_geoPoint(") && !displayed.iter().any(|name| *name == field)
    })
}

/// The `order` of a rule, and the member that contains it.
fn order(rule: &str) -> Option<(usize, Member<'_>)> {
    let field = Members::of(rule)?.find(|field| field.key == "order")?;
    Some((field.value.parse().ok()?, field))
}

/// Appends ranking details without the tie-break and the rules over reserved fields. Renumbers the `order` of the
/// others without gaps, and hides values of attributes that are not displayed.
pub(crate) fn details(text: &str, tie_break: Option<&str>, displayed: Option<&[String]>, out: &mut Vec<u8>) {
    let rules = || Members::of(text).into_iter().flatten();
    let cut = |member: &Member<'_>| member.key.starts_with(RESERVED) || Some(member.key) == tie_break;
    out.push(b'{');
    for (at, rule) in rules().filter(|rule| !cut(rule)).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let key_end = rule.end - rule.value.len();
        let raw_key = &text.as_bytes()[rule.key_at..key_end];
        let Some((number, field)) = order(rule.value) else {
            out.extend_from_slice(raw_key);
            out.extend_from_slice(rule.value.as_bytes());
            continue;
        };
        let before =
            rules().filter(cut).filter_map(|gone| order(gone.value)).filter(|(gone, _)| *gone < number);
        let number = number - before.count();
        if is_hidden(rule.key, displayed) {
            let hidden = format!(r#""<hidden-rule-{number}>":{{"order":{number},"value":"<hidden>"}}"#);
            out.extend_from_slice(hidden.as_bytes());
            continue;
        }
        out.extend_from_slice(raw_key);
        out.extend_from_slice(&rule.value.as_bytes()[..field.end - field.value.len()]);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(&rule.value.as_bytes()[field.end..]);
    }
    out.push(b'}');
}

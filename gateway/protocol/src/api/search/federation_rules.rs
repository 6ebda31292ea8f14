//! Decides by the user's ranking rules whether the orders of a federation's queries go together in one list. Nodes
//! have one rule more, to break ties, and so decide otherwise.
//!
//! Invariants: rules are compared by kind alone, as Meilisearch does after it has dropped those that decide nothing
//! (meilisearch/src/search/ranking_rules.rs). The text of a refusal is a node's.

/// What a ranking rule orders by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Relevancy,
    Field { ascending: bool },
    Distance { ascending: bool },
}

/// How a query finds its hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finds {
    Everything,
    /// By words; `all`: none of the words may be missing.
    Words {
        all: bool,
    },
    Vectors,
}

/// The kinds of the rules that order a query's hits, without those that decide nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleKinds(Vec<Kind>);

impl RuleKinds {
    /// The kinds for a query with this `sort` on an index with these ranking rules.
    #[must_use]
    pub fn of(rules: &[&str], sort: &[String], finds: Finds) -> Self {
        let mut kinds = Vec::new();
        let (mut fields, mut relevancy) = (Vec::new(), Vec::new());
        let mut sorted = false;
        for rule in rules {
            if let Some((kind, field)) = by_field(rule) {
                if !fields.contains(&field) {
                    fields.push(field);
                    kinds.push(kind);
                }
            } else if *rule == "sort" {
                if !std::mem::replace(&mut sorted, true) {
                    let mut placed = false;
                    for (kind, field) in sort.iter().filter_map(|rule| by_field(rule)) {
                        let is_new = match kind {
                            Kind::Distance { .. } => !std::mem::replace(&mut placed, true),
                            Kind::Field { .. } | Kind::Relevancy => !fields.contains(&field),
                        };
                        if is_new {
                            kinds.push(kind);
                        }
                        if is_new && !matches!(kind, Kind::Distance { .. }) {
                            fields.push(field);
                        }
                    }
                }
            } else {
                match finds {
                    Finds::Everything => {}
                    Finds::Vectors if relevancy.is_empty() => relevancy.push("vector"),
                    Finds::Vectors if fields.is_empty() => continue,
                    // Later rules decide nothing: no two similarities are equal.
                    Finds::Vectors => break,
                    Finds::Words { all } => {
                        // Words count before every other rule of relevancy.
                        let counted = *rule == "words" && (all || !relevancy.is_empty());
                        if counted || relevancy.contains(rule) {
                            continue;
                        }
                        relevancy.push(rule);
                    }
                }
                if finds != Finds::Everything && kinds.last() != Some(&Kind::Relevancy) {
                    kinds.push(Kind::Relevancy);
                }
            }
        }
        Self(kinds)
    }

    fn may_stand_with(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, other)| one == other)
    }
}

/// The positions of the first two queries that do not go together. `queries` are in the order of their indexes'
/// names, in which a node checks them.
#[must_use]
pub fn first_incompatible(queries: impl IntoIterator<Item = (usize, RuleKinds)>) -> Option<(usize, usize)> {
    let mut longest: Option<(usize, RuleKinds)> = None;
    for (position, query) in queries {
        longest = match longest {
            Some((before, known)) if !known.may_stand_with(&query) => return Some((before, position)),
            Some(known) if known.1.0.len() > query.0.len() => Some(known),
            Some(_) | None => Some((position, query)),
        };
    }
    None
}

fn by_field(rule: &str) -> Option<(Kind, &str)> {
    let (field, direction) = rule.rsplit_once(':')?;
    let ascending = match direction {
        "asc" => true,
        "desc" => false,
        _ => return None,
    };
    let is_distance = field.starts_with("_geoPoint(") || field == "_geo";
    Some((if is_distance { Kind::Distance { ascending } } else { Kind::Field { ascending } }, field))
}

/// Removes from a refusal what it says of the rules by which nodes break ties; `fields` are their primary keys.
#[must_use]
pub fn without_tie_breaks(message: &str, fields: &[&str]) -> String {
    let is_of_tie_break = |line: &&str| {
        let note = line.trim_start().split_once(". Removed duplicate rule `").map(|(_, note)| note);
        let of_field = |field: &&str| {
            let at = |direction: &str| {
                let position = note?.strip_prefix(&format!("{field}:{direction}` at position #"))?;
                Some(position.trim_start_matches(|digit: char| digit.is_ascii_digit()))
            };
            let position = at("asc").or_else(|| at("desc"));
            position.is_some_and(|position| position.starts_with(" in ranking rules"))
        };
        fields.iter().any(of_field)
    };
    let mut lines = message.split('\n').filter(|line| !is_of_tie_break(line)).peekable();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        let is_note = |line: &&str| line.starts_with("   ");
        if line.starts_with("  - note: ") && !lines.peek().is_some_and(is_note) {
            continue;
        }
        kept.push(line);
    }
    kept.join("\n")
}

/// Renumbers a node's refusal of a federation of some queries by their positions among all queries.
#[must_use]
pub fn renumbered(message: &str, positions: &[usize]) -> String {
    // The text before a query's number in Meilisearch's messages.
    const MARKS: [&str; 5] = ["queries[", "queries #", "query #", "position #", " and #"];
    let mut numbered = String::with_capacity(message.len());
    let mut rest = message;
    let next = |rest: &str| {
        let found = MARKS.iter().filter_map(|mark| Some((rest.find(mark)? + mark.len(), *mark)));
        found.min_by_key(|(end, _)| *end)
    };
    while let Some((end, mark)) = next(rest) {
        let digits = rest[end..].bytes().take_while(u8::is_ascii_digit).count();
        let known = rest[end..end + digits].parse::<usize>().ok().and_then(|at| positions.get(at));
        numbered.push_str(&rest[..end]);
        match known.filter(|_| mark != "position #") {
            Some(position) => numbered.push_str(&position.to_string()),
            None => numbered.push_str(&rest[end..end + digits]),
        }
        rest = &rest[end + digits..];
    }
    numbered.push_str(rest);
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: [&str; 6] = ["words", "typo", "proximity", "attribute", "sort", "exactness"];
    const WORDS: Finds = Finds::Words { all: false };

    fn kinds(rules: &[&str], sort: &[&str], finds: Finds) -> String {
        let sort = sort.iter().map(ToString::to_string).collect::<Vec<_>>();
        let letter = |kind: &Kind| match kind {
            Kind::Relevancy => 'r',
            Kind::Field { ascending: true } => 'a',
            Kind::Field { ascending: false } => 'd',
            Kind::Distance { ascending: true } => 'n',
            Kind::Distance { ascending: false } => 'f',
        };
        RuleKinds::of(rules, &sort, finds).0.iter().map(letter).collect()
    }

    #[test]
    fn rules_that_decide_nothing_do_not_count() {
        assert_eq!(kinds(&DEFAULT, &[], WORDS), "r");
        assert_eq!(kinds(&DEFAULT, &["p:asc", "q:desc", "p:desc"], WORDS), "radr");
        assert_eq!(kinds(&DEFAULT, &["p:asc"], Finds::Everything), "a");
        assert_eq!(kinds(&DEFAULT, &["_geoPoint(1, 2):asc", "_geoPoint(3, 4):desc"], WORDS), "rnr");
        assert_eq!(kinds(&DEFAULT, &["p:asc"], Finds::Vectors), "ra");
        assert_eq!(kinds(&["words", "p:desc", "sort", "exactness"], &["p:asc"], WORDS), "rdr");
        assert_eq!(kinds(&["p:desc", "words"], &[], Finds::Words { all: true }), "d");
        assert_eq!(kinds(&["typo", "p:desc", "words", "typo"], &[], WORDS), "rd");
        assert_eq!(kinds(&["sort", "p:asc"], &[], Finds::Everything), "a");
    }

    #[test]
    fn each_query_stands_beside_the_longest_before_it() {
        let check = |all: &[&[&str]], expected| {
            let queries = all.iter().map(|sort| {
                let sort = sort.iter().map(ToString::to_string).collect::<Vec<_>>();
                RuleKinds::of(&["sort"], &sort, Finds::Everything)
            });
            assert_eq!(first_incompatible(queries.enumerate()), expected, "{all:?}");
        };
        check(&[], None);
        check(&[&["a:asc"], &["b:asc", "c:desc"], &[], &["d:asc"]], None);
        check(&[&["a:asc"], &["b:desc"]], Some((0, 1)));
        check(&[&["a:asc", "b:asc"], &[], &["a:asc", "b:desc"]], Some((0, 2)));
    }

    #[test]
    fn refusals_do_not_speak_of_tie_breaks() {
        let check = |message: &str, expected: &str| {
            assert_eq!(without_tie_breaks(message, &["id"]), expected);
        };
        check("  2. b\n  - c\n", "  2. b\n  - c\n");
        let note = "  - note: of #1:\n    1. Removed duplicate rule `id:desc` at position #6 in ranking rules as it \
                    already appears\n";
        check(&format!("a\n{note}"), "a\n");
        check(&format!("a\n{note}    2. Removed x\n"), "a\n  - note: of #1:\n    2. Removed x\n");
        let own =
            "  - note: of #1:\n    1. Removed duplicate rule `id:desc` at position #1 in `query.sort` (as\n";
        check(own, own);
    }

    #[test]
    fn queries_keep_their_numbers() {
        let message = "Inside `.queries[1]`: The results of queries #0 and #1 are incompatible: \n  1. `queries[0]`, \
                       `a.rankingRules[0]`\n  - note: The ranking rules of query #1 were modified:\n    1. Removed \
                       rule `sort` at position #1 because";
        let expected = "Inside `.queries[2]`: The results of queries #5 and #2 are incompatible: \n  1. \
                        `queries[5]`, `a.rankingRules[0]`\n  - note: The ranking rules of query #2 were \
                        modified:\n    1. Removed rule `sort` at position #1 because";
        assert_eq!(renumbered(message, &[5, 2]), expected);
        assert_eq!(renumbered("nothing", &[5, 2]), "nothing");
    }
}

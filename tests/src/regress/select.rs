//! From a SELECT to SELECTs over one keyed table, which the compiler may take.

use super::constants::{Constant, Mode, lifted};
use super::script::{Kind, Token, lex};

/// The table that takes the place of what stands first in FROM.
pub(crate) const TABLE: &str = "regraft_source";
/// Its key.
pub(crate) const KEY: &str = "regraft_id";

/// A way to write the SELECT over the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Items of the select list, without labels.
    pub(crate) items: Vec<String>,
    /// What follows the table in FROM: `AS t, LATERAL …`.
    pub(crate) from: String,
    /// Condition of WHERE; empty without one.
    pub(crate) filter: String,
}

impl Form {
    /// The SELECT of a list, under one more condition.
    pub(crate) fn select(&self, list: &str, restriction: &str) -> String {
        let filter = match (self.filter.as_str(), restriction) {
            ("", "") => String::new(),
            ("", only) | (only, "") => format!(" WHERE {only}"),
            (filter, restriction) => format!(" WHERE ({filter}) AND {restriction}"),
        };
        format!("SELECT {list} FROM {TABLE}{}{filter}", self.from)
    }

    /// An item that is a call alone, whose function may give rows, as a function in FROM.
    pub(crate) fn call(&self, item: &str) -> Option<Form> {
        let tokens = lex(item);
        let words = Words { text: item, tokens: &tokens };
        let named = tokens.first().is_some_and(|token| token.kind == Kind::Word);
        let alone = named && words.is(1, "(") && words.after_group(1) == tokens.len();
        alone.then(|| Form {
            items: vec!["regraft_f.*".to_owned()],
            from: format!("{}, LATERAL {item} AS regraft_f", self.from),
            filter: self.filter.clone(),
        })
    }
}

/// A SELECT over a table that is filled for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// FROM clause that the table is filled from; empty for a single row.
    pub(crate) from: String,
    /// It is a join, whose columns become columns of the table as constants do.
    pub(crate) joined: bool,
    /// How the restriction to one row names the table.
    pub(crate) alias: String,
    /// Constants that become columns.
    pub(crate) constants: Vec<Constant>,
    /// As written, then with constants as columns.
    pub(crate) forms: Vec<Form>,
}

/// Words after which a clause of a SELECT begins.
const CLAUSES: &[&str] = &[
    "from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for",
    "into",
];

/// The tokens of a text.
pub(crate) struct Words<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: &'a [Token],
}

impl<'a> Words<'a> {
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(self.text, word))
    }

    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        if from >= to {
            return "";
        }
        &self.text[self.tokens[from].start..self.tokens[to - 1].end]
    }

    /// Index after the parenthesis or bracket that closes the one at `at`.
    pub(crate) fn after_group(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (i, token) in self.tokens.iter().enumerate().skip(at) {
            match token.text(self.text) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return i + 1;
            }
        }
        self.tokens.len()
    }

    /// Tokens of `from..to` outside parentheses for which `wanted` holds.
    fn outside(&self, from: usize, to: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = from;
        while at < to {
            if self.is(at, "(") || self.is(at, "[") {
                at = self.after_group(at);
                continue;
            }
            if wanted(at) {
                found.push(at);
            }
            at += 1;
        }
        found
    }

    fn is_arm(&self, at: usize) -> bool {
        ["union", "intersect", "except"].iter().any(|word| self.is(at, word))
    }

    fn starts_clause(&self, at: usize) -> bool {
        let label = at > 0 && (self.is(at - 1, "as") || self.is(at - 1, "."));
        let distinct = at > 0 && self.is(at, "from") && self.is(at - 1, "distinct");
        !label && !distinct && CLAUSES.iter().any(|word| self.is(at, word))
    }
}

/// Statements that can hold a SELECT outside parentheses whose rows are of interest.
const HOLDERS: &[&str] = &["select", "insert", "explain", "table", "view", "declare", "prepare"];

/// The SELECTs of a statement, also those in parentheses and the arms of a UNION. For each the ways
/// to put it over one table; none for what groups rows. ORDER BY and LIMIT are left out.
pub(crate) fn selects(sql: &str) -> Vec<Vec<Block>> {
    let tokens = lex(sql);
    let words = Words { text: sql, tokens: &tokens };
    let holds = (0..4).any(|at| HOLDERS.iter().any(|word| words.is(at, word)));
    let mut found = Vec::new();
    if !holds {
        return found;
    }
    for start in 0..tokens.len() {
        if !words.is(start, "select") {
            continue;
        }
        // To the end of the parenthesis that it stands in, or to the next arm.
        let mut end = start + 1;
        while end < tokens.len() && !words.is(end, ")") && !words.is_arm(end) {
            end = if words.is(end, "(") { words.after_group(end) } else { end + 1 };
        }
        found.push(block(sql, &tokens[start..end]));
    }
    found
}

fn block(sql: &str, tokens: &[Token]) -> Vec<Block> {
    let words = Words { text: sql, tokens };
    let mut first = 1;
    if words.is(first, "all") {
        first += 1;
    } else if words.is(first, "distinct") {
        first += 1;
        if words.is(first, "on") {
            first = words.after_group(first + 1);
        }
    }
    let clauses = words.outside(first, tokens.len(), |at| words.starts_clause(at));
    let groups =
        |at: &usize| ["group", "having", "window", "into"].iter().any(|word| words.is(*at, word));
    if clauses.iter().any(groups) {
        return Vec::new();
    }
    // Where a clause ends: at the next one.
    let clause = |word: &str| {
        let at = clauses.iter().position(|at| words.is(*at, word))?;
        Some((clauses[at] + 1, clauses.get(at + 1).copied().unwrap_or(tokens.len())))
    };
    let items_end = clauses.first().copied().unwrap_or(tokens.len());
    let from = clause("from");
    let filter = clause("where").map(|(from, to)| words.slice(from, to)).unwrap_or_default();
    let Some(sources) = sources(&words, from, filter) else { return Vec::new() };
    let mut items = Vec::new();
    let commas = words.outside(first, items_end, |at| words.is(at, ","));
    let mut start = first;
    for end in commas.into_iter().chain([items_end]) {
        let item = words.slice(start, without_label(&words, start, end));
        if !item.is_empty() {
            items.push(item.to_owned());
        }
        start = end + 1;
    }
    let written = |source: &Source| {
        let kept = words.slice(source.rest.0, source.rest.1);
        Form {
            items: items.clone(),
            from: format!("{}{kept}", source.keep),
            filter: if source.joined { String::new() } else { filter.to_owned() },
        }
    };
    sources.iter().map(|source| with_constants(source, written(source))).collect()
}

fn with_constants(source: &Source, written: Form) -> Block {
    let mut constants = Vec::new();
    let mut forms = Vec::new();
    for mode in Mode::ALL {
        let mut lift = |text: &str| lifted(text, mode, source.joined, &mut constants);
        let items = written.items.iter().map(|item| lift(item)).collect();
        let form = Form { items, from: lift(&written.from), filter: lift(&written.filter) };
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    Block {
        joined: source.joined,
        from: source.from.clone(),
        alias: source.alias.clone(),
        constants,
        forms,
    }
}

/// What the table holds, and what stays of FROM.
struct Source {
    from: String,
    alias: String,
    /// What is written after the table's name.
    keep: String,
    /// Range of tokens that stay after it.
    rest: (usize, usize),
    /// All of FROM and WHERE; columns of its tables are taken as constants are.
    joined: bool,
}

fn sources(words: &Words<'_>, from: Option<(usize, usize)>, filter: &str) -> Option<Vec<Source>> {
    let one = |rest: (usize, usize)| Source {
        from: String::new(),
        alias: TABLE.to_owned(),
        keep: if rest.0 < rest.1 { ", ".to_owned() } else { String::new() },
        rest,
        joined: false,
    };
    let Some((start, end)) = from else { return Some(vec![one((0, 0))]) };
    let identifier =
        |at: usize| words.tokens.get(at).filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted));
    let mut at = start;
    let mut name = None;
    if words.is(at, "(") {
        at = words.after_group(at);
    } else {
        at += usize::from(words.is(at, "only") || words.is(at, "lateral"));
        name = Some(identifier(at)?.text(words.text));
        at += 1;
        while words.is(at, ".") {
            name = Some(identifier(at + 1)?.text(words.text));
            at += 2;
        }
        at += usize::from(words.is(at, "*"));
    }
    let function = words.is(at, "(");
    if function {
        at = words.after_group(at);
    }
    if words.is(at, "with") {
        at += 2;
    }
    at += usize::from(words.is(at, "as"));
    let joins = ["join", "cross", "left", "right", "full", "inner", "natural", "tablesample"];
    let follows = |at: usize| joins.iter().any(|word| words.is(at, word));
    if at < end
        && !follows(at)
        && let Some(token) = identifier(at)
    {
        name = Some(token.text(words.text));
        at += 1;
        if words.is(at, "(") {
            at = words.after_group(at);
        }
    }
    if at < end && !words.is(at, ",") && !follows(at) {
        return None;
    }
    let alias = name?.to_owned();
    let mut found = Vec::new();
    if function {
        found.push(one((start, end)));
    }
    found.push(Source {
        from: words.slice(start, at).to_owned(),
        keep: format!(" AS {alias} "),
        alias,
        rest: (at, end),
        joined: false,
    });
    if at < end {
        let condition = if filter.is_empty() { "" } else { " WHERE " };
        let from = format!("{}{condition}{filter}", words.slice(start, end));
        found.push(Source { from, joined: true, ..one((0, 0)) });
    }
    Some(found)
}

/// Index of the end of an item without its label.
fn without_label(words: &Words<'_>, start: usize, end: usize) -> usize {
    let named = words.outside(start, end, |at| words.is(at, "as"));
    if let Some(at) = named.last() {
        return *at;
    }
    let last = end.saturating_sub(1);
    let operand = |at: usize| {
        let token = words.tokens[at];
        let text = token.text(words.text);
        token.kind != Kind::Mark && !OPERATORS.contains(&text.to_ascii_lowercase().as_str())
            || matches!(text, ")" | "]")
    };
    let quoted = words.tokens.get(last).is_some_and(|token| token.kind == Kind::Quoted);
    if quoted && last > start && operand(last - 1) { last } else { end }
}

/// Words that an operand follows.
const OPERATORS: &[&str] = &["and", "or", "not", "like", "ilike", "in", "is", "between", "when"];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str) -> Vec<String> {
        let first = |block: &Block| block.forms[0].select(&block.forms[0].items.join(", "), "");
        selects(sql).iter().flatten().map(first).collect()
    }

    #[test]
    fn the_table_takes_the_place_of_what_is_first_in_from() {
        for (sql, wanted) in [
            ("SELECT 1 AS one, f(2, 3)", "SELECT 1, f(2, 3) FROM regraft_source"),
            ("SELECT DISTINCT a \"x y\" FROM s.t ORDER BY 1", "SELECT a FROM regraft_source AS t "),
            (
                "SELECT a FROM (VALUES (1)) AS v(a) WHERE a > 0 LIMIT 1",
                "SELECT a FROM regraft_source AS v  WHERE a > 0",
            ),
            (
                "SELECT x FROM t a, unnest(a.b) x",
                "SELECT x FROM regraft_source AS a , unnest(a.b) x",
            ),
        ] {
            assert_eq!(written(sql)[0], wanted, "{sql}");
        }
        assert!(written("SELECT a, count(*) FROM t GROUP BY a").is_empty());
        assert_eq!(selects("SELECT 1 UNION ALL SELECT 2").len(), 2);
        assert_eq!(
            written("INSERT INTO t SELECT f(x) FROM (SELECT g(y) FROM u) AS v"),
            ["SELECT f(x) FROM regraft_source AS v ", "SELECT g(y) FROM regraft_source AS u "]
        );
        // A join, whose columns become those of the table.
        let found = selects("SELECT a.x + b.y FROM a, b WHERE a.i = b.i").remove(0);
        assert_eq!(found[1].from, "a, b WHERE a.i = b.i");
        assert_eq!(found[1].forms[0].items, ["regraft_c1 + regraft_c2"]);
        assert_eq!(found[1].constants[1].sql, "b.y");
        // A function: over one row, and as the table.
        let found = selects("SELECT * FROM json_each('{}') e").remove(0);
        assert_eq!(found[0].forms[0].from, ", json_each('{}') e");
        assert_eq!(found[1].from, "json_each('{}') e");
    }
}

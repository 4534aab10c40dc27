//! Window functions of a SELECT, and the rows that each of them sees.
//!
//! What a window function gives depends on the rows of its partition. A SELECT with one can be read
//! by key when each partition lies within the rows that belong to one key: see [`Window::is_certain`].

use crate::front::statement::{Statement, TableRef, source_tables};
use crate::front::syntax::lexer::{Kind, Token};

/// A table of a SELECT, with columns by which its rows belong to keys.
pub(crate) type Keyed<'a> = (&'a TableRef, &'a [String]);

/// A window: what stands after OVER, or a definition in WINDOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where it stands: `mapping.sql:3:12`.
    pub(crate) place: String,
    /// Columns of PARTITION BY, each with its table or alias if that was written; expressions are
    /// not among them.
    partition: Vec<(Option<String>, String)>,
    /// It belongs to the SELECT that gives the target's rows, not to one inside of it.
    outermost: bool,
    /// The tables that its SELECT reads, none if it reads other SELECTs.
    tables: Vec<TableRef>,
    /// It stands in a SELECT that reads no table: what it sees comes from one row.
    local: bool,
}

impl Window {
    /// True when no row of another key can change what it sees: its partition lies within the rows of
    /// one key, or within the rows that a trace leads from to the same keys.
    pub(crate) fn is_certain(&self, source: Keyed<'_>, traced: &[Keyed<'_>]) -> bool {
        if self.outermost {
            return self.within(source);
        }
        // Beside other tables, those could tell the rows of one partition apart.
        let only = |table| self.tables.as_slice() == std::slice::from_ref(table);
        self.local || traced.iter().any(|&from| only(from.0) && self.within(from))
    }

    /// True when all rows of a partition have the same values in these columns of the table.
    fn within(&self, (table, columns): Keyed<'_>) -> bool {
        let called = table.alias.as_ref().unwrap_or(&table.name);
        let named = |column: &String| {
            self.partition.iter().any(|(of, name)| {
                name == column
                    && match of {
                        Some(of) => of == called,
                        None => self.tables.len() == 1,
                    }
            })
        };
        !columns.is_empty() && self.tables.contains(table) && columns.iter().all(named)
    }
}

impl Statement {
    /// The windows of the SELECT.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let tokens = self.select_tokens();
        let word = |at: usize, word: &str| tokens.get(at).is_some_and(|t| t.is_word(word));
        let opens = |at: usize| tokens.get(at).is_some_and(|t| t.is_mark("("));
        let mut found = Vec::new();
        for at in 0..tokens.len() {
            let (over, defined) = (word(at, "over"), word(at, "as") && defines_window(tokens, at));
            // OVER name is defined elsewhere; that definition is looked at.
            if !(over || defined) || (over && !opens(at + 1)) || !opens(at + 1) {
                continue;
            }
            let (inside, outermost) = enclosing(tokens, at);
            let tables = source_tables(inside);
            let local = !outermost && tables.is_empty();
            let tables = if is_one_select(inside) { tables } else { Vec::new() };
            found.push(Window {
                place: self.place_of(&tokens[at]),
                partition: partition(&tokens[at + 2..]),
                outermost,
                tables,
                local,
            });
        }
        found
    }
}

/// `WINDOW name AS (`, or one after it.
fn defines_window(tokens: &[Token], at: usize) -> bool {
    let mut depth = 0_usize;
    for token in tokens[..at].iter().rev() {
        if token.is_mark(")") {
            depth += 1;
        } else if token.is_mark("(") {
            let Some(less) = depth.checked_sub(1) else { return false };
            depth = less;
        } else if depth == 0 && token.is_word("window") {
            return true;
        } else if depth == 0
            && ["select", "from", "with", "where"].iter().any(|word| token.is_word(word))
        {
            return false;
        }
    }
    false
}

/// The columns of a PARTITION BY that starts here.
fn partition(tokens: &[Token]) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    if !(tokens.first().is_some_and(|t| t.is_word("partition"))
        && tokens.get(1).is_some_and(|t| t.is_word("by")))
    {
        return found;
    }
    let ends = |token: &Token| {
        token.is_mark(")")
            || ["order", "rows", "range", "groups"].iter().any(|word| token.is_word(word))
    };
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        if depth == 0 && ends(token) {
            return true;
        }
        depth += usize::from(token.is_mark("("));
        depth -= usize::from(token.is_mark(")"));
        false
    });
    for item in tokens[2..end.unwrap_or(tokens.len())].split(|token| token.is_mark(",")) {
        match item {
            [name] if name.is_identifier() => found.push((None, name.text.clone())),
            [of, dot, name] if of.is_identifier() && dot.is_mark(".") && name.is_identifier() => {
                found.push((Some(of.text.clone()), name.text.clone()));
            }
            _ => {}
        }
    }
    found
}

/// The tokens of the innermost SELECT around token `at`, and whether that is the outermost one.
fn enclosing(tokens: &[Token], at: usize) -> (&[Token], bool) {
    let mut depth = 0_usize;
    for (i, token) in tokens[..at].iter().enumerate().rev() {
        if token.is_mark(")") {
            depth += 1;
        } else if token.is_mark("(") {
            if depth > 0 {
                depth -= 1;
            } else if tokens.get(i + 1).is_some_and(|t| t.is_word("select") || t.is_word("with")) {
                let mut depth = 0_usize;
                let end = tokens[i + 1..].iter().position(|token| {
                    depth += usize::from(token.is_mark("("));
                    let closes = token.is_mark(")");
                    let ends = closes && depth == 0;
                    depth -= usize::from(closes && !ends);
                    ends
                });
                return (&tokens[i + 1..end.map_or(tokens.len(), |end| i + 1 + end)], false);
            }
        }
    }
    (tokens, true)
}

/// False when a SELECT reads other SELECTs, or is put together from several.
fn is_one_select(tokens: &[Token]) -> bool {
    let selects = tokens.iter().filter(|t| t.kind == Kind::Word && t.text == "select").count();
    selects == 1 && !tokens.iter().any(|token| token.is_word("values") || token.is_word("table"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn windows(select: &str) -> (Statement, Vec<Window>) {
        let statement = parse("m.sql", &format!("INSERT INTO t {select}")).unwrap().remove(0);
        let windows = statement.windows();
        (statement, windows)
    }

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn partitions_within_a_key_are_recognized() {
        let key = columns(&["id"]);
        for (select, expected) in [
            ("SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) FROM s", true),
            ("SELECT id, sum(a) OVER (PARTITION BY kind, s.id) FROM s", true),
            (
                "SELECT id, sum(a) OVER w FROM s WINDOW v AS (PARTITION BY id), w AS (v ORDER BY b)",
                false,
            ),
            (
                "SELECT id, sum(a) OVER w FROM s WINDOW w AS (PARTITION BY id ORDER BY f(a, b))",
                true,
            ),
            ("SELECT id, sum(a) OVER (PARTITION BY f(id)) FROM s", false),
            ("SELECT id, sum(a) OVER (ORDER BY id) FROM s", false),
            ("SELECT id, sum(a) OVER () FROM s", false),
            ("SELECT s.id, sum(k.a) OVER (PARTITION BY s.id) FROM s JOIN k ON k.s = s.id", true),
            ("SELECT s.id, sum(k.a) OVER (PARTITION BY id) FROM s JOIN k ON k.s = s.id", false),
            ("SELECT s.id, sum(k.a) OVER (PARTITION BY k.id) FROM s JOIN k ON k.s = s.id", false),
        ] {
            let (statement, windows) = windows(select);
            let source = &statement.source_tables()[0];
            assert!(!windows.is_empty() && windows.iter().all(|w| w.outermost), "{select}");
            assert_eq!(
                windows.iter().all(|w| w.is_certain((source, &key), &[])),
                expected,
                "{select}"
            );
        }
    }

    #[test]
    fn a_window_belongs_to_the_select_around_it() {
        let (statement, windows) = windows(
            "SELECT s.id, l.v FROM s LEFT JOIN (SELECT k.*, row_number() OVER \
             (PARTITION BY k.s_id ORDER BY k.at DESC) AS n FROM k) AS l ON l.s_id = s.id AND l.n = 1",
        );
        let [s, k] = statement.source_tables() else { panic!() };
        let [window] = windows.as_slice() else { panic!() };
        let (key, traced) = (columns(&["id"]), |name| columns(&[name]));
        assert!(window.is_certain((s, &key), &[(k, &traced("s_id"))]));
        assert!(!window.is_certain((s, &key), &[(k, &traced("at"))]));
        assert!(!window.is_certain((s, &key), &[]));
        assert_eq!(window.place, "m.sql:1:75");
    }

    #[test]
    fn a_window_over_what_one_row_holds_is_certain() {
        let (statement, windows) = windows(
            "SELECT s.id, x.n FROM s CROSS JOIN LATERAL (SELECT row_number() OVER () AS n FROM unnest(s.a)) AS x",
        );
        assert!(windows[0].is_certain((&statement.source_tables()[0], &[]), &[]));
    }
}

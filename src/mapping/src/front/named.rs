//! Statements whose rows a mapper of the program makes: which columns it is given.

use crate::front::statement::from_item;
use crate::front::syntax::Stop;
use crate::front::syntax::lexer::Token;

/// A mapper of the program that makes the rows of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMapper {
    /// Its name.
    pub name: String,
    /// Columns of the source table that the statement gives to it; `None` for `*`.
    pub columns: Option<Vec<String>>,
    /// Offset of the comment in the file.
    pub(crate) at: usize,
}

/// The columns of `SELECT a, t.b FROM table [AS t]`; `None` for `SELECT *`.
pub(crate) fn plain_columns(tokens: &[Token]) -> Result<Option<Vec<String>>, Stop> {
    let end = tokens.last().map_or(0, |token| token.end);
    let mark = |at: usize, mark: &str| tokens.get(at).is_some_and(|token| token.is_mark(mark));
    let stop = |at: usize| {
        let message = "a mapper takes columns of one table as they are";
        Stop::new(tokens.get(at).map_or(end, |token| token.start), message).remedy(
            "write SELECT with a list of columns, or *, FROM one table; what else is to happen is the \
             mapper's work",
        )
    };
    let name = |at: usize| tokens.get(at).filter(|token| token.is_identifier()).ok_or(stop(at));
    if !tokens.first().is_some_and(|token| token.is_word("select")) {
        return Err(stop(0));
    }
    let mut at = 1;
    let mut columns: Option<Vec<String>> = None;
    if tokens.get(at).is_some_and(|token| token.is_operator("*")) {
        at += 1;
    } else {
        let columns = columns.insert(Vec::new());
        loop {
            at += if mark(at + 1, ".") { 2 } else { 0 };
            let column = name(at)?.text.clone();
            if columns.contains(&column) {
                return Err(stop(at));
            }
            columns.push(column);
            at += 1;
            if !mark(at, ",") {
                break;
            }
            at += 1;
        }
    }
    if !tokens.get(at).is_some_and(|token| token.is_word("from")) {
        return Err(stop(at));
    }
    if name(at + 1)?.is_word("only") {
        return Err(stop(at + 1));
    }
    let (_, next) = from_item(tokens, at + 1);
    if next < tokens.len() { Err(stop(next)) } else { Ok(columns) }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn columns(select: &str) -> Result<Option<Vec<String>>, String> {
        let text = format!("-- regraft: mapper m\nINSERT INTO t {select}");
        let mut parsed = parse("m.sql", &text).map_err(|errors| errors[0].to_string())?;
        Ok(parsed.remove(0).mapper().unwrap().columns.clone())
    }

    #[test]
    fn plain_columns_and_a_star_are_given() {
        assert_eq!(columns("SELECT * FROM a.s AS x"), Ok(None));
        let named = ["id", "B", "c"].map(str::to_owned).to_vec();
        assert_eq!(columns("SELECT id, s.\"B\", c FROM s;"), Ok(Some(named)));
    }

    #[test]
    fn what_the_mapper_would_not_see_is_refused_where_it_stands() {
        for (select, column) in [
            ("SELECT id, upper(a) FROM s", 31),
            ("SELECT id, a::text FROM s", 27),
            ("SELECT id AS a FROM s", 25),
            ("SELECT id, id FROM s", 26),
            ("SELECT DISTINCT id FROM s", 31),
            ("SELECT id FROM s WHERE id > 1", 32),
            ("SELECT id FROM s, t", 31),
            ("SELECT id FROM ONLY s", 30),
            ("SELECT id FROM f(1)", 31),
            ("SELECT 1", 22),
            ("SELECT id", 24),
            ("WITH s AS (SELECT 1) SELECT * FROM s", 15),
        ] {
            let error = columns(select).unwrap_err();
            assert!(error.starts_with(&format!("m.sql:2:{column}: ")), "{select}: {error}");
            assert!(error.contains("[RG1003]") && error.contains("to do: "), "{error}");
        }
    }

    #[test]
    fn a_mapper_has_no_traces() {
        let text =
            "-- regraft: mapper m\n-- regraft: trace a.b -> c\nINSERT INTO t SELECT * FROM s";
        let error = parse("m.sql", text).unwrap_err().remove(0);
        assert_eq!(error.place(), Some("m.sql:2:1"));
    }
}

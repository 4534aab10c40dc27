//! SELECTs over one table that PostgreSQL evaluates: the mapper only says which rows are to be read.
//!
//! What [`crate::compile()`] does not know is not guessed. As long as the rows of the SELECT belong to
//! single source rows, the source can be asked for them by key, at any time; what comes back is as
//! of a moment after the change, and later changes come again.

use regraft_core::mapper::{Count, Input, Output};
use regraft_core::{
    Code, Declaration, Error, Mapped, Mapper, Oid, Relation, Result, Rows, TableName, Tuple,
};

use crate::evaluation::functions::VOLATILE;
use crate::front::statement::{Statement, TableRef, source_tables};
use crate::front::syntax::Stop;
use crate::front::syntax::lexer::{Kind, Token};
use crate::front::syntax::parser::{SESSION_WORDS, volatile};
use crate::values::types::SourceTable;

/// Words that stand for the place or the version of a row, not for its content.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "cmin", "cmax", "xmin", "xmax", "tableoid"];
/// Strings that mean the present when they are converted to a date or a time.
const MOMENTS: &[&str] = &["now", "today", "tomorrow", "yesterday"];

const REMEDY: &str = "take the value from a column of the source, or leave the column out and give it a \
                      DEFAULT in the target table";

/// A function or operator that a SELECT names, to be looked up in the source's catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Name without schema.
    pub name: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// An operator, else a function.
    pub operator: bool,
    /// `pg_catalog` is written before it.
    pub qualified: bool,
}

/// Leaves the evaluation of one statement to the source.
#[derive(Clone, Debug)]
pub struct KeyedRead {
    table: TableName,
    place: String,
    /// Columns whose change of type, or absence, changes the SELECT.
    columns: Vec<(String, Oid)>,
    /// The SELECT takes whole rows: any change of shape changes it.
    whole: bool,
    version: String,
    outputs: Vec<Output>,
}

impl KeyedRead {
    /// A mapper for a statement whose [keyed SELECT](Statement::keyed_select) the source accepts.
    /// `written` is the source table as the SELECT names it, and `traced` are the other tables with the
    /// columns by which their changes lead to source rows. `outputs` are its columns, as the source
    /// describes them.
    ///
    /// # Errors
    /// [`Code::NotStreamable`] when the SELECT says something that is not in the rows: the time, the
    /// session, where a row is stored; or when a window function sees rows of several keys.
    pub fn new(
        statement: &Statement,
        written: &TableRef,
        table: &SourceTable,
        traced: &[(&TableRef, &[String])],
        outputs: Vec<Output>,
    ) -> Result<Self> {
        let tokens = statement.select_tokens();
        for (at, token) in tokens.iter().enumerate() {
            let calls = tokens.get(at + 1).is_some_and(|next| next.is_mark("("));
            if let Some(stop) = unstable(token, calls) {
                let remedy = stop.remedy.unwrap_or_else(|| REMEDY.to_owned());
                let error = Error::new(Code::NotStreamable, stop.message);
                return Err(error.at(statement.place_of(token)).remedy(remedy));
            }
        }
        let windows = statement.windows();
        if let Some(window) = windows.iter().find(|w| !w.is_certain((written, &table.key), traced))
        {
            let what = "what a window function sees is not part of one row and its key";
            return Err(Error::new(Code::NotStreamable, what).at(window.place.clone()).remedy(
                "PARTITION BY the source table's key; inside a subquery over one table, by the \
                 columns that its trace leads from",
            ));
        }
        let whole = takes_whole_rows(tokens, written);
        let named = |name: &str| tokens.iter().any(|t| t.is_identifier() && t.text == name);
        let columns = table.columns.iter();
        let columns = columns.filter(|c| whole || c.key || named(&c.name));
        Ok(Self {
            table: table.name.clone(),
            place: statement.place(),
            columns: columns.map(|column| (column.name.clone(), column.type_oid)).collect(),
            whole,
            version: statement.fingerprint(),
            outputs,
        })
    }

    /// Functions and operators that the statement names, and the operators that its syntax means.
    pub fn named(statement: &Statement) -> Vec<Named> {
        let tokens = statement.select_tokens();
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let mut note = |name: &str, operator| {
                let (line, column) = statement.line_and_column_of(token);
                let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
                let qualified = before(1).is_some_and(|token| token.is_mark("."))
                    && before(2).is_some_and(|token| token.text == "pg_catalog");
                found.push(Named { name: name.to_owned(), line, column, operator, qualified });
            };
            if token.kind == Kind::Operator {
                note(&token.text, true);
            } else if token.is_identifier() {
                if tokens.get(at + 1).is_some_and(|next| next.is_mark("(")) {
                    note(&token.text, false);
                }
                for (_, operators) in IMPLIED.iter().filter(|(word, _)| token.is_word(word)) {
                    operators.iter().for_each(|name| note(name, true));
                }
            }
        }
        found
    }
}

/// Operators that are looked up for what the grammar spells with words.
const IMPLIED: &[(&str, &[&str])] = &[
    ("like", &["~~", "!~~"]),
    ("ilike", &["~~*", "!~~*"]),
    ("similar", &["~", "!~"]),
    ("between", &[">=", "<=", "<", ">"]),
    ("in", &["=", "<>"]),
    ("case", &["="]),
    ("nullif", &["="]),
    ("distinct", &["="]),
];

/// What is not a function of the row, as far as the words tell.
fn unstable(token: &Token, calls: bool) -> Option<Stop> {
    let refused = |what: &str| Some(Stop::new(token.start, format!("{what} is not part of a row")));
    let text = token.text.as_str();
    match token.kind {
        Kind::Word if SESSION_WORDS.contains(&text) => {
            Some(volatile(token.start, &text.to_ascii_uppercase()))
        }
        Kind::Word if SYSTEM_COLUMNS.contains(&text) => {
            refused(&format!("the system column {text}"))
        }
        Kind::Word if text == "tablesample" => refused("a sample"),
        Kind::String if MOMENTS.contains(&text.trim().to_ascii_lowercase().as_str()) => {
            refused("the time of evaluation")
        }
        Kind::Word | Kind::Quoted if calls && VOLATILE.contains(&text) => {
            Some(volatile(token.start, &format!("{text}()")))
        }
        _ => None,
    }
}

/// `*`, `s.*`, the table's own name as a value, or its columns by other names: what they give changes with
/// any column.
pub(crate) fn takes_whole_rows(tokens: &[Token], table: &TableRef) -> bool {
    let reference = table.alias.as_ref().unwrap_or(&table.name);
    let mut bare = 0_usize;
    let all = tokens.iter().enumerate().any(|(at, token)| {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let after = tokens.get(at + 1);
        let follows = |mark: &str| before.is_some_and(|token| token.is_mark(mark));
        if token.text == "*" {
            return before.is_some_and(|token| token.is_word("select"))
                || follows(",")
                || follows(".");
        }
        let is = token.is_identifier() && token.text == *reference && !follows(".");
        bare += usize::from(is && !after.is_some_and(|token| token.is_mark(".")));
        is && table.alias.is_some() && after.is_some_and(|token| token.is_mark("("))
    });
    // Once it stands in FROM, for each place that reads the table.
    let places = source_tables(tokens);
    let places = places.iter().filter(|t| t.alias.as_ref().unwrap_or(&t.name) == reference);
    all || bare > places.count()
}

impl Mapper for KeyedRead {
    fn declaration(&self) -> Declaration {
        Declaration {
            version: self.version.clone(),
            reads: self.columns.iter().map(|(name, oid)| Input::of(name, *oid)).collect(),
            outputs: self.outputs.clone(),
            rows: Count::Any,
        }
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        let same = |(name, oid): &(String, Oid)| {
            relation.column(name).is_some_and(|at| relation.columns[at].type_oid == *oid)
        };
        let changed = self.columns.iter().find(|column| !same(column));
        let what = match changed {
            Some((name, _)) => format!(
                "column \"{name}\" of {}, which the mapping reads, was dropped, renamed or retyped",
                self.table
            ),
            None if self.whole && relation.columns.len() != self.columns.len() => {
                format!("{} has other columns, and the mapping reads whole rows", self.table)
            }
            None => return Ok(()),
        };
        Err(Error::new(Code::ShapeChanged, what).at(self.place.clone()).remedy(format!(
            "change the mapping to the table's new shape, then start again: with --accept-mapping if \
             rows of the target stay as they are, else with --recopy {}",
            self.table
        )))
    }

    fn map(&self, _: &Tuple, _: &mut Rows) -> Result<Mapped> {
        Ok(Mapped::Read)
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::Column;

    use super::*;
    use crate::{TypeNames, parse};

    fn table() -> SourceTable {
        let column = |name: &str| Column {
            name: name.into(),
            type_oid: 25,
            type_modifier: -1,
            key: name == "id",
        };
        SourceTable {
            name: TableName::new("public", "s"),
            columns: ["id", "a", "b"].map(column).to_vec(),
            key: vec!["id".into()],
            types: TypeNames::default(),
            collated: Vec::new(),
            meant: Default::default(),
        }
    }

    fn read(select: &str) -> Result<KeyedRead> {
        let statement = parse("m.sql", &format!("INSERT INTO t {select}")).unwrap().remove(0);
        KeyedRead::new(&statement, &statement.source_tables()[0], &table(), &[], Vec::new())
    }

    #[test]
    fn only_named_columns_and_the_key_matter() {
        let some = read("SELECT id, regexp_replace(a, 'b', '') FROM s").unwrap();
        let reads = [Input::of("id", 25), Input::of("a", 25)];
        assert_eq!((some.declaration().reads, some.whole), (reads.to_vec(), false));
    }

    #[test]
    fn whole_rows_are_found() {
        for select in [
            "SELECT * FROM s",
            "SELECT id, x.* FROM s AS x",
            "SELECT id, to_jsonb(s) FROM s",
            "SELECT id, row_to_json(x, true) FROM s x",
        ] {
            assert!(read(select).unwrap().whole, "{select}");
        }
        for select in ["SELECT id, a * b FROM s", "SELECT id, count(*) FROM s, unnest(s.a)"] {
            assert!(!read(select).unwrap().whole, "{select}");
        }
    }

    #[test]
    fn what_is_not_in_the_rows_is_refused_where_it_stands() {
        for (select, place) in [
            ("SELECT id, 'today'::date FROM s", "m.sql:1:26"),
            ("SELECT id, xmin FROM s", "m.sql:1:26"),
            ("SELECT id FROM s TABLESAMPLE system (1)", "m.sql:1:32"),
            ("SELECT id, pg_catalog.now() FROM s", "m.sql:1:37"),
            ("SELECT id, regexp_replace(a, 'b', current_user) FROM s", "m.sql:1:49"),
            ("SELECT id, rank() OVER (ORDER BY a) FROM s", "m.sql:1:33"),
        ] {
            let error = read(select).unwrap_err();
            assert_eq!(error.code(), Code::NotStreamable, "{select}");
            assert_eq!(error.place(), Some(place), "{select}: {error}");
        }
    }

    #[test]
    fn functions_and_operators_are_named_with_their_places() {
        let text = "INSERT INTO t SELECT id, Lower(a) || b FROM s WHERE public.f(a) ~ 'x'";
        let statement = parse("m.sql", text).unwrap().remove(0);
        let named = KeyedRead::named(&statement);
        let found: Vec<_> = named.iter().map(|n| (n.name.as_str(), n.column, n.operator)).collect();
        assert_eq!(
            found,
            [("lower", 26, false), ("||", 35, true), ("f", 60, false), ("~", 65, true)]
        );
        let text = "INSERT INTO t SELECT pg_catalog.f(a) FROM s WHERE a NOT LIKE 'x'";
        let named = KeyedRead::named(&parse("m.sql", text).unwrap()[0]);
        let found: Vec<_> = named.iter().map(|n| (n.name.as_str(), n.qualified)).collect();
        assert_eq!(found, [("f", true), ("~~", false), ("!~~", false)]);
    }
}

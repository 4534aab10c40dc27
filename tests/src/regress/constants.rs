//! Constants of a SELECT as columns of its table, so that they are computed with, and fail, row by row.

use super::script::{Kind, lex};
use super::select::Words;

/// A constant that becomes a column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constant {
    /// Name of the column.
    pub(crate) name: String,
    /// Its value.
    pub(crate) sql: String,
    /// The type that the text is cast to.
    pub(crate) cast: Option<String>,
}

/// Types that a literal can follow.
const TYPES: &str = "bool boolean int2 int4 int8 smallint integer int bigint numeric decimal real \
    float4 float8 text varchar date time timestamp timestamptz timetz interval json jsonb uuid bytea \
    bpchar char";

/// Types whose name goes on, or that take modifiers: numbers behind them are no values.
const MODIFIED: &str = "bit varying character float precision zone";

/// Which constants become columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    None,
    /// Those that a cast follows or a type precedes, as text; the cast stays.
    Cast,
    /// The same with their casts, and numbers.
    Typed,
    /// Those, and plain strings as text.
    All,
}

impl Mode {
    pub(crate) const ALL: [Mode; 4] = [Mode::None, Mode::Cast, Mode::Typed, Mode::All];
}

/// The text with constants replaced by columns, and with columns that are named with their table, if
/// `joined`.
pub(crate) fn lifted(
    text: &str,
    mode: Mode,
    joined: bool,
    constants: &mut Vec<Constant>,
) -> String {
    let tokens = lex(text);
    let words = Words { text, tokens: &tokens };
    let mut column = |sql: String, cast: Option<&str>| {
        let known = constants.iter().find(|one| one.sql == sql && one.cast.as_deref() == cast);
        known.map(|constant| constant.name.clone()).unwrap_or_else(|| {
            let name = format!("regraft_c{}", constants.len() + 1);
            let cast = cast.map(str::to_owned);
            constants.push(Constant { name: name.clone(), sql, cast });
            name
        })
    };
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let one_of = |at: usize, list: &str| list.split_whitespace().any(|word| words.is(at, word));
    let mut replaced = String::new();
    let mut at = 0;
    // Byte that the text was taken to.
    let mut taken = 0;
    while at < tokens.len() {
        let start = at;
        let mut cast = |string: &str, name: &str| match mode {
            Mode::Cast => {
                format!("{}::{name}", column(format!("{string}::text"), Some(name)))
            }
            _ => column(format!("{string}::{name}"), None),
        };
        let found = match tokens[at].kind {
            Kind::Word | Kind::Quoted
                if joined
                    && words.is(at + 1, ".")
                    && !words.is(at + 3, ".")
                    && !words.is(at + 3, "(")
                    && matches!(kind(at + 2), Some(Kind::Word | Kind::Quoted)) =>
            {
                at += 3;
                Some(column(words.slice(start, at).to_owned(), None))
            }
            _ if mode == Mode::None => {
                at += 1;
                None
            }
            // type 'literal'
            Kind::Word if one_of(at, TYPES) && kind(at + 1) == Some(Kind::String) => {
                let name = words.slice(at, at + 1);
                let string = words.slice(at + 1, at + 2);
                at += 2;
                Some(cast(string, name))
            }
            Kind::String if words.is(at + 1, "::") => {
                let string = words.slice(at, at + 1);
                let end = type_end(&words, at + 2);
                let name = words.slice(at + 2, end);
                at = end;
                Some(cast(string, name))
            }
            // A name of a type with modifiers is passed over with them.
            Kind::Mark if words.is(at, "::") => {
                at = type_end(&words, at + 1);
                None
            }
            Kind::Word if words.is(at + 1, "(") && (one_of(at, TYPES) || one_of(at, MODIFIED)) => {
                at = words.after_group(at + 1);
                None
            }
            Kind::String if mode == Mode::All => {
                at += 1;
                Some(column(format!("{}::text", words.slice(start, at)), None))
            }
            Kind::Number if mode != Mode::Cast => {
                at += 1;
                Some(column(words.slice(start, at).to_owned(), None))
            }
            _ => {
                at += 1;
                None
            }
        };
        if let Some(found) = found {
            replaced.push_str(&text[taken..tokens[start].start]);
            replaced.push_str(&found);
            taken = tokens[at - 1].end;
        }
    }
    replaced.push_str(&text[taken..]);
    replaced
}

/// Index after the name of a type.
fn type_end(words: &Words<'_>, at: usize) -> usize {
    let mut end = at + 1;
    while words.is(end, ".") {
        end += 2;
    }
    for more in ["precision", "varying"] {
        end += usize::from(words.is(end, more));
    }
    if words.is(end, "(") {
        end = words.after_group(end);
    }
    if (words.is(end, "with") || words.is(end, "without")) && words.is(end + 1, "time") {
        end += 3;
    }
    while words.is(end, "[") {
        end = words.after_group(end);
    }
    end.min(words.tokens.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_become_columns() {
        let sql = "'1'::numeric(3, 1) + 2, upper('x'), date '2020-01-01', a::char(3)";
        let mut constants = Vec::new();
        for (mode, wanted) in Mode::ALL.into_iter().zip([
            sql,
            "regraft_c1::numeric(3, 1) + 2, upper('x'), regraft_c2::date, a::char(3)",
            "regraft_c3 + regraft_c4, upper('x'), regraft_c5, a::char(3)",
            "regraft_c3 + regraft_c4, upper(regraft_c6), regraft_c5, a::char(3)",
        ]) {
            assert_eq!(lifted(sql, mode, false, &mut constants), wanted);
        }
        assert_eq!(constants[0].cast.as_deref(), Some("numeric(3, 1)"));
        assert_eq!(constants[2].sql, "'1'::numeric(3, 1)");
    }
}

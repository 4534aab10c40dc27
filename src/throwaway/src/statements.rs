//! Takes a `mapping.sql` apart just far enough for the oracle: target, columns, SELECT.
//!
//! It is not regraft's parser on purpose: the oracle must not share the code that it judges.

/// One INSERT … SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedTable {
    /// The target table as it is written, quoted and qualified as there.
    pub target: String,
    /// The column list as it is written; empty when there is none.
    pub columns: Vec<String>,
    /// The SELECT, without the semicolon.
    pub select: String,
}

/// The INSERT … SELECT statements of a mapping file, in its order. Anything else is left out.
pub fn mapped_tables(mapping: &str) -> Vec<MappedTable> {
    split(mapping).iter().filter_map(|statement| mapped_table(statement)).collect()
}

fn mapped_table(statement: &str) -> Option<MappedTable> {
    let rest = keyword(keyword(statement, "insert")?, "into")?.trim_start();
    let end = name_end(rest);
    let (target, rest) = (rest.get(..end)?, rest.get(end..)?.trim_start());
    let (columns, rest) = match rest.strip_prefix('(') {
        // An opening parenthesis may also begin the query itself.
        Some(inner) if keyword(inner, "select").is_none() && keyword(inner, "with").is_none() => {
            let (list, rest) = inner.split_once(')')?;
            (list.split(',').map(|name| name.trim().to_owned()).collect(), rest)
        }
        _ => (Vec::new(), rest),
    };
    let select = rest.trim().to_owned();
    Some(MappedTable { target: target.to_owned(), columns, select })
}

/// What follows the keyword, if the text begins with it.
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (head.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

fn name_end(text: &str) -> usize {
    let mut quoted = false;
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => return index,
            c if c.is_whitespace() && !quoted => return index,
            _ => {}
        }
    }
    text.len()
}

/// Splits at semicolons and drops comments, both outside of quotes.
fn split(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = token_length(rest, c);
        let (token, after) = rest.split_at(length);
        rest = after;
        if token.starts_with("--") || token.starts_with("/*") {
            current.push(' ');
        } else if token == ";" {
            statements.push(std::mem::take(&mut current));
        } else {
            current.push_str(token);
        }
    }
    statements.push(current);
    statements.into_iter().filter(|text| !text.trim().is_empty()).collect()
}

/// Bytes of the comment or quoted text at the beginning, else of one character.
fn token_length(text: &str, first: char) -> usize {
    let until = |skip: usize, end: &str| {
        let found = text.get(skip..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |index| skip + index + end.len())
    };
    if text.starts_with("--") {
        return until(2, "\n");
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    match first {
        '\'' | '"' => until(1, first.encode_utf8(&mut [0; 4])),
        '$' => {
            let tag =
                text.get(1..).and_then(|rest| rest.find('$')).and_then(|at| text.get(..at + 2));
            let is_tag =
                |tag: &&str| tag.trim_matches('$').chars().all(|c| c.is_alphanumeric() || c == '_');
            tag.filter(is_tag).map_or(1, |tag| until(tag.len(), tag))
        }
        _ => first.len_utf8(),
    }
}

/// Block comments nest in PostgreSQL.
fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_columns_and_selects_are_found() {
        let mapping = "-- a; comment\nINSERT INTO a.\"B c\"(x, \"y\")\nSELECT 1, ';'::text -- end\n;\n\
                       /* b; /* nested; */ */ insert into plain select $q$;$q$ from s;\n";
        let found = mapped_tables(mapping);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].target, "a.\"B c\"");
        assert_eq!(found[0].columns, ["x", "\"y\""]);
        assert_eq!(found[0].select, "SELECT 1, ';'::text");
        assert_eq!(found[1].target, "plain");
        assert!(found[1].columns.is_empty());
        assert_eq!(found[1].select, "select $q$;$q$ from s");
    }

    #[test]
    fn a_query_in_parentheses_is_no_column_list() {
        let found = mapped_tables("INSERT INTO t (SELECT a FROM s)");
        assert!(found[0].columns.is_empty());
        assert_eq!(found[0].select, "(SELECT a FROM s)");
    }

    #[test]
    fn unfinished_quotes_and_comments_end_with_the_text() {
        for text in
            ["INSERT INTO t SELECT 'é", "/* é", "INSERT INTO \"", "$x$ é", "insert into t ("]
        {
            mapped_tables(text);
        }
    }
}

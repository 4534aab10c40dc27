//! The clauses of a SELECT that can be streamed: one table, lateral functions, WHERE.

use super::Stop;
use super::ast::{Ast, Item, Lateral, Node, Select};
use super::lexer::Token;
use super::parser::{Parser, later};

/// Reads the tokens of a SELECT.
pub(crate) fn select(tokens: &[Token]) -> Result<Select, Stop> {
    let mut parser = Parser::new(tokens);
    refuse_head(&mut parser)?;
    let items = items(&mut parser)?;
    if !parser.take_word("from") {
        refuse_tail(&parser)?;
        return Err(Stop::new(parser.offset(), "a SELECT without FROM reads no source table")
            .remedy("name the source table in FROM"));
    }
    let mut select = base(&mut parser, items)?;
    joins(&mut parser, &mut select)?;
    if parser.take_word("where") {
        select.filter = Some(parser.expression()?);
    }
    refuse_tail(&parser)?;
    Ok(select)
}

fn refuse_head(parser: &mut Parser<'_>) -> Result<(), Stop> {
    let at = parser.offset();
    if parser.word_is("with") {
        return Err(later(at, "a common table expression (WITH)"));
    }
    if parser.take_mark("(") {
        return Err(later(at, "a SELECT in parentheses"));
    }
    parser.expect_word("select")?;
    if parser.word_is("distinct") {
        return Err(later(parser.offset(), "DISTINCT"));
    }
    parser.take_word("all");
    Ok(())
}

fn refuse_tail(parser: &Parser<'_>) -> Result<(), Stop> {
    let Some(token) = parser.peek() else { return Ok(()) };
    for (word, what) in [
        ("group", "GROUP BY"),
        ("having", "HAVING"),
        ("window", "WINDOW"),
        ("order", "ORDER BY"),
        ("limit", "LIMIT"),
        ("offset", "OFFSET"),
        ("fetch", "FETCH FIRST"),
        ("for", "a row lock (FOR UPDATE)"),
        ("union", "UNION"),
        ("intersect", "INTERSECT"),
        ("except", "EXCEPT"),
        ("into", "SELECT INTO"),
    ] {
        if token.is_word(word) {
            return Err(later(token.start, what));
        }
    }
    Err(parser.unexpected("the end of the SELECT"))
}

/// As in PostgreSQL.
const ITEMS_MAX: usize = 1_664;

fn items(parser: &mut Parser<'_>) -> Result<Vec<Item>, Stop> {
    let mut items = Vec::new();
    loop {
        if items.len() == ITEMS_MAX {
            let what = format!("a SELECT has at most {ITEMS_MAX} columns");
            return Err(Stop::new(parser.offset(), what));
        }
        items.push(item(parser)?);
        if !parser.take_mark(",") {
            return Ok(items);
        }
    }
}

fn item(parser: &mut Parser<'_>) -> Result<Item, Stop> {
    let at = parser.offset();
    if parser.peek().is_some_and(|token| token.is_operator("*")) {
        parser.advance();
        return Ok(Item::Star { at, of: None });
    }
    let star = parser.ahead(1).is_some_and(|token| token.is_mark("."))
        && parser.ahead(2).is_some_and(|token| token.is_operator("*"));
    if star {
        let of = parser.name()?;
        parser.advance();
        parser.advance();
        return Ok(Item::Star { at, of: Some(of) });
    }
    let node = parser.expression()?;
    if parser.take_word("as") {
        parser.label()?;
    } else if parser.peek().is_some_and(Token::is_identifier)
        && !parser.word_is("from")
        && !parser.word_is("into")
    {
        parser.name()?;
    }
    Ok(Item::Expression(node))
}

fn base(parser: &mut Parser<'_>, items: Vec<Item>) -> Result<Select, Stop> {
    let table_at = parser.offset();
    if parser.take_word("only") {
        return Err(later(table_at, "FROM ONLY"));
    }
    if parser.peek().is_some_and(|token| token.is_mark("(")) {
        return Err(later(table_at, "a subquery or a join in parentheses in FROM"));
    }
    if parser.word_is("lateral") {
        return Err(Stop::new(table_at, "the source table has to come first in FROM")
            .remedy("put the table before the functions that read it"));
    }
    let mut table = (None, parser.name()?);
    if parser.take_mark(".") {
        table = (Some(table.1), parser.label()?);
    }
    if parser.peek().is_some_and(|token| token.is_mark("(")) {
        return Err(Stop::new(table_at, "the source table has to come first in FROM")
            .remedy("put the table before the functions that read it"));
    }
    if parser.peek().is_some_and(|token| token.is_operator("*")) {
        return Err(later(parser.offset(), "a star after a table's name"));
    }
    let alias = alias(parser)?;
    if parser.peek().is_some_and(|token| token.is_mark("(")) {
        return Err(later(parser.offset(), "an alias with column names for a table"));
    }
    if parser.word_is("tablesample") {
        return Err(later(parser.offset(), "TABLESAMPLE"));
    }
    Ok(Select { items, table, table_at, alias, laterals: Vec::new(), filter: None })
}

fn alias(parser: &mut Parser<'_>) -> Result<Option<String>, Stop> {
    if parser.take_word("as") {
        return parser.name().map(Some);
    }
    let follows = ["where", "tablesample", "with", "group", "order", "having", "window"]
        .iter()
        .any(|word| parser.word_is(word));
    if follows || !parser.peek().is_some_and(Token::is_identifier) {
        return Ok(None);
    }
    let mut probe = Parser::new(std::slice::from_ref(match parser.peek() {
        Some(token) => token,
        None => return Ok(None),
    }));
    // Reserved words (JOIN, LEFT, LIMIT, …) are no alias.
    if probe.name().is_err() {
        return Ok(None);
    }
    parser.name().map(Some)
}

fn joins(parser: &mut Parser<'_>, select: &mut Select) -> Result<(), Stop> {
    loop {
        let at = parser.offset();
        let (left, condition) = if parser.take_mark(",") {
            (false, false)
        } else if parser.take_word("cross") {
            parser.expect_word("join")?;
            (false, false)
        } else if parser.take_word("left") {
            parser.take_word("outer");
            parser.expect_word("join")?;
            (true, true)
        } else if parser.take_word("inner") {
            parser.expect_word("join")?;
            (false, true)
        } else if parser.take_word("join") {
            (false, true)
        } else if ["right", "full", "natural"].iter().any(|word| parser.word_is(word)) {
            return Err(later(at, "this kind of join"));
        } else {
            return Ok(());
        };
        let mut lateral = function(parser)?;
        lateral.left = left;
        if condition {
            if parser.word_is("using") {
                return Err(later(parser.offset(), "JOIN USING"));
            }
            parser.expect_word("on")?;
            let node = parser.expression()?;
            lateral.condition = (!matches!(node.kind, Ast::Bool(true))).then_some(node);
        }
        select.laterals.push(lateral);
    }
}

fn function(parser: &mut Parser<'_>) -> Result<Lateral, Stop> {
    let explicit = parser.take_word("lateral");
    let at = parser.offset();
    if parser.peek().is_some_and(|token| token.is_mark("(")) {
        if !parser.ahead(1).is_some_and(|token| token.is_word("values")) {
            return Err(later(at, "a subquery in FROM"));
        }
        let values = Some(values(parser)?);
        let (alias, columns) = names(parser)?;
        if alias.is_none() {
            return Err(parser.unexpected("an alias for VALUES"));
        }
        let function = String::new();
        return Ok(Lateral { values, function, ..lateral(at, explicit, alias, columns) });
    }
    if parser.word_is("rows") && parser.ahead(1).is_some_and(|token| token.is_word("from")) {
        return Err(later(at, "ROWS FROM"));
    }
    let mut name = parser.name()?;
    if parser.take_mark(".") {
        let schema = std::mem::replace(&mut name, parser.label()?);
        if schema != "pg_catalog" || !parser.peek().is_some_and(|token| token.is_mark("(")) {
            return Err(later(at, &format!("a join with a second table ({schema}.{name})")));
        }
    }
    if !parser.peek().is_some_and(|token| token.is_mark("(")) {
        let what = if explicit { "LATERAL" } else { "a join with a second table" };
        return Err(later(at, &format!("{what} ({name})")));
    }
    parser.expect_mark("(")?;
    let mut arguments: Vec<Node> = Vec::new();
    if !parser.take_mark(")") {
        loop {
            arguments.push(parser.expression()?);
            if !parser.take_mark(",") {
                break;
            }
        }
        parser.expect_mark(")")?;
    }
    let ordinality =
        parser.word_is("with") && parser.ahead(1).is_some_and(|token| token.is_word("ordinality"));
    if ordinality {
        parser.advance();
        parser.advance();
    }
    let (alias, columns) = names(parser)?;
    let found = lateral(at, explicit, alias, columns);
    Ok(Lateral { function: name, arguments, ordinality, ..found })
}

fn lateral(at: usize, explicit: bool, alias: Option<String>, columns: Vec<String>) -> Lateral {
    Lateral {
        at,
        function: String::new(),
        arguments: Vec::new(),
        values: None,
        explicit,
        ordinality: false,
        alias,
        columns,
        left: false,
        condition: None,
    }
}

/// `(VALUES (…), …)`
fn values(parser: &mut Parser<'_>) -> Result<Vec<Vec<Node>>, Stop> {
    parser.advance();
    parser.advance();
    let mut rows = Vec::new();
    loop {
        parser.expect_mark("(")?;
        rows.push(parser.list()?);
        if !parser.take_mark(",") {
            break;
        }
    }
    parser.expect_mark(")")?;
    Ok(rows)
}

/// An alias and names for columns.
fn names(parser: &mut Parser<'_>) -> Result<(Option<String>, Vec<String>), Stop> {
    let alias = alias(parser)?;
    let mut columns = Vec::new();
    if alias.is_some() && parser.take_mark("(") {
        loop {
            columns.push(parser.name()?);
            if !parser.take_mark(",") {
                break;
            }
        }
        if !parser.take_mark(")") {
            return Err(later(parser.offset(), "a column definition list"));
        }
    }
    Ok((alias, columns))
}

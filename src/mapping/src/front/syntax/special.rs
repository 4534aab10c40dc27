//! Expressions with a syntax of their own: CASE, CAST, SUBSTRING, OVERLAY, POSITION, TRIM.

use super::ast::{Ast, Index, Node, TypeRef};
use super::lexer::Kind;
use super::parser::{Parsed, Parser, later, power};

impl Parser<'_> {
    pub(super) fn case(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        let operand = if self.word_is("when") { None } else { Some(Box::new(self.expression()?)) };
        let mut arms = Vec::new();
        while self.take_word("when") {
            let when = self.expression()?;
            self.expect_word("then")?;
            arms.push((when, self.expression()?));
        }
        if arms.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise =
            if self.take_word("else") { Some(Box::new(self.expression()?)) } else { None };
        self.expect_word("end")?;
        Ok(Node { at, kind: Ast::Case { operand, arms, otherwise } })
    }

    pub(super) fn cast(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        let operand = Box::new(self.expression()?);
        self.expect_word("as")?;
        let type_ref = self.type_ref()?;
        self.refuse_fields(&type_ref)?;
        self.expect_mark(")")?;
        Ok(Node { at, kind: Ast::Cast(operand, type_ref) })
    }

    /// ANY, ALL or SOME with its parenthesis.
    pub(super) fn is_quantifier(&self) -> bool {
        ["any", "all", "some"].iter().any(|word| self.word_is(word))
            && self.ahead(1).is_some_and(|next| next.is_mark("("))
    }

    pub(super) fn array(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        if !self.peek().is_some_and(|token| token.is_mark("[")) {
            return Err(later(at, "ARRAY of a subquery"));
        }
        self.array_items(at, 0)
    }

    /// `[…]`, whose items may be such lists again.
    fn array_items(&mut self, at: usize, depth: usize) -> Parsed<Node> {
        self.expect_mark("[")?;
        if depth > 6 {
            return Err(later(at, "an array of more than six dimensions"));
        }
        let mut items = Vec::new();
        while !self.take_mark("]") {
            if !items.is_empty() {
                self.expect_mark(",")?;
            }
            let nested = self.peek().is_some_and(|token| token.is_mark("["));
            let start = self.offset();
            items.push(if nested {
                self.array_items(start, depth + 1)?
            } else {
                self.expression()?
            });
        }
        Ok(Node { at, kind: Ast::Array(items) })
    }

    /// Subscripts, after the first bracket.
    pub(super) fn subscripts(&mut self, base: Box<Node>) -> Parsed<Ast> {
        let mut indexes = Vec::new();
        loop {
            let starts =
                |parser: &Self, mark: &str| parser.peek().is_some_and(|token| token.is_mark(mark));
            let low = if starts(self, ":") { None } else { Some(self.expression()?) };
            let slice = self.take_mark(":");
            let high = if slice && !starts(self, "]") { Some(self.expression()?) } else { None };
            self.expect_mark("]")?;
            indexes.push(Index { slice, low, high });
            if !self.take_mark("[") {
                return Ok(Ast::Subscript(base, indexes));
            }
        }
    }

    /// Refuses `interval '1' day` and the like.
    pub(super) fn refuse_fields(&self, type_ref: &TypeRef) -> Parsed<()> {
        let field = ["year", "month", "day", "hour", "minute", "second"]
            .iter()
            .any(|word| self.word_is(word));
        if type_ref.name == "interval" && field {
            return Err(later(self.offset(), "an interval with fields"));
        }
        Ok(())
    }

    pub(super) fn extract(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        let field = match self.peek() {
            Some(token) if token.kind == Kind::String || token.is_identifier() => {
                Node { at: token.start, kind: Ast::Text(token.text.clone()) }
            }
            _ => return Err(self.unexpected("a field")),
        };
        self.advance();
        self.expect_word("from")?;
        let value = self.expression()?;
        self.expect_mark(")")?;
        Ok(Node { at, kind: Ast::Call("extract".into(), vec![field, value]) })
    }

    pub(super) fn substring(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        let mut arguments = vec![self.expression()?];
        if self.take_mark(",") {
            arguments.extend(self.list()?);
            return Ok(Node { at, kind: Ast::Call("substring".into(), arguments) });
        }
        if self.word_is("similar") {
            return Err(later(self.offset(), "SUBSTRING with SIMILAR"));
        }
        let from = if self.take_word("from") { Some(self.expression()?) } else { None };
        let length = if self.take_word("for") { Some(self.expression()?) } else { None };
        self.expect_mark(")")?;
        match (from, length) {
            (Some(from), length) => {
                arguments.push(from);
                arguments.extend(length);
            }
            (None, Some(length)) => {
                arguments.push(Node { at, kind: Ast::Number("1".into()) });
                arguments.push(length);
            }
            (None, None) => return Err(later(at, "SUBSTRING without a position")),
        }
        Ok(Node { at, kind: Ast::Call("substring".into(), arguments) })
    }

    pub(super) fn position(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        // The operands are of gram.y's b_expr, which knows no IN.
        let needle = self.binary(power::BETWEEN)?;
        self.expect_word("in")?;
        let hay = self.binary(power::BETWEEN)?;
        self.expect_mark(")")?;
        Ok(Node { at, kind: Ast::Call("position".into(), vec![hay, needle]) })
    }

    pub(super) fn overlay(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        let mut arguments = vec![self.expression()?];
        if self.take_mark(",") {
            arguments.extend(self.list()?);
        } else {
            self.expect_word("placing")?;
            arguments.push(self.expression()?);
            self.expect_word("from")?;
            arguments.push(self.expression()?);
            if self.take_word("for") {
                arguments.push(self.expression()?);
            }
            self.expect_mark(")")?;
        }
        Ok(Node { at, kind: Ast::Call("overlay".into(), arguments) })
    }

    pub(super) fn trim(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        self.expect_mark("(")?;
        let name = if self.take_word("leading") {
            "ltrim"
        } else if self.take_word("trailing") {
            "rtrim"
        } else {
            self.take_word("both");
            "btrim"
        };
        let mut arguments = Vec::new();
        if self.take_word("from") {
            arguments.extend(self.list()?);
        } else {
            let first = self.expression()?;
            if self.take_word("from") {
                arguments.extend(self.list()?);
                arguments.insert(1.min(arguments.len()), first);
            } else {
                arguments.push(first);
                if self.take_mark(",") {
                    arguments.extend(self.list()?);
                } else {
                    self.expect_mark(")")?;
                }
            }
        }
        Ok(Node { at, kind: Ast::Call(name.into(), arguments) })
    }
}

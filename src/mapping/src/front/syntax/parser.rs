//! Expressions, with the precedence of PostgreSQL's `gram.y`.

use super::Stop;
use super::ast::{Ast, Node, Test};
use super::lexer::{Kind, Token};

/// Binding powers, weakest first, as in the `%left`/`%nonassoc` table of `gram.y`.
pub(super) mod power {
    pub(in crate::front::syntax) const OR: u8 = 1;
    pub(in crate::front::syntax) const AND: u8 = 2;
    pub(in crate::front::syntax) const NOT: u8 = 3;
    pub(in crate::front::syntax) const IS: u8 = 4;
    pub(in crate::front::syntax) const COMPARISON: u8 = 5;
    pub(in crate::front::syntax) const BETWEEN: u8 = 6;
    pub(in crate::front::syntax) const OTHER: u8 = 7;
    pub(in crate::front::syntax) const ADD: u8 = 8;
    pub(in crate::front::syntax) const MULTIPLY: u8 = 9;
    pub(in crate::front::syntax) const POWER: u8 = 10;
    pub(in crate::front::syntax) const ZONE: u8 = 11;
    pub(in crate::front::syntax) const SIGN: u8 = 13;
    pub(in crate::front::syntax) const CAST: u8 = 15;
}

/// Nesting beyond which an expression is refused rather than recursed into.
const DEPTH_MAX: usize = 100;

/// Height of an expression beyond which it is refused, because evaluating it is recursive, too: a chain
/// of operators is as high as it is long.
const HEIGHT_MAX: usize = 150;

/// Words that end an expression and are never a column name by themselves.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "asc",
    "both",
    "case",
    "collate",
    "cross",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "fetch",
    "for",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "notnull",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "returning",
    "right",
    "select",
    "similar",
    "some",
    "then",
    "to",
    "trailing",
    "union",
    "using",
    "when",
    "where",
    "window",
    "with",
    "ilike",
    "between",
];

/// Words that stand for a value that depends on the time or the session.
pub(crate) const SESSION_WORDS: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// That a construct is not evaluated here.
pub(crate) fn later(at: usize, what: &str) -> Stop {
    Stop::new(at, format!("{what} cannot be streamed"))
}

/// That a function has another value each time.
pub(crate) fn volatile(at: usize, name: &str) -> Stop {
    Stop::new(
        at,
        format!(
            "{name} gives another value each time or in each session, so that a row copied and the \
             same row streamed would differ; it cannot be streamed"
        ),
    )
    .remedy(
        "take the value from a column of the source, or leave the column out and give it a DEFAULT \
         in the target table",
    )
}

pub(crate) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Offset to report when the text ends too early.
    end: usize,
    depth: usize,
    /// Height of the highest expression since it was set to 0.
    height: usize,
}

fn negation(kind: Ast, negated: bool, at: usize) -> Ast {
    if negated { Ast::Not(Box::new(Node { at, kind })) } else { kind }
}

pub(super) type Parsed<T> = Result<T, Stop>;

impl<'a> Parser<'a> {
    pub(crate) fn new(tokens: &'a [Token]) -> Self {
        let end = tokens.last().map_or(0, |token| token.end);
        Self { tokens, at: 0, end, depth: 0, height: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(crate) fn ahead(&self, n: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + n)
    }

    pub(crate) fn offset(&self) -> usize {
        self.peek().map_or(self.end, |token| token.start)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    pub(crate) fn word_is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found = self.word_is(word);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn take_mark(&mut self, mark: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_mark(mark));
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect_mark(&mut self, mark: &str) -> Parsed<()> {
        if self.take_mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("\"{mark}\""))) }
    }

    pub(crate) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(&word.to_ascii_uppercase())) }
    }

    pub(crate) fn unexpected(&self, wanted: &str) -> Stop {
        match self.peek() {
            Some(token) if token.kind == Kind::String => {
                Stop::new(token.start, format!("a string stands where {wanted} is expected"))
            }
            Some(token) => Stop::new(
                token.start,
                format!("\"{}\" stands where {wanted} is expected", token.text),
            ),
            None => Stop::new(self.end, format!("the text ends where {wanted} is expected")),
        }
    }

    /// A name; reserved words are none unless quoted.
    pub(crate) fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(token)
                if token.kind == Kind::Quoted
                    || (token.kind == Kind::Word && !RESERVED.contains(&token.text.as_str())) =>
            {
                self.advance();
                Ok(token.text.clone())
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// A name after AS or a dot, where every word is allowed.
    pub(crate) fn label(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(token) if token.is_identifier() => {
                self.advance();
                Ok(token.text.clone())
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(crate) fn expression(&mut self) -> Parsed<Node> {
        self.binary(0)
    }

    /// An expression of operators that bind tighter than `floor`.
    pub(super) fn binary(&mut self, floor: u8) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let highest = std::mem::take(&mut self.height);
        let mut left = self.prefix(floor)?;
        let mut height = self.height + 1;
        // Set after an operator that does not chain (`a < b < c`).
        let mut closed = None;
        while let Some(token) = self.peek() {
            let Some(power) = self.power_of(token) else { break };
            if power <= floor {
                break;
            }
            if closed == Some(power) {
                return Err(Stop::new(
                    token.start,
                    format!("\"{}\" does not chain; add parentheses", token.text),
                ));
            }
            let chains = !matches!(power, power::IS | power::COMPARISON | power::BETWEEN);
            left = self.infix(left, token, power)?;
            height = height.max(self.height) + 1;
            if height > HEIGHT_MAX {
                return Err(self.too_deep());
            }
            closed = if chains { None } else { Some(power) };
        }
        self.height = highest.max(height);
        self.depth -= 1;
        Ok(left)
    }

    fn too_deep(&self) -> Stop {
        Stop::new(self.offset(), "this expression is nested too deeply")
    }

    fn power_of(&self, token: &Token) -> Option<u8> {
        if token.is_mark("[") {
            return Some(power::CAST);
        }
        match (token.kind, token.text.as_str()) {
            (Kind::Operator, "::") => Some(power::CAST),
            (Kind::Operator, "^") => Some(power::POWER),
            (Kind::Operator, "*" | "/" | "%") => Some(power::MULTIPLY),
            (Kind::Operator, "+" | "-") => Some(power::ADD),
            (Kind::Operator, "<" | ">" | "=" | "<=" | ">=" | "<>") => Some(power::COMPARISON),
            (Kind::Operator, _) => Some(power::OTHER),
            (Kind::Word, "or") => Some(power::OR),
            (Kind::Word, "and") => Some(power::AND),
            (Kind::Word, "is" | "isnull" | "notnull") => Some(power::IS),
            (Kind::Word, "between" | "in" | "like" | "ilike" | "similar") => Some(power::BETWEEN),
            (Kind::Word, "not") => {
                let next = self.ahead(1)?;
                ["between", "in", "like", "ilike", "similar"]
                    .iter()
                    .any(|word| next.is_word(word))
                    .then_some(power::BETWEEN)
            }
            (Kind::Word, "collate") => Some(power::CAST),
            (Kind::Word, "at") if self.ahead(1).is_some_and(|next| next.is_word("time")) => {
                Some(power::ZONE)
            }
            (Kind::Word, "operator") => Some(power::OTHER),
            _ => None,
        }
    }

    fn infix(&mut self, left: Node, token: &'a Token, power: u8) -> Parsed<Node> {
        let at = token.start;
        self.advance();
        let boxed = Box::new(left);
        let kind = match (token.kind, token.text.as_str()) {
            (Kind::Operator, "::") => {
                let start = boxed.at;
                let type_ref = self.type_ref()?;
                self.refuse_fields(&type_ref)?;
                return Ok(Node { at: start, kind: Ast::Cast(boxed, type_ref) });
            }
            (Kind::Operator, text) if self.is_quantifier() => {
                let all = self.word_is("all");
                self.advance();
                let right = Box::new(self.parenthesis(at)?);
                Ast::Quantified { left: boxed, operator: text.to_owned(), right, all }
            }
            (Kind::Operator, text) => {
                let right = self.binary(power)?;
                Ast::Binary(text.to_owned(), boxed, Box::new(right))
            }
            (Kind::Word, "and") => Ast::And(boxed, Box::new(self.binary(power)?)),
            (Kind::Word, "or") => Ast::Or(boxed, Box::new(self.binary(power)?)),
            (Kind::Word, "isnull") => Ast::Is { operand: boxed, test: Test::Null, negated: false },
            (Kind::Word, "notnull") => Ast::Is { operand: boxed, test: Test::Null, negated: true },
            (Kind::Word, "is") => self.is(boxed, at)?,
            (Kind::Word, "not") => {
                let Some(word) = self.peek() else { return Err(self.unexpected("an operator")) };
                self.advance();
                self.matching(boxed, word, true)?
            }
            (Kind::Word, "collate") => return Err(later(at, "COLLATE")),
            (Kind::Word, "at") => {
                self.expect_word("time")?;
                self.expect_word("zone")?;
                let zone = self.binary(power::ZONE)?;
                Ast::Call("timezone".into(), vec![zone, *boxed])
            }
            (Kind::Word, "operator") => return Err(later(at, "OPERATOR()")),
            (Kind::Punctuation, _) => self.subscripts(boxed)?,
            _ => self.matching(boxed, token, false)?,
        };
        Ok(Node { at, kind })
    }

    fn is(&mut self, operand: Box<Node>, at: usize) -> Parsed<Ast> {
        let negated = self.take_word("not");
        if self.take_word("distinct") {
            self.expect_word("from")?;
            let right = Box::new(self.binary(power::IS)?);
            return Ok(Ast::Distinct { left: operand, right, negated });
        }
        for (word, test) in [
            ("null", Test::Null),
            ("true", Test::True),
            ("false", Test::False),
            ("unknown", Test::Unknown),
        ] {
            if self.take_word(word) {
                return Ok(Ast::Is { operand, test, negated });
            }
        }
        Err(later(at, "this IS test"))
    }

    /// BETWEEN, IN and LIKE.
    fn matching(&mut self, operand: Box<Node>, word: &Token, negated: bool) -> Parsed<Ast> {
        let at = word.start;
        match word.text.as_str() {
            "between" => {
                let symmetric = self.take_word("symmetric");
                if !symmetric {
                    self.take_word("asymmetric");
                }
                let low = Box::new(self.binary(power::BETWEEN)?);
                self.expect_word("and")?;
                let high = Box::new(self.binary(power::BETWEEN)?);
                Ok(negation(Ast::Between { operand, low, high, symmetric }, negated, at))
            }
            "in" => {
                self.expect_mark("(")?;
                if self.word_is("select") || self.word_is("with") || self.word_is("values") {
                    return Err(later(word.start, "a subquery"));
                }
                Ok(Ast::In { operand, list: self.list()?, negated })
            }
            "like" | "ilike" => {
                let insensitive = word.text == "ilike";
                if self.word_is("any") || self.word_is("all") || self.word_is("some") {
                    return Err(later(word.start, "LIKE ANY or ALL"));
                }
                let (pattern, escape) = self.pattern()?;
                let like = Ast::Like { operand, pattern, escape, insensitive };
                Ok(negation(like, negated, at))
            }
            _ => {
                self.expect_word("to")?;
                let (pattern, escape) = self.pattern()?;
                Ok(negation(Ast::Similar { operand, pattern, escape }, negated, at))
            }
        }
    }

    /// A pattern and the ESCAPE after it.
    fn pattern(&mut self) -> Parsed<(Box<Node>, Option<Box<Node>>)> {
        let pattern = Box::new(self.binary(power::BETWEEN)?);
        let escape = match self.take_word("escape") {
            true => Some(Box::new(self.binary(power::BETWEEN)?)),
            false => None,
        };
        Ok((pattern, escape))
    }

    /// Expressions up to a closing parenthesis, at least one.
    pub(super) fn list(&mut self) -> Parsed<Vec<Node>> {
        let mut list = vec![self.expression()?];
        while self.take_mark(",") {
            list.push(self.expression()?);
        }
        self.expect_mark(")")?;
        Ok(list)
    }

    fn prefix(&mut self, floor: u8) -> Parsed<Node> {
        let Some(token) = self.peek() else { return Err(self.unexpected("an expression")) };
        let at = token.start;
        match (token.kind, token.text.as_str()) {
            (Kind::Operator, "-" | "+") => {
                self.advance();
                let sign = if token.text == "-" { "-" } else { "+" };
                let operand = Box::new(self.binary(power::SIGN)?);
                Ok(Node { at, kind: Ast::Unary(sign, operand) })
            }
            (Kind::Operator, "~") => {
                self.advance();
                let operand = Box::new(self.binary(power::OTHER)?);
                Ok(Node { at, kind: Ast::Unary("~", operand) })
            }
            (Kind::Operator, text) => Err(later(at, &format!("the prefix operator {text}"))),
            (Kind::Word, "not") => {
                if floor >= power::NOT {
                    return Err(Stop::new(at, "NOT needs parentheses here"));
                }
                self.advance();
                let operand = Box::new(self.binary(power::NOT - 1)?);
                Ok(Node { at, kind: Ast::Not(operand) })
            }
            _ => self.primary(token),
        }
    }

    fn primary(&mut self, token: &'a Token) -> Parsed<Node> {
        let at = token.start;
        let kind = match token.kind {
            Kind::Number => {
                self.advance();
                Ast::Number(token.text.clone())
            }
            Kind::String => {
                self.advance();
                Ast::Text(token.text.clone())
            }
            Kind::Foreign => return Err(later(at, &token.text)),
            Kind::Punctuation if token.text == "(" => return self.parenthesis(at),
            Kind::Word => return self.word(token),
            Kind::Quoted => return self.reference(token),
            _ => return Err(self.unexpected("an expression")),
        };
        Ok(Node { at, kind })
    }

    pub(super) fn parenthesis(&mut self, at: usize) -> Parsed<Node> {
        self.advance();
        if self.word_is("select") || self.word_is("with") || self.word_is("values") {
            return Err(later(at, "a subquery"));
        }
        let node = self.expression()?;
        if self.peek().is_some_and(|token| token.is_mark(",")) {
            return Err(later(at, "a row constructor"));
        }
        self.expect_mark(")")?;
        if self.peek().is_some_and(|token| token.is_mark(".")) {
            return Err(later(at, "a field of a composite value"));
        }
        Ok(node)
    }

    fn word(&mut self, token: &'a Token) -> Parsed<Node> {
        let at = token.start;
        let word = token.text.as_str();
        let call = self.ahead(1).is_some_and(|next| next.is_mark("("));
        let constant = match word {
            "true" => Some(Ast::Bool(true)),
            "false" => Some(Ast::Bool(false)),
            "null" => Some(Ast::Null),
            _ => None,
        };
        if let Some(kind) = constant {
            self.advance();
            return Ok(Node { at, kind });
        }
        match word {
            "case" => self.case(at),
            "cast" if call => self.cast(at),
            "exists" if call => Err(later(at, "EXISTS")),
            "array" => self.array(at),
            "row" if call => Err(later(at, "a row constructor")),
            "extract" if call => self.extract(at),
            "normalize" | "grouping" | "xmlconcat" | "xmlelement" | "xmlexists" | "xmlforest"
            | "xmlparse" | "xmlpi" | "xmlroot" | "xmlserialize" | "xmltable" | "json_object"
            | "json_array" | "json_value" | "json_query" | "json_exists" | "json_table"
            | "json_scalar" | "json_serialize" | "json"
                if call =>
            {
                Err(later(at, &format!("{word}()")))
            }
            "substring" if call => self.substring(at),
            "overlay" if call => self.overlay(at),
            "position" if call => self.position(at),
            "trim" if call => self.trim(at),
            _ if SESSION_WORDS.contains(&word) => Err(volatile(at, &word.to_ascii_uppercase())),
            _ => {
                if let Some(typed) = self.typed_literal(token)? {
                    return Ok(typed);
                }
                // Key words, and functions all the same.
                let function = call && matches!(word, "left" | "right");
                if RESERVED.contains(&word) && !function {
                    return Err(self.unexpected("an expression"));
                }
                self.reference(token)
            }
        }
    }

    /// `date '2020-01-01'`: a type and a string.
    fn typed_literal(&mut self, token: &'a Token) -> Parsed<Option<Node>> {
        let start = self.at;
        if RESERVED.contains(&token.text.as_str()) {
            return Ok(None);
        }
        let Ok(type_ref) = self.type_ref() else {
            self.at = start;
            return Ok(None);
        };
        match self.peek() {
            Some(text) if text.kind == Kind::String && !type_ref.array => {
                self.advance();
                let literal = Node { at: text.start, kind: Ast::Text(text.text.clone()) };
                self.refuse_fields(&type_ref)?;
                let kind = Ast::Cast(Box::new(literal), type_ref);
                Ok(Some(Node { at: token.start, kind }))
            }
            _ => {
                self.at = start;
                Ok(None)
            }
        }
    }

    /// A column or a function call.
    fn reference(&mut self, token: &'a Token) -> Parsed<Node> {
        let at = token.start;
        let mut parts = vec![token.text.clone()];
        self.advance();
        while self.take_mark(".") {
            if self.peek().is_some_and(|token| token.is_operator("*")) {
                return Err(later(at, "a whole row as a value"));
            }
            parts.push(self.label()?);
        }
        if self.peek().is_some_and(|token| token.is_mark("(")) {
            return self.call(at, parts);
        }
        if parts.len() > 3 {
            return Err(Stop::new(at, "a column has at most three parts: schema, table, column"));
        }
        Ok(Node { at, kind: Ast::Column(parts) })
    }

    fn call(&mut self, at: usize, mut parts: Vec<String>) -> Parsed<Node> {
        if parts.len() == 2 && parts[0] == "pg_catalog" {
            parts.remove(0);
        }
        let [name] = parts.as_slice() else {
            return Err(later(at, &format!("the function {}", parts.join("."))));
        };
        let name = name.clone();
        self.expect_mark("(")?;
        for (word, what) in
            [("distinct", "DISTINCT in a call"), ("all", "ALL in a call"), ("variadic", "VARIADIC")]
        {
            if self.word_is(word) {
                return Err(later(self.offset(), what));
            }
        }
        if self.peek().is_some_and(|token| token.is_operator("*")) {
            return Err(later(at, &format!("the aggregate {name}(*)")));
        }
        if self.ahead(1).is_some_and(|t| t.is_operator("=>") || t.is_operator(":=")) {
            return Err(later(self.offset(), "a named argument"));
        }
        let mut arguments = Vec::new();
        if !self.take_mark(")") {
            arguments.push(self.expression()?);
            while self.take_mark(",") {
                arguments.push(self.expression()?);
            }
            if self.word_is("order") {
                return Err(later(self.offset(), "ORDER BY in an aggregate"));
            }
            self.expect_mark(")")?;
        }
        for (word, what) in
            [("over", "a window function"), ("filter", "FILTER"), ("within", "WITHIN GROUP")]
        {
            let opens = self.ahead(1).is_some_and(|t| t.is_mark("(") || t.is_identifier());
            if self.word_is(word) && opens {
                return Err(later(self.offset(), what));
            }
        }
        Ok(Node { at, kind: Ast::Call(name, arguments) })
    }
}

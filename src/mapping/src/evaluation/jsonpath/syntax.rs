//! Reading a jsonpath. What is not read here may still be one.

/// Parentheses and brackets deeper than this are refused rather than recursed into.
const DEPTH_MAX: usize = 50;
/// More predicates in one path are refused: each makes what is recursed into deeper by one.
const LINKS_MAX: usize = 200;

/// A step from an item to others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    AnyKey,
    AnyElement,
    /// Ranges of elements, from and to.
    Elements(Vec<(Place, Place)>),
    Filter(Predicate),
    Type,
    Size,
}

/// A subscript.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    At(i64),
    Last,
}

/// Where a path starts, and its steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walk {
    /// From `@`, the item that a filter asks about, and not from `$`.
    pub(super) current: bool,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Walk(Walk),
    /// A scalar as jsonb writes it.
    Literal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    StartsWith,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Predicate {
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    Exists(Walk),
    Compare(Operator, Operand, Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whole {
    Walk(Walk),
    Predicate(Predicate),
}

struct Reader<'p> {
    rest: &'p str,
    depth: usize,
    links: usize,
    /// Inside a filter, where `@` means something.
    inside: bool,
}

/// Reads a path in lax mode, `None` for what is not taken.
pub(super) fn read(path: &str) -> Option<Whole> {
    let mut reader = Reader { rest: path, depth: 0, links: 0, inside: false };
    reader.word("lax");
    let start = reader.rest;
    if let Some(walk) = reader.walk()
        && reader.space().is_empty()
    {
        return Some(Whole::Walk(walk));
    }
    let mut reader = Reader { rest: start, depth: 0, links: 0, inside: false };
    let predicate = reader.either()?;
    reader.space().is_empty().then_some(Whole::Predicate(predicate))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'p> Reader<'p> {
    /// What is left, without white space before it.
    fn space(&mut self) -> &'p str {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        self.rest
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = self.space().strip_prefix(mark);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.space().strip_prefix(word).filter(|rest| !rest.starts_with(is_word));
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn walk(&mut self) -> Option<Walk> {
        let current = self.inside && self.take("@");
        if !current && !self.take("$") {
            return None;
        }
        // `$name` is a variable.
        if self.rest.starts_with(|c| is_word(c) || c == '"' || c == '$') {
            return None;
        }
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        Some(Walk { current, steps })
    }

    /// The next step; `None` inside when there is none.
    fn step(&mut self) -> Option<Option<Step>> {
        Some(Some(if self.take("?") {
            if !self.take("(") {
                return None;
            }
            let outside = std::mem::replace(&mut self.inside, true);
            let predicate = self.either()?;
            self.inside = outside;
            if !self.take(")") {
                return None;
            }
            Step::Filter(predicate)
        } else if self.take("[") {
            self.subscript()?
        } else if self.take(".") {
            if self.take("*") {
                // Not the one that goes any number of levels.
                if self.rest.starts_with('*') {
                    return None;
                }
                Step::AnyKey
            } else {
                let key = self.key()?;
                if self.take("(") {
                    if !self.take(")") {
                        return None;
                    }
                    match key.as_str() {
                        "type" => Step::Type,
                        "size" => Step::Size,
                        _ => return None,
                    }
                } else {
                    Step::Key(key)
                }
            }
        } else {
            return Some(None);
        }))
    }

    fn key(&mut self) -> Option<String> {
        if self.space().starts_with('"') {
            let key = self.string()?;
            // `."type"()`
            return (!self.space().starts_with('(')).then_some(key);
        }
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        let plain = key.starts_with(|c: char| is_word(c) && !c.is_numeric())
            && !rest.starts_with(['\\', '/', '$', '"', '@', '#', '%'])
            && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii()));
        self.rest = rest;
        plain.then(|| key.to_owned())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<String> {
        let (text, rest) = self.space().strip_prefix('"')?.split_once('"')?;
        self.rest = rest;
        let plain = !text.contains(|c: char| c == '\\' || c.is_control());
        plain.then(|| text.to_owned())
    }

    fn subscript(&mut self) -> Option<Step> {
        if self.take("*") {
            return self.take("]").then_some(Step::AnyElement);
        }
        let mut ranges = Vec::new();
        loop {
            let from = self.place()?;
            let to = if self.word("to") { self.place()? } else { from };
            ranges.push((from, to));
            if self.take("]") {
                return Some(Step::Elements(ranges));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn place(&mut self) -> Option<Place> {
        if self.word("last") {
            return Some(Place::Last);
        }
        let digits = self.number()?;
        digits.parse::<i32>().ok().map(|index| Place::At(i64::from(index)))
    }

    /// A number as JSON writes it, without sign.
    fn number(&mut self) -> Option<String> {
        let text = self.space();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(text);
        if end == 0 || (end > 1 && text.starts_with('0')) {
            return None;
        }
        if text[end..].starts_with('.') {
            let more = digits(&text[end + 1..]);
            end += 1 + more;
            if more == 0 {
                return None;
            }
        }
        self.rest = &text[end..];
        // Exponents, underscores, accessors.
        let ends = !self.rest.starts_with(|c| is_word(c) || c == '.');
        ends.then(|| text[..end].to_owned())
    }

    fn operand(&mut self) -> Option<Operand> {
        for word in ["true", "false", "null"] {
            if self.word(word) {
                return Some(Operand::Literal(word.to_owned()));
            }
        }
        let text = self.space();
        if text.starts_with(['$', '@']) {
            return self.walk().map(Operand::Walk);
        }
        if text.starts_with('"') {
            let mut literal = String::new();
            crate::values::jsonb::write_string(&self.string()?, &mut literal);
            return Some(Operand::Literal(literal));
        }
        let sign = if self.take("-") { "-" } else { "" };
        Some(Operand::Literal(format!("{sign}{}", self.number()?)))
    }

    fn either(&mut self) -> Option<Predicate> {
        let mut left = self.both()?;
        while self.take("||") {
            self.links += 1;
            if self.links > LINKS_MAX {
                return None;
            }
            left = Predicate::Or(Box::new(left), Box::new(self.both()?));
        }
        Some(left)
    }

    fn both(&mut self) -> Option<Predicate> {
        let mut left = self.single()?;
        while self.take("&&") {
            self.links += 1;
            if self.links > LINKS_MAX {
                return None;
            }
            left = Predicate::And(Box::new(left), Box::new(self.single()?));
        }
        Some(left)
    }

    fn single(&mut self) -> Option<Predicate> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let found = if self.space().starts_with('(') || self.rest.starts_with("exists") {
            self.delimited()?
        } else if self.take("!") {
            Predicate::Not(Box::new(self.delimited()?))
        } else {
            let left = self.operand()?;
            let operator = self.operator()?;
            let right = self.operand()?;
            // Only a literal string may be a beginning.
            let string = matches!(&right, Operand::Literal(text) if text.starts_with('"'));
            if operator == Operator::StartsWith && !string {
                return None;
            }
            Predicate::Compare(operator, left, right)
        };
        self.depth -= 1;
        Some(found)
    }

    fn delimited(&mut self) -> Option<Predicate> {
        let found = if self.word("exists") {
            if !self.take("(") {
                return None;
            }
            Predicate::Exists(self.walk()?)
        } else {
            if !self.take("(") {
                return None;
            }
            self.either()?
        };
        (self.take(")") && !self.space().starts_with("is")).then_some(found)
    }

    fn operator(&mut self) -> Option<Operator> {
        if self.word("starts") {
            return self.word("with").then_some(Operator::StartsWith);
        }
        let known = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        known.iter().find(|(mark, _)| self.take(mark)).map(|(_, operator)| *operator)
    }
}

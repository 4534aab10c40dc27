//! PostgreSQL's regular expressions (`re_syntax`, flavour ARE), as far as they are taken here.
//!
//! <https://www.postgresql.org/docs/current/functions-matching.html#POSIX-SYNTAX-DETAILS>

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, Look};

/// Greatest count in braces (`DUPMAX`).
const COUNT_MAX: u32 = 255;
/// Parentheses deeper than this are refused rather than recursed into.
const DEPTH_MAX: usize = 50;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    /// One character of a set.
    Set(ClassUnicode),
    Look(Look),
    Concat(Vec<Node>),
    /// At least two branches.
    Alternate(Vec<Node>),
    /// A capturing group with its number, from 1.
    Group(u32, Box<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        /// `None` without limit.
        max: Option<u32>,
        greedy: bool,
        /// `{m}`, which has no preference of its own.
        exact: bool,
    },
}

impl Node {
    /// Characters, with repetitions written out.
    pub(super) fn atoms(&self) -> usize {
        match self {
            Self::Empty | Self::Set(_) | Self::Look(_) => 1,
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes.iter().map(Self::atoms).sum(),
            Self::Group(_, node) => node.atoms(),
            Self::Repeat { node, min, max, .. } => {
                let times = max.unwrap_or(*min).max(1);
                node.atoms().saturating_mul(times as usize)
            }
        }
    }
}

/// What flags and the database decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Letters match in either case.
    pub(crate) insensitive: bool,
    /// `.` and `[^…]` do not match a newline.
    pub(crate) stops: bool,
    /// `^` and `$` match at newlines too.
    pub(crate) lines: bool,
    /// The pattern is a plain string.
    pub(crate) quoted: bool,
    /// The database's character classes are those of C.
    pub(crate) c_ctype: bool,
}

/// A pattern that was read.
pub(super) struct Read {
    pub(super) node: Node,
    /// Number of capturing groups.
    pub(super) groups: u32,
    /// It asks for character classes, which depend on the locale beyond ASCII.
    pub(super) localized: bool,
}

/// Why a pattern is not taken.
pub(super) type Refused = &'static str;

struct Reader<'p> {
    rest: std::iter::Peekable<std::str::Chars<'p>>,
    options: Options,
    groups: u32,
    depth: usize,
    localized: bool,
}

/// Applies flags as functions take them, or as they stand in `(?…)`.
pub(super) fn flags(options: &mut Options, letters: &str) -> Result<(), Refused> {
    for letter in letters.chars() {
        match letter {
            'i' => options.insensitive = true,
            'c' => options.insensitive = false,
            'n' | 'm' => (options.stops, options.lines) = (true, true),
            'p' => (options.stops, options.lines) = (true, false),
            'w' => (options.stops, options.lines) = (false, true),
            's' => (options.stops, options.lines) = (false, false),
            't' => {}
            'q' => options.quoted = true,
            _ => return Err("a flag other than c, g, i, m, n, p, q, s, t, w"),
        }
    }
    Ok(())
}

/// Reads a pattern.
pub(super) fn read(pattern: &str, mut options: Options) -> Result<Read, Refused> {
    let mut text = pattern;
    if !options.quoted {
        if let Some(rest) = text.strip_prefix("***=") {
            (options.quoted, text) = (true, rest);
        } else if let Some(rest) = text.strip_prefix("***:") {
            text = rest;
        }
    }
    if !options.quoted
        && let Some(rest) = text.strip_prefix("(?")
        && rest.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        let (letters, rest) = rest.split_once(')').ok_or("options without a parenthesis")?;
        flags(&mut options, letters)?;
        text = rest;
    }
    let mut reader =
        Reader { rest: text.chars().peekable(), options, groups: 0, depth: 0, localized: false };
    let node = if options.quoted { reader.plain()? } else { reader.branches()? };
    if reader.rest.next().is_some() {
        return Err("a closing parenthesis too many");
    }
    Ok(Read { node, groups: reader.groups, localized: reader.localized })
}

fn class(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)))
}

/// The ASCII members of a class, which is what the locale C has of it.
fn named(name: &str) -> Option<ClassUnicode> {
    Some(class(match name {
        "alpha" => &[('a', 'z'), ('A', 'Z')],
        "lower" => &[('a', 'z')],
        "upper" => &[('A', 'Z')],
        "digit" => &[('0', '9')],
        "alnum" => &[('0', '9'), ('a', 'z'), ('A', 'Z')],
        "word" => &[('0', '9'), ('a', 'z'), ('A', 'Z'), ('_', '_')],
        "space" => &[(' ', ' '), ('\t', '\r')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "print" => &[(' ', '~')],
        "graph" => &[('!', '~')],
        // The same in every locale.
        "blank" => &[(' ', ' '), ('\t', '\t')],
        "xdigit" => &[('0', '9'), ('a', 'f'), ('A', 'F')],
        _ => return None,
    }))
}

impl Reader<'_> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    /// All that is left, as characters.
    fn plain(&mut self) -> Result<Node, Refused> {
        let mut list = Vec::new();
        while let Some(c) = self.rest.next() {
            list.push(self.literal(c)?);
        }
        Ok(Node::Concat(list))
    }

    fn branches(&mut self) -> Result<Node, Refused> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("parentheses nested too deeply");
        }
        let mut list = vec![self.branch()?];
        while self.take('|') {
            list.push(self.branch()?);
        }
        self.depth -= 1;
        Ok(if list.len() == 1 { list.remove(0) } else { Node::Alternate(list) })
    }

    fn branch(&mut self) -> Result<Node, Refused> {
        let mut list = Vec::new();
        while let Some(c) = self.rest.peek().copied() {
            if c == '|' || (c == ')' && self.depth > 1) {
                break;
            }
            self.rest.next();
            let atom = self.atom(c)?;
            list.push(self.quantified(atom)?);
        }
        Ok(match list.len() {
            0 => Node::Empty,
            1 => list.remove(0),
            _ => Node::Concat(list),
        })
    }

    fn atom(&mut self, first: char) -> Result<Node, Refused> {
        Ok(match first {
            '(' if self.take('?') => {
                if !self.take(':') {
                    return Err("a look at what is around");
                }
                let inner = self.branches()?;
                self.close()?;
                inner
            }
            '(' => {
                self.groups += 1;
                let number = self.groups;
                let inner = self.branches()?;
                self.close()?;
                Node::Group(number, Box::new(inner))
            }
            ')' => return Err("a closing parenthesis too many"),
            '[' => Node::Set(self.bracket()?),
            '.' => {
                let mut all = class(&[('\0', char::MAX)]);
                if self.options.stops {
                    all.difference(&class(&[('\n', '\n')]));
                }
                Node::Set(all)
            }
            '^' => Node::Look(if self.options.lines { Look::StartLF } else { Look::Start }),
            '$' => Node::Look(if self.options.lines { Look::EndLF } else { Look::End }),
            '*' | '+' | '?' => return Err("a quantifier without an operand"),
            '{' if self.rest.peek().is_some_and(char::is_ascii_digit) => {
                return Err("a quantifier without an operand");
            }
            '\\' => self.escape()?,
            c => self.literal(c)?,
        })
    }

    fn close(&mut self) -> Result<(), Refused> {
        if self.take(')') { Ok(()) } else { Err("an open parenthesis") }
    }

    /// A character, in both cases where that is asked.
    fn literal(&mut self, c: char) -> Result<Node, Refused> {
        let mut set = class(&[(c, c)]);
        if self.options.insensitive {
            self.fold(&mut set)?;
        }
        Ok(Node::Set(set))
    }

    /// Both cases of all letters. Beyond ASCII the locale knows them; in C there are none.
    fn fold(&self, set: &mut ClassUnicode) -> Result<(), Refused> {
        if !self.options.c_ctype && set.ranges().last().is_some_and(|range| !range.end().is_ascii())
        {
            return Err("letters beyond ASCII without regard to case, which depend on the locale");
        }
        for (from, to) in [('a', 'A'), ('A', 'a')] {
            for i in 0..26 {
                let letter = char::from(from as u8 + i);
                if set.ranges().iter().any(|range| (range.start()..=range.end()).contains(&letter))
                {
                    let other = char::from(to as u8 + i);
                    set.push(ClassUnicodeRange::new(other, other));
                }
            }
        }
        Ok(())
    }

    fn quantified(&mut self, atom: Node) -> Result<Node, Refused> {
        let Some((min, max, exact)) = self.counts()? else { return Ok(atom) };
        let greedy = !self.take('?');
        if matches!(atom, Node::Look(_)) || self.counts()?.is_some() {
            return Err("a quantifier after another one or after a constraint");
        }
        Ok(Node::Repeat { node: Box::new(atom), min, max, greedy, exact })
    }

    fn counts(&mut self) -> Result<Option<(u32, Option<u32>, bool)>, Refused> {
        Ok(match self.rest.peek() {
            Some('*') => {
                self.rest.next();
                Some((0, None, false))
            }
            Some('+') => {
                self.rest.next();
                Some((1, None, false))
            }
            Some('?') => {
                self.rest.next();
                Some((0, Some(1), false))
            }
            // Before anything but a digit a brace is a character.
            Some('{') => {
                let mut ahead = self.rest.clone();
                ahead.next();
                if !ahead.peek().is_some_and(char::is_ascii_digit) {
                    return Ok(None);
                }
                self.rest = ahead;
                Some(self.braces()?)
            }
            _ => None,
        })
    }

    fn braces(&mut self) -> Result<(u32, Option<u32>, bool), Refused> {
        let min = self.number()?;
        let (max, exact) = if !self.take(',') {
            (Some(min), true)
        } else if self.rest.peek() == Some(&'}') {
            (None, false)
        } else {
            (Some(self.number()?), false)
        };
        if !self.take('}') || max.is_some_and(|max| max < min) || max == Some(0) {
            return Err("such a count in braces");
        }
        Ok((min, max, exact))
    }

    fn number(&mut self) -> Result<u32, Refused> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok().filter(|n| *n <= COUNT_MAX).ok_or("such a count in braces")
    }

    /// A class that depends on the locale.
    fn localized(&mut self, name: &str) -> ClassUnicode {
        self.localized = true;
        named(name).unwrap_or_else(ClassUnicode::empty)
    }

    fn escape(&mut self) -> Result<Node, Refused> {
        let c = self.rest.next().ok_or("a backslash at the end")?;
        let look = match c {
            'A' => Some(Look::Start),
            'Z' => Some(Look::End),
            'm' => Some(Look::WordStartAscii),
            'M' => Some(Look::WordEndAscii),
            'y' => Some(Look::WordAscii),
            'Y' => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.localized |= !matches!(look, Look::Start | Look::End);
            return Ok(Node::Look(look));
        }
        match self.escaped_class(c) {
            Some(set) => Ok(Node::Set(set)),
            None => {
                let c = self.escaped(c)?;
                self.literal(c)
            }
        }
    }

    fn escaped_class(&mut self, c: char) -> Option<ClassUnicode> {
        let name = match c.to_ascii_lowercase() {
            'd' => "digit",
            's' => "space",
            'w' => "word",
            _ => return None,
        };
        let mut set = self.localized(name);
        if c.is_ascii_uppercase() {
            set.negate();
        }
        Some(set)
    }

    /// The character that an escape stands for.
    fn escaped(&mut self, c: char) -> Result<char, Refused> {
        Ok(match c {
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => {
                let digits: String = self.rest.by_ref().take(4).collect();
                let hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| hex);
                code.filter(|code| *code > 0).and_then(char::from_u32).ok_or("such an escape")?
            }
            c if c.is_ascii_alphanumeric() => return Err("a back reference or such an escape"),
            c if c.is_ascii() => c,
            _ => return Err("such an escape"),
        })
    }

    /// After the opening bracket.
    fn bracket(&mut self) -> Result<ClassUnicode, Refused> {
        let negated = self.take('^');
        let mut set = ClassUnicode::empty();
        // Classes without regard to case are not folded by character.
        let mut classes = ClassUnicode::empty();
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or("an open bracket")?;
            match c {
                ']' if !first => break,
                '[' if self.rest.peek().is_some_and(|c| matches!(c, ':' | '.' | '=')) => {
                    classes.union(&self.class_name()?);
                    self.refuse_range()?;
                }
                '-' if !first && self.rest.peek() != Some(&']') => {
                    return Err("a hyphen in the middle of a bracket expression");
                }
                '\\' => {
                    let c = self.rest.next().ok_or("an open bracket")?;
                    match self.escaped_class(c) {
                        Some(escaped) => {
                            classes.union(&escaped);
                            self.refuse_range()?;
                        }
                        None => {
                            let low = self.escaped(c)?;
                            self.range(low, &mut set)?;
                        }
                    }
                }
                c => self.range(c, &mut set)?,
            }
            first = false;
        }
        if self.options.insensitive {
            self.fold(&mut set)?;
        }
        set.union(&classes);
        if negated {
            set.negate();
            if self.options.stops {
                set.difference(&class(&[('\n', '\n')]));
            }
        }
        Ok(set)
    }

    /// True when a hyphen follows that is no member itself.
    fn is_range(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']')
    }

    fn refuse_range(&self) -> Result<(), Refused> {
        if self.is_range() { Err("a range from a class") } else { Ok(()) }
    }

    /// A member, or the range that begins with it.
    fn range(&mut self, low: char, set: &mut ClassUnicode) -> Result<(), Refused> {
        let mut high = low;
        if self.is_range() {
            self.rest.next();
            high = match self.rest.next() {
                Some('\\') => {
                    let c = self.rest.next().ok_or("an open bracket")?;
                    self.escaped(c)?
                }
                Some('[') | None => return Err("such a range"),
                Some(c) => c,
            };
            // `a-b-c`
            self.refuse_range()?;
        }
        if high < low {
            return Err("a range whose end is before its start");
        }
        set.push(ClassUnicodeRange::new(low, high));
        Ok(())
    }

    /// `[:name:]`, after the inner bracket.
    fn class_name(&mut self) -> Result<ClassUnicode, Refused> {
        if !self.take(':') {
            return Err("a collating element");
        }
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != ':') {
            name.push(c);
        }
        if !self.take(':') || !self.take(']') {
            return Err("such a bracket expression");
        }
        if self.options.insensitive && matches!(name.as_str(), "lower" | "upper") {
            name = "alpha".to_owned();
        }
        let fixed = matches!(name.as_str(), "blank" | "xdigit");
        // What is punctuation differs in ASCII too.
        if name == "punct" && !self.options.c_ctype {
            return Err("[:punct:], which depends on the locale");
        }
        self.localized |= !fixed;
        named(&name).ok_or("such a character class")
    }
}

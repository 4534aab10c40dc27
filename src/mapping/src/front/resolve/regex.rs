//! Operators and functions over regular expressions, whose patterns have to be constants.

use std::sync::Arc;

use super::expression::{Resolved, later};
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::regex::{
    self, Function, Matching, Use, is_flag_of_all, shows_groups, similar,
};
use crate::evaluation::regex::{Asks, Options, Pattern};
use crate::front::syntax::Stop;
use crate::front::syntax::ast::Node;
use crate::values::types::Type;
use crate::values::value::Value;

type Found = Result<Resolved, Stop>;

fn is_text(kind: Option<Type>) -> bool {
    kind.is_none_or(|kind| matches!(kind, Type::Text | Type::Varchar | Type::Bpchar))
}

impl Scope<'_> {
    /// A constant text; `None` for NULL.
    pub(super) fn constant_text(
        &self,
        value: &Resolved,
        what: &str,
    ) -> Result<Option<String>, Stop> {
        let text = value.kind.is_none_or(|kind| matches!(kind, Type::Text | Type::Varchar));
        match &value.expr {
            Expr::Const(Value::Null) if text => Ok(None),
            Expr::Const(Value::Text(found)) if text => Ok(Some(found.as_ref().to_owned())),
            _ => Err(later(value.at, &format!("{what} that is no literal"))),
        }
    }

    /// Compiles a pattern.
    pub(super) fn pattern(
        &self,
        pattern: &str,
        flags: &str,
        insensitive: bool,
        asks: Asks,
        at: usize,
    ) -> Result<Arc<Pattern>, Stop> {
        let options = Options {
            insensitive,
            stops: false,
            lines: false,
            quoted: false,
            c_ctype: self.settings.c_ctype,
        };
        Pattern::new(pattern, flags, options, asks)
            .map(Arc::new)
            .map_err(|what| later(at, &format!("a regular expression with {what}")))
    }

    fn matching(
        &self,
        usage: Use,
        pattern: Arc<Pattern>,
        arguments: Vec<Expr>,
        kind: Type,
        at: usize,
    ) -> Resolved {
        let function = Arc::new(Matching { usage, pattern });
        Resolved::new(Expr::Prepared { function, arguments }, kind, at)
    }

    /// `~`, `~*`, `!~`, `!~*`
    pub(super) fn regex_operator(
        &mut self,
        operator: &str,
        value: Resolved,
        pattern: Resolved,
        at: usize,
    ) -> Found {
        let texts = is_text(value.kind) && is_text(pattern.kind);
        if !texts || pattern.kind == Some(Type::Bpchar) {
            return Err(self.no_operator(operator, value.kind, pattern.kind, at));
        }
        let negated = operator.starts_with('!');
        let value = self.subject(value)?;
        let Some(text) = self.constant_text(&pattern, "a regular expression")? else {
            return Ok(Resolved::new(Expr::Const(Value::Null), Type::Bool, at));
        };
        let found = self.pattern(&text, "", operator.ends_with('*'), Asks::Whether, pattern.at)?;
        Ok(self.matching(Use::Test(negated), found, vec![value.expr], Type::Bool, at))
    }

    /// What operators match: character with its blanks, all else as text.
    fn subject(&self, value: Resolved) -> Found {
        self.refuse_collated(&value, true)?;
        let at = value.at;
        match value.kind {
            Some(Type::Bpchar) => Ok(value),
            _ => self.convert(value, Type::Text, at),
        }
    }

    pub(super) fn similar(
        &mut self,
        operand: &Node,
        pattern: &Node,
        escape: Option<&Node>,
        at: usize,
    ) -> Found {
        let value = self.resolve(operand)?;
        let pattern = self.resolve(pattern)?;
        if !is_text(value.kind) || !is_text(pattern.kind) || !self.settings.utf8 {
            return Err(self.no_operator("SIMILAR TO", value.kind, pattern.kind, at));
        }
        let value = self.subject(value)?;
        let text = self.constant_text(&pattern, "a SIMILAR TO pattern")?;
        let escape = match escape {
            None => Some("\\".to_owned()),
            Some(node) => {
                let escape = self.resolve(node)?;
                self.constant_text(&escape, "an ESCAPE")?
            }
        };
        let (Some(text), Some(escape)) = (text, escape) else {
            return Ok(Resolved::new(Expr::Const(Value::Null), Type::Bool, at));
        };
        let mut letters = escape.chars();
        let (escape, None) = (letters.next(), letters.next()) else {
            return Err(later(at, "an ESCAPE that is not one character"));
        };
        let Some(text) = similar(&text, escape) else {
            return Err(later(pattern.at, "such a SIMILAR TO pattern"));
        };
        let found = self.pattern(&text, "", false, Asks::Whether, pattern.at)?;
        Ok(self.matching(Use::Test(false), found, vec![value.expr], Type::Bool, at))
    }

    /// The function of this name over a pattern, `None` when there is none.
    pub(super) fn regex_function(
        &self,
        name: &str,
        arguments: &[Resolved],
        at: usize,
    ) -> Option<Found> {
        let Function { usage, result, plain, flags, .. } =
            *regex::named(name, self.settings.server_version)?;
        let count = arguments.len();
        let fits = count == plain || (flags && count == plain + 1);
        if !fits || !arguments.iter().all(|argument| is_text(argument.kind)) {
            return None;
        }
        // With two literals PostgreSQL cannot tell which substring is meant.
        if usage == Use::Substring && arguments[0].kind.is_none() {
            return None;
        }
        Some(self.over_pattern(usage, result, plain, arguments, at))
    }

    fn over_pattern(
        &self,
        usage: Use,
        kind: Type,
        plain: usize,
        arguments: &[Resolved],
        at: usize,
    ) -> Found {
        let value = self.convert(arguments[0].clone(), Type::Text, at)?;
        let null = || Ok(Resolved::new(Expr::Const(Value::Null), kind, at));
        let Some(text) = self.constant_text(&arguments[1], "a regular expression")? else {
            return null();
        };
        let mut flags = String::new();
        if let Some(given) = arguments.get(plain) {
            let Some(found) = self.constant_text(given, "flags")? else { return null() };
            flags = found;
        }
        let (all, flags) = is_flag_of_all(&flags);
        let (usage, asks) = match usage {
            Use::Replace(_) => {
                let shows = match &arguments[2].expr {
                    Expr::Const(Value::Text(text)) => shows_groups(text),
                    _ => true,
                };
                (Use::Replace(all), if shows { Asks::Groups } else { Asks::Where })
            }
            _ if all => return Err(later(at, "the flag g here")),
            Use::Test(_) => (usage, Asks::Whether),
            Use::Substring | Use::Match => (usage, Asks::Groups),
            _ => (usage, Asks::Where),
        };
        let pattern = self.pattern(&text, &flags, false, asks, arguments[1].at)?;
        let mut list = vec![value.expr];
        if let (Use::Replace(_), Some(replacement)) = (usage, arguments.get(2)) {
            list.push(self.convert(replacement.clone(), Type::Text, at)?.expr);
        }
        Ok(self.matching(usage, pattern, list, kind, at))
    }
}

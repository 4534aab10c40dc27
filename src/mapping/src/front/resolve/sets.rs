//! What stands in FROM after the table: set-returning functions, and VALUES.

use super::expression::{Resolved, common_modifier, later};
use super::scope::Scope;
use crate::evaluation::functions::regex::is_flag_of_all;
use crate::evaluation::functions::set::{Columns, SetFunction};
use crate::evaluation::functions::{best, series};
use crate::evaluation::regex::Asks;
use crate::front::syntax::Stop;
use crate::front::syntax::ast::Node;
use crate::values::types::Type;

/// A function of FROM with its inputs and its columns.
pub(super) type Set = (SetFunction, Vec<Resolved>, Columns);

/// text[]
const TEXTS: Type = Type::Other(1009);

impl Scope<'_> {
    /// The function of this name over these arguments.
    pub(super) fn set_function(
        &self,
        name: &str,
        mut arguments: Vec<Resolved>,
        at: usize,
    ) -> Result<Set, Stop> {
        for argument in &arguments {
            self.refuse_collated(argument, true)?;
        }
        match name {
            "generate_series" => return self.series(arguments, at),
            "jsonb_path_query" => return self.path_set(arguments, at),
            "string_to_table" => return self.string_to_table(arguments, at),
            "regexp_matches" | "regexp_split_to_table" => {
                return self.pattern_set(name, arguments, at);
            }
            _ => {}
        }
        let columns = |list: &[(&str, Type)]| -> Columns {
            list.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
        };
        let (Some(input), true) = (arguments.pop(), arguments.is_empty()) else {
            return Err(later(at, &format!("{name}() with these arguments")));
        };
        let kind = if name.starts_with("json_") { Type::Json } else { Type::Jsonb };
        let (function, columns) = match name
            .trim_start_matches("jsonb_")
            .trim_start_matches("json_")
        {
            "each" => (SetFunction::Each, columns(&[("key", Type::Text), ("value", kind)])),
            "each_text" => {
                (SetFunction::EachText, columns(&[("key", Type::Text), ("value", Type::Text)]))
            }
            "array_elements" => (SetFunction::Elements, columns(&[("value", kind)])),
            "array_elements_text" => (SetFunction::ElementsText, columns(&[("value", Type::Text)])),
            "object_keys" => (SetFunction::Keys, columns(&[("", Type::Text)])),
            "unnest" => {
                let element = input.kind.and_then(|kind| kind.element(&self.table.types));
                let Some(element) = element else {
                    return Err(later(at, "unnest() of something other than an array column"));
                };
                (SetFunction::Unnest(element), columns(&[("", element)]))
            }
            _ => return Err(later(at, &format!("the function {name}() in FROM"))),
        };
        if name == "unnest" {
            return Ok((function, vec![input], columns));
        }
        if !name.starts_with("json") {
            return Err(later(at, &format!("the function {name}() in FROM")));
        }
        if input.kind != Some(kind) {
            let kind = self.type_name(Some(kind));
            return Err(Stop::new(at, format!("{name}() needs a value of type {kind}"))
                .remedy(format!("cast its argument to {kind}")));
        }
        let function =
            if kind == Type::Json { SetFunction::Raw(Box::new(function)) } else { function };
        Ok((function, vec![input], columns))
    }

    fn series(&self, arguments: Vec<Resolved>, at: usize) -> Result<Set, Stop> {
        let kinds: Vec<Option<Type>> = arguments.iter().map(|argument| argument.kind).collect();
        let Some(wanted) = best(series::SIGNATURES.iter().copied(), |wanted| wanted, &kinds) else {
            let list: Vec<_> = kinds.iter().map(|kind| self.type_name(*kind)).collect();
            return Err(later(at, &format!("generate_series({})", list.join(", "))));
        };
        let kind = wanted[0];
        if kind == Type::Timestamptz && !self.settings.utc_iso {
            let what = "generate_series() of timestamps in a session whose time zone is not UTC";
            return Err(later(at, what));
        }
        let mut inputs = Vec::new();
        for (argument, wanted) in arguments.into_iter().zip(wanted) {
            inputs.push(self.convert(argument, *wanted, at)?);
        }
        Ok((SetFunction::Series(kind), inputs, vec![(String::new(), kind)]))
    }

    /// All arguments as text.
    fn texts(
        &self,
        name: &str,
        arguments: Vec<Resolved>,
        at: usize,
    ) -> Result<Vec<Resolved>, Stop> {
        let text = |kind| matches!(kind, Type::Text | Type::Varchar | Type::Bpchar);
        if !(2..=3).contains(&arguments.len())
            || !arguments.iter().all(|argument| argument.kind.is_none_or(text))
        {
            return Err(later(at, &format!("{name}() with these arguments")));
        }
        arguments.into_iter().map(|argument| self.convert(argument, Type::Text, at)).collect()
    }

    fn string_to_table(&self, arguments: Vec<Resolved>, at: usize) -> Result<Set, Stop> {
        let inputs = self.texts("string_to_table", arguments, at)?;
        Ok((SetFunction::Split, inputs, vec![(String::new(), Type::Text)]))
    }

    fn path_set(&self, mut arguments: Vec<Resolved>, at: usize) -> Result<Set, Stop> {
        let wanted = arguments.len() == 2 && arguments[0].kind == Some(Type::Jsonb);
        let Some(path) = arguments.pop().filter(|_| wanted) else {
            return Err(later(at, "jsonb_path_query() with these arguments"));
        };
        match self.json_path(&path)? {
            Some(path) => {
                Ok((SetFunction::Path(path), arguments, vec![(String::new(), Type::Jsonb)]))
            }
            None => Err(later(at, "NULL as a jsonpath in FROM")),
        }
    }

    fn pattern_set(&self, name: &str, arguments: Vec<Resolved>, at: usize) -> Result<Set, Stop> {
        let mut inputs = self.texts(name, arguments, at)?;
        let place = inputs[1].at;
        let mut constants = Vec::new();
        for constant in inputs.drain(1..) {
            match self.constant_text(&constant, "a regular expression or flags")? {
                Some(text) => constants.push(text),
                None => return Err(later(at, "NULL as a regular expression in FROM")),
            }
        }
        let flags = constants.get(1).cloned().unwrap_or_default();
        let (all, flags) = is_flag_of_all(&flags);
        let matches = name == "regexp_matches";
        if all && !matches {
            return Err(later(at, "the flag g here"));
        }
        let asks = if matches { Asks::Groups } else { Asks::Where };
        let pattern = self.pattern(&constants[0], &flags, false, asks, place)?;
        Ok(if matches {
            (SetFunction::Matches(pattern, all), inputs, vec![(String::new(), TEXTS)])
        } else {
            (SetFunction::Parts(pattern), inputs, vec![(String::new(), Type::Text)])
        })
    }

    /// The rows of VALUES; the inputs are all their expressions, row by row.
    pub(super) fn values(
        &mut self,
        rows: &[Vec<Node>],
        lateral: bool,
        at: usize,
    ) -> Result<Set, Stop> {
        let width = rows.first().map_or(0, Vec::len);
        let mut columns = Vec::new();
        let mut unified = Vec::new();
        for column in 0..width {
            let mut list = Vec::new();
            for row in rows {
                let Some(node) = row.get(column).filter(|_| row.len() == width) else {
                    return Err(Stop::new(at, "the rows of VALUES have different lengths"));
                };
                list.push(self.resolve(node)?);
            }
            let (list, kind) = self.unify(list, "VALUES", at)?;
            if common_modifier(&list) >= 0 {
                return Err(later(at, "VALUES whose types have modifiers"));
            }
            columns.push((format!("column{}", column + 1), kind));
            unified.push(list);
        }
        let inputs: Vec<Resolved> = (0..rows.len())
            .flat_map(|row| unified.iter().map(move |list| list[row].clone()))
            .collect();
        let constant = inputs.iter().all(|input| super::fold::is_constant(&input.expr));
        if !lateral && !constant {
            return Err(Stop::new(at, "VALUES reads a column of the table without LATERAL")
                .remedy("write LATERAL before it"));
        }
        Ok((SetFunction::Values(width), inputs, columns))
    }
}

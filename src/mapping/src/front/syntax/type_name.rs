//! The names of types.

use super::ast::TypeRef;
use super::lexer::Kind;
use super::parser::{Parsed, Parser, later};

impl Parser<'_> {
    /// The name of a type.
    pub(crate) fn type_ref(&mut self) -> Parsed<TypeRef> {
        let at = self.offset();
        let mut schema = None;
        let quoted = self.peek().is_some_and(|token| token.kind == Kind::Quoted);
        let mut name = self.name()?;
        let mut spelled = !quoted;
        if self.take_mark(".") {
            schema = Some(std::mem::replace(&mut name, self.label()?));
            spelled = false;
        }
        let mut modifiers = Vec::new();
        if spelled {
            name = self.spelling(name, &mut modifiers)?;
        } else {
            self.modifiers(&mut modifiers)?;
        }
        let mut array = false;
        while self.take_mark("[") {
            if self.peek().is_some_and(|token| token.kind == Kind::Number) {
                self.advance();
            }
            self.expect_mark("]")?;
            array = true;
        }
        if self.word_is("array") {
            return Err(later(self.offset(), "ARRAY in a type"));
        }
        Ok(TypeRef { at, schema, name, modifiers, array })
    }

    fn modifiers(&mut self, modifiers: &mut Vec<i32>) -> Parsed<()> {
        if !self.take_mark("(") {
            return Ok(());
        }
        loop {
            let negative = self.peek().is_some_and(|token| token.is_operator("-"));
            if negative {
                self.advance();
            }
            let number = match self.peek() {
                Some(token) if token.kind == Kind::Number => token.text.parse::<i32>().ok(),
                _ => None,
            };
            let Some(number) = number else { return Err(self.unexpected("a number")) };
            self.advance();
            modifiers.push(if negative { -number } else { number });
            if !self.take_mark(",") {
                break;
            }
        }
        self.expect_mark(")")
    }

    /// The types whose names SQL spells in words, as `pg_type.typname`.
    fn spelling(&mut self, name: String, modifiers: &mut Vec<i32>) -> Parsed<String> {
        let plain = match name.as_str() {
            "int" | "integer" => "int4",
            "bigint" => "int8",
            "smallint" => "int2",
            "real" => "float4",
            "boolean" => "bool",
            "decimal" | "dec" => "numeric",
            "double" => {
                self.expect_word("precision")?;
                "float8"
            }
            "float" => {
                self.modifiers(modifiers)?;
                let bits = modifiers.pop().unwrap_or(53);
                return Ok(if bits <= 24 { "float4" } else { "float8" }.into());
            }
            "char" | "character" | "varchar" => {
                let varying = name == "varchar" || self.take_word("varying");
                self.modifiers(modifiers)?;
                if !varying && modifiers.is_empty() {
                    modifiers.push(1);
                }
                return Ok(if varying { "varchar" } else { "bpchar" }.into());
            }
            "timestamp" | "time" => {
                self.modifiers(modifiers)?;
                let zone = self.zone()?;
                return Ok(if zone { format!("{name}tz") } else { name });
            }
            other => other,
        };
        let plain = plain.to_owned();
        self.modifiers(modifiers)?;
        Ok(plain)
    }

    fn zone(&mut self) -> Parsed<bool> {
        let with = self.word_is("with");
        let stated = (with || self.word_is("without"))
            && self.ahead(1).is_some_and(|next| next.is_word("time"));
        if stated {
            self.advance();
            self.advance();
            self.expect_word("zone")?;
        }
        Ok(with && stated)
    }
}

//! Equalities of a SELECT between columns of two of its tables, by which changes are traced.

use crate::front::statement::{Statement, TableRef};
use crate::front::syntax::lexer::Token;

impl Statement {
    /// Pairs of columns, of `table` and of `source`, that the SELECT demands to be equal for a row of
    /// `table` to matter: `… JOIN table AS t ON t.a = s.b`, `… FROM table AS t WHERE t.a = s.b`. Empty
    /// where that is not certain.
    pub fn equal_columns(&self, table: &TableRef, source: &TableRef) -> Vec<(String, String)> {
        const UNCERTAIN: [&str; 4] = ["or", "not", "case", "between"];
        const AFTER_CONDITION: [&str; 9] =
            ["and", "where", "group", "window", "order", "left", "inner", "cross", "join"];
        const ELSEWHERE: [&str; 6] = ["select", "join", "union", "except", "intersect", "having"];
        let called = |table: &TableRef| table.alias.clone().unwrap_or_else(|| table.name.clone());
        let (table_name, source_name) = (called(table), called(source));
        let same_name = |name: &str| {
            self.source_tables().iter().filter(|table| called(table) == name).count() > 1
        };
        let tokens = self.select_tokens();
        let uncertain = tokens.iter().any(|t| UNCERTAIN.iter().any(|word| t.is_word(word)));
        if uncertain || same_name(&table_name) || same_name(&source_name) {
            return Vec::new();
        }
        // Where the table is introduced: its name, or alias, without a column.
        let introduced = tokens.windows(2).position(|pair| {
            pair[0].is_identifier() && pair[0].text == table_name && !pair[1].is_mark(".")
        });
        let Some(introduced) = introduced else { return Vec::new() };
        let rest = &tokens[introduced + 1..];
        // An inner join of the other table demands its condition of this one too.
        let inner = introduced_after(rest, &source_name);
        let end = rest[inner..].iter().position(|t| ELSEWHERE.iter().any(|word| t.is_word(word)));
        let end = end.map_or(rest.len(), |end| inner + end);
        let mut found = Vec::new();
        for (at, window) in rest[..end].windows(8).enumerate() {
            let [before, a, dot_a, column_a, equals, b, dot_b, column_b] = window else { continue };
            let begins = ["on", "and", "where"].iter().any(|word| before.is_word(word));
            let names = [a, column_a, b, column_b].iter().all(|token| token.is_identifier());
            let shape = dot_a.is_mark(".") && dot_b.is_mark(".") && equals.text == "=";
            // Anything else would make the last name a part of a larger expression.
            let ends = rest.get(at + 8).is_none_or(|next| {
                next.is_mark(")")
                    || next.is_mark(",")
                    || AFTER_CONDITION.iter().any(|word| next.is_word(word))
            });
            if !(begins && names && shape && ends) {
                continue;
            }
            if (&a.text, &b.text) == (&table_name, &source_name) {
                found.push((column_a.text.clone(), column_b.text.clone()));
            } else if (&b.text, &a.text) == (&table_name, &source_name) {
                found.push((column_b.text.clone(), column_a.text.clone()));
            }
        }
        found
    }
}

/// Where `tokens` join the table or alias `name` by an inner join; else 0.
fn introduced_after(tokens: &[Token], name: &str) -> usize {
    let mut at = 0;
    while let Some(next) = tokens[at..].iter().position(|token| token.is_word("join")) {
        let join = at + next;
        let before = &tokens[at..join];
        // Inside of parentheses, or under an outer join, it demands nothing of the rows before it.
        let plain = !before.iter().any(|token| {
            ["(", ")"].iter().any(|mark| token.is_mark(mark))
                || ["left", "right", "full", "natural", "select", "where", "union"]
                    .iter()
                    .any(|word| token.is_word(word))
        });
        let item = &tokens[join + 1..];
        let on = item.iter().position(|token| token.is_word("on"));
        if !plain {
            return 0;
        }
        if on.is_some_and(|on| on <= 5 && item[on - 1].text == name) {
            return join + 1;
        }
        at = join + 1;
    }
    0
}

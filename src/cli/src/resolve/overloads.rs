//! Functions, operators and casts of the source's own that could be meant where the compiler takes the
//! built-in one: `concat(text, VARIADIC anyarray)` fits `concat('a', 1, 2)` better than `concat("any")`.

use std::collections::HashMap;

use regraft_core::{Code, Error, Result};
use regraft_mapping::{KeyedRead, Statement};
use regraft_postgres::Client;
use regraft_postgres::planning::{self, Own};

/// What the source has of its own that statements could mean.
pub struct Overloads {
    /// For each name, and whether it is an operator, the first one.
    named: HashMap<(String, bool), String>,
    /// Of any statement.
    cast: Option<String>,
}

impl Overloads {
    /// Asks the source for the names of all statements.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn of(
        client: &Client,
        path: &[String],
        statements: &[Statement],
    ) -> Result<Overloads> {
        let named: Vec<_> = statements.iter().flat_map(names).collect();
        let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
        let operators: Vec<bool> = named.iter().map(|named| named.operator).collect();
        let mut own = Overloads { named: HashMap::new(), cast: None };
        // Its caller knows where.
        for Own { named, what } in planning::own(client, "", (&names, &operators), path).await? {
            match named {
                Some(named) => {
                    own.named.entry(named).or_insert(what);
                }
                None => own.cast = own.cast.or(Some(what)),
            }
        }
        Ok(own)
    }

    /// Why the statement cannot be evaluated by regraft, if the source has something of its own that could
    /// be meant.
    pub fn first(&self, statement: &Statement) -> Option<Error> {
        let (what, place) = match &self.cast {
            Some(cast) => (cast, statement.place()),
            None => names(statement).find_map(|named| {
                let place = format!("{}:{}:{}", statement.file(), named.line, named.column);
                Some((self.named.get(&(named.name, named.operator))?, place))
            })?,
        };
        let message = format!("{what} could be meant, which is not built in");
        let error = Error::new(Code::NotStreamable, message).at(place).remedy(
            "if the built-in one is meant, write pg_catalog before the function, or take the schema of \
             the other one out of the search_path of the role that reads the source",
        );
        Some(error)
    }
}

/// The names that are written without a schema, in their order.
fn names(statement: &Statement) -> impl Iterator<Item = regraft_mapping::Named> {
    KeyedRead::named(statement).into_iter().filter(|named| !named.qualified)
}

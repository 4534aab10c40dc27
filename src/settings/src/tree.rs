//! The file as a tree with places. Faults are collected instead of ending at the first: what is
//! faulty is reported, taken out of the tree, and the rest is read on.

use std::collections::HashMap;
use std::ops::Range;

use regraft_core::{Code, Error};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::{SettingsFile, json_schema};

/// So many faults are told: nobody reads more, and each has to be found in the text.
const FAULTS_MAX: usize = 100;

/// Something that is wrong with the file.
pub(crate) struct Fault {
    /// Path of the key, `backfill.readers`; it leads to the place.
    key: String,
    /// Byte offset, where the key alone does not lead there.
    offset: Option<usize>,
    /// Path of the key that was probably meant: it is not reported as missing.
    meant: Option<String>,
    what: String,
    remedy: Option<String>,
}

impl Fault {
    pub(crate) fn new(key: &str, what: impl Into<String>) -> Self {
        Self { key: key.to_owned(), offset: None, meant: None, what: what.into(), remedy: None }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn offset(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn into_error_at_key(self) -> Error {
        let place = self.key.clone();
        self.into_error(place)
    }

    fn into_error(self, place: String) -> Error {
        let error = Error::new(Code::ConfigInvalid, self.what).at(place);
        match self.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

/// Where a key stands, in bytes.
struct Place {
    key: usize,
    value: Range<usize>,
}

pub(crate) struct Tree<'i> {
    text: &'i str,
    file_name: &'i str,
    root: Spanned<DeTable<'i>>,
    schema: Value,
    /// By path.
    places: HashMap<String, Place>,
    /// What `${VAR}` put into the tree: it may be secret, and must not come back in a message.
    substituted: Vec<String>,
    faults: Vec<Fault>,
}

impl<'i> Tree<'i> {
    /// Parses the text. Without a syntax there is nothing to go on with, so all faults of syntax are
    /// returned at once.
    pub(crate) fn parse(text: &'i str, file_name: &'i str) -> Result<Self, Vec<Error>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let faults = errors.into_iter().take(FAULTS_MAX).map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Fault::new("", error.message().replace('\n', ", ")).offset(offset)
        });
        let mut tree = Self {
            text,
            file_name,
            root,
            schema: json_schema(),
            places: HashMap::new(),
            substituted: Vec::new(),
            faults: faults.collect(),
        };
        if !tree.is_valid() {
            return Err(tree.into_errors());
        }
        note_places(tree.root.get_ref(), "", &mut tree.places);
        Ok(tree)
    }

    /// Replaces `${VAR}` in every text.
    pub(crate) fn substitute(&mut self, env: &dyn Fn(&str) -> Option<String>) {
        let mut walk = Substitution { env, faults: Vec::new(), values: Vec::new() };
        walk.table(self.root.get_mut(), "");
        self.faults.extend(walk.faults);
        self.substituted = walk.values;
    }

    /// Reads the tables; `None` when what is left after taking out the faults cannot be read.
    pub(crate) fn read(&mut self) -> Option<SettingsFile> {
        check(self.root.get_mut(), &self.schema, &self.schema, "", &mut self.faults);
        // Each turn ends or takes a value out of the tree.
        while self.faults.len() <= FAULTS_MAX {
            let root = Spanned::new(self.root.span(), DeValue::Table(self.root.get_ref().clone()));
            let error = match SettingsFile::deserialize(root.into_deserializer()) {
                Ok(file) => return Some(file),
                Err(error) => error,
            };
            let path = error.span().and_then(|span| self.path_of(&span));
            let what = self.describe(path.as_deref(), &error);
            let mut fault = Fault::new(path.as_deref().unwrap_or(""), what);
            fault.offset = error.span().map(|span| span.start);
            self.faults.push(fault);
            if !path.is_some_and(|path| remove(self.root.get_mut(), &path)) {
                return None;
            }
        }
        None
    }

    /// The value, or a fault if it was never written.
    pub(crate) fn required<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.was_given(key) {
            self.faults.push(Fault::new(key, format!("{key} is missing")));
        }
        value
    }

    /// Whether the file has the key or its table, faulty or misspelt.
    pub(crate) fn was_given(&self, key: &str) -> bool {
        let table = key.rsplit_once('.').map(|(table, _)| table);
        let mut faults = self.faults.iter();
        self.places.contains_key(key)
            || faults.any(|fault| match (&fault.meant, table) {
                (Some(meant), _) if meant == key => true,
                (Some(meant), Some(table)) => meant == table,
                (None, Some(table)) => fault.key == table,
                (_, None) => false,
            })
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.faults.is_empty()
    }

    /// The faults in the order of the file; those of missing keys stand where the table starts.
    pub(crate) fn into_errors(self) -> Vec<Error> {
        let Self { text, file_name, places, faults, .. } = self;
        let mut placed: Vec<_> = faults
            .into_iter()
            .map(|fault| {
                let table = fault.key.split_once('.').map_or("", |(table, _)| table);
                let place = places.get(&fault.key).or_else(|| places.get(table));
                (fault.offset.or(place.map(|place| place.key)), fault)
            })
            .collect();
        placed.sort_by_key(|(offset, _)| *offset);
        placed.truncate(FAULTS_MAX);
        let place = |offset: Option<usize>| match offset {
            Some(offset) => {
                let (line, column) = line_and_column(text, offset);
                format!("{file_name}:{line}:{column}")
            }
            None => file_name.to_owned(),
        };
        placed.into_iter().map(|(offset, fault)| fault.into_error(place(offset))).collect()
    }

    /// The innermost key whose value stands there.
    fn path_of(&self, span: &Range<usize>) -> Option<String> {
        let fits = self.places.iter().filter(|(_, place)| place.value == *span);
        fits.max_by_key(|(path, _)| path.len()).map(|(path, _)| path.clone())
    }

    /// A message of serde, in the words of the file and without what may be secret.
    fn describe(&self, path: Option<&str>, error: &toml::de::Error) -> String {
        let mut message = error.message().trim_end().to_owned();
        for secret in self.substituted.iter().filter(|secret| !secret.is_empty()) {
            message = message.replace(secret.as_str(), "…");
        }
        let Some(path) = path else { return message };
        let node = path.split('.').try_fold(&self.schema, below);
        match node {
            Some(node) if json_type(node) == Some("integer") => {
                format!("{path} must be {}", expected(node))
            }
            _ if message.starts_with("must be ") => format!("{path} {message}"),
            _ => format!("{path}: {message}"),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn note_places(table: &DeTable<'_>, path: &str, places: &mut HashMap<String, Place>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            note_places(inner, &path, places);
        }
        places.insert(path, Place { key: key.span().start, value: value.span() });
    }
}

fn remove(table: &mut DeTable<'_>, path: &str) -> bool {
    match path.split_once('.') {
        None => table.remove(path).is_some(),
        Some((first, rest)) => match table.get_mut(first).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

/// Line and column from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

// --- ${VAR} -----------------------------------------------------------------------------------

struct Substitution<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
    values: Vec<String>,
}

impl Substitution<'_> {
    /// A text that cannot be substituted is taken out of the table.
    fn table(&mut self, table: &mut DeTable<'_>, path: &str) {
        let mut faulty = Vec::new();
        for (key, value) in table.iter_mut() {
            let path = join(path, key.get_ref());
            let start = value.span().start;
            match value.get_mut() {
                DeValue::Table(inner) => self.table(inner, &path),
                DeValue::String(text) if text.contains("${") => match self.text(text, &path) {
                    Ok(replaced) => *text = replaced.into(),
                    Err(fault) => {
                        self.faults.push(fault.offset(start));
                        faulty.push(key.get_ref().to_string());
                    }
                },
                _ => {}
            }
        }
        for key in faulty {
            table.remove(key.as_str());
        }
    }

    fn text(&mut self, text: &str, path: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let literal = "write $${ for a literal ${";
            let end = after.find('}').ok_or_else(|| {
                Fault::new(path, format!("{path} has a ${{ without a }}")).remedy(literal)
            })?;
            let name = &after[..end];
            if !is_variable(name) {
                let what = format!("{path} has a ${{…}} that does not name a variable");
                return Err(Fault::new(path, what).remedy(literal));
            }
            let value = (self.env)(name).ok_or_else(|| {
                let what = format!("{path} uses the environment variable {name}, which is not set");
                Fault::new(path, what).remedy(format!("set {name}, or {literal}"))
            })?;
            out.push_str(&value);
            self.values.push(value);
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

// --- keys and types ---------------------------------------------------------------------------

/// Takes unknown keys and values of a wrong type out of the table. The schema knows them: it is made
/// from the same structs that are read.
fn check(table: &mut DeTable<'_>, node: &Value, root: &Value, path: &str, faults: &mut Vec<Fault>) {
    let mut faulty = Vec::new();
    for (key, value) in table.iter_mut() {
        let name = key.get_ref().as_ref();
        let path_here = join(path, name);
        let Some(node_here) = below(node, name) else {
            faults.push(unknown_key(name, path, node, root).offset(key.span().start));
            faulty.push(name.to_owned());
            continue;
        };
        let found = match value.get_ref() {
            DeValue::Table(_) => "object",
            DeValue::Integer(_) => "integer",
            DeValue::Boolean(_) => "boolean",
            DeValue::String(_) => "string",
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => "other",
        };
        if json_type(node_here).is_some_and(|wanted| wanted != found) {
            let what = format!(
                "{path_here} must be {}, not {} {}",
                expected(node_here),
                if found == "integer" || value.get_ref().type_str() == "array" {
                    "an"
                } else {
                    "a"
                },
                value.get_ref().type_str()
            );
            faults.push(Fault::new(&path_here, what).offset(value.span().start));
            faulty.push(name.to_owned());
        } else if let DeValue::Table(inner) = value.get_mut() {
            check(inner, node_here, root, &path_here, faults);
        }
    }
    for key in faulty {
        table.remove(key.as_str());
    }
}

/// What the schema says of a key: one that is known, or any, where a table's keys are names.
fn below<'a>(node: &'a Value, key: &str) -> Option<&'a Value> {
    let named = || node.get("additionalProperties").filter(|named| named.is_object());
    node["properties"].get(key).or_else(named)
}

/// The JSON type that a value must have; `None` when the schema does not say.
fn json_type(node: &Value) -> Option<&str> {
    // Enums of texts with a description each.
    let enumeration = node["oneOf"].is_array().then_some("string");
    node["type"].as_str().or(enumeration)
}

fn expected(node: &Value) -> String {
    match json_type(node) {
        Some("object") => "a table".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => {
            let least = &node["minimum"];
            match node["maximum"].as_u64() {
                Some(most) => format!("a whole number from {least} to {most}"),
                None => format!("a whole number, at least {least}"),
            }
        }
        _ => "a text in quotes".to_owned(),
    }
}

fn known_keys(node: &Value) -> Vec<&str> {
    let properties = node["properties"].as_object();
    let mut keys: Vec<_> = properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    // Their order depends on a feature of serde_json that any crate of a build may turn on.
    keys.sort_unstable();
    keys
}

fn unknown_key(name: &str, table: &str, node: &Value, root: &Value) -> Fault {
    let known = known_keys(node);
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        // About a quarter of the letters may differ: more is another word.
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known.to_owned());
    let elsewhere = || {
        let tables = known_keys(root);
        let holds = |table: &&str| root["properties"][*table]["properties"].get(name).is_some();
        tables.into_iter().find(holds).map(|table| format!("{table}.{name}"))
    };
    let mut what = format!("unknown key \"{name}\"");
    if !table.is_empty() {
        what.push_str(&format!(" in [{table}]"));
    }
    if let Some(meant) = nearest.clone().or_else(elsewhere) {
        what.push_str(&format!("; did you mean \"{meant}\"?"));
    }
    let of = if table.is_empty() { "the file".to_owned() } else { format!("[{table}]") };
    let mut fault = Fault::new(&join(table, name), what)
        .remedy(format!("the keys of {of} are {}", known.join(", ")));
    fault.meant = nearest.map(|nearest| join(table, &nearest));
    fault
}

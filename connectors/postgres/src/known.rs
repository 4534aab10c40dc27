//! What a catalog has told while a mapping is being resolved. All tables are asked for at once, in a number of
//! questions that does not grow with them; what only shows later is asked for when it does, once.

use std::collections::HashMap;
use std::hash::Hash;

use regraft_core::{Code, Oid, Result, TableName};
use tokio::sync::Mutex;

use crate::catalog::{BinaryForm, Catalog, Table, UserType};

/// A table as a statement names it: schema and name.
pub type Named = (Option<String>, String);

/// `FirstGenbkiObjectId`: below it, ids are the same on every server.
const FIRST_OWN: Oid = 10_000;

/// See the module. Whoever asks keeps the others waiting, so that nothing is asked twice.
#[derive(Default)]
pub struct Known(Mutex<Told>);

#[derive(Default)]
struct Told {
    ids: HashMap<Named, Option<Oid>>,
    tables: HashMap<Oid, Option<Table>>,
    user_types: HashMap<Oid, Option<(UserType, Oid)>>,
    type_names: HashMap<Oid, Option<String>>,
    forms: HashMap<Oid, Option<BinaryForm>>,
    meant: HashMap<String, Option<Oid>>,
    types: HashMap<String, Option<bool>>,
}

/// Those of which nothing is known.
fn unknown<'a, K: Hash + Eq + 'a, V>(
    known: &HashMap<K, V>,
    asked: impl IntoIterator<Item = &'a K>,
) -> Vec<&'a K> {
    let mut seen = std::collections::HashSet::new();
    let unknown = asked.into_iter().filter(|key| !known.contains_key(key));
    unknown.filter(|key| seen.insert(*key)).collect()
}

/// Notes answers; what was asked for and is not among them is not there.
fn note<K: Hash + Eq, V>(
    known: &mut HashMap<K, Option<V>>,
    asked: impl IntoIterator<Item = K>,
    answers: impl IntoIterator<Item = (K, V)>,
) {
    known.extend(asked.into_iter().map(|key| (key, None)));
    known.extend(answers.into_iter().map(|(key, answer)| (key, Some(answer))));
}

impl Catalog<'_> {
    /// Asks for tables that are going to be needed, and for their types.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn learn(&self, names: &[Named]) -> Result<()> {
        let mut told = self.known.0.lock().await;
        self.learn_tables(&mut told, names).await?;
        let columns = told.tables.values().flatten().flat_map(|table| &table.columns);
        let types: Vec<_> = columns.map(|column| column.type_oid).collect();
        self.learn_user_types(&mut told, &types).await?;
        self.learn_type_names(&mut told, &types).await?;
        self.learn_forms(&mut told, &types).await
    }

    /// One table, by the name that a statement gives.
    ///
    /// # Errors
    /// When it does not exist, with `missing` as the code; when the server cannot be asked.
    pub async fn table(&self, schema: Option<&str>, name: &str, missing: Code) -> Result<Table> {
        let name = (schema.map(str::to_owned), name.to_owned());
        let mut told = self.known.0.lock().await;
        self.learn_tables(&mut told, std::slice::from_ref(&name)).await?;
        let found = told.ids.get(&name).copied().flatten();
        let found = found.and_then(|oid| told.tables.get(&oid)?.clone());
        found.ok_or_else(|| self.absent(&name, missing))
    }

    /// User types that the path gives for these names.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn meant(&self, names: &[&str]) -> Result<HashMap<String, Oid>> {
        let mut told = self.known.0.lock().await;
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let asked = unknown(&told.meant, &names);
        if !asked.is_empty() {
            let texts: Vec<_> = asked.iter().map(|name| name.as_str()).collect();
            let answers = self.ask_meant(&texts).await?;
            note(&mut told.meant, asked.into_iter().cloned(), answers);
        }
        let meant = names.into_iter().filter_map(|name| {
            let oid = told.meant.get(&name).copied().flatten()?;
            Some((name, oid))
        });
        Ok(meant.collect())
    }

    /// Whether a type of this SQL name exists, for each of these.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn has_types(&self, names: &[String]) -> Result<Vec<bool>> {
        let mut told = self.known.0.lock().await;
        let asked = unknown(&told.types, names);
        if !asked.is_empty() {
            let texts: Vec<_> = asked.iter().map(|name| name.as_str()).collect();
            let answers = self.ask_types(&texts).await?;
            note(&mut told.types, asked.into_iter().cloned(), answers);
        }
        Ok(names.iter().map(|name| told.types.get(name) == Some(&Some(true))).collect())
    }

    /// SQL names of types, without modifiers, as this server prints them.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn type_names(&self, oids: &[Oid]) -> Result<HashMap<Oid, String>> {
        let mut told = self.known.0.lock().await;
        self.learn_type_names(&mut told, oids).await?;
        let name = |&oid: &Oid| Some((oid, told.type_names.get(&oid)?.clone()?));
        Ok(oids.iter().filter_map(name).collect())
    }

    /// How values of types can travel.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn binary_forms(&self, oids: &[Oid]) -> Result<HashMap<Oid, BinaryForm>> {
        let mut told = self.known.0.lock().await;
        self.learn_forms(&mut told, oids).await?;
        let form = |&oid: &Oid| Some((oid, (*told.forms.get(&oid)?)?));
        Ok(oids.iter().filter_map(form).collect())
    }

    /// The types of a table's columns whose ids are not the same on every server, with those that they refer to.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn user_types(&self, table: &Table) -> Result<Vec<UserType>> {
        let mut told = self.known.0.lock().await;
        let mut next: Vec<_> = table.columns.iter().map(|column| column.type_oid).collect();
        self.learn_user_types(&mut told, &next).await?;
        let mut found: HashMap<Oid, UserType> = HashMap::new();
        while let Some(oid) = next.pop() {
            let Some((user_type, inside)) = told.user_types.get(&oid).and_then(Option::as_ref)
            else {
                continue;
            };
            if found.insert(oid, user_type.clone()).is_none() {
                next.extend([user_type.base, *inside]);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn learn_tables(&self, told: &mut Told, names: &[Named]) -> Result<()> {
        let asked = unknown(&told.ids, names);
        if asked.is_empty() {
            return Ok(());
        }
        let ids = self.ask_ids(&asked).await?;
        told.ids.extend(asked.into_iter().cloned().zip(ids.iter().copied()));
        let ids: Vec<_> = ids.into_iter().flatten().collect();
        let asked: Vec<_> = unknown(&told.tables, &ids).into_iter().copied().collect();
        if !asked.is_empty() {
            let answers = self.ask_tables(&asked).await?;
            // They may be asked for by their whole names, too.
            let whole = answers.values().map(|table| {
                let TableName { schema, name } = table.name.clone();
                ((Some(schema), name), Some(table.oid))
            });
            told.ids.extend(whole);
            note(&mut told.tables, asked, answers);
        }
        Ok(())
    }

    async fn learn_user_types(&self, told: &mut Told, oids: &[Oid]) -> Result<()> {
        let own = oids.iter().filter(|&&oid| oid >= FIRST_OWN);
        let asked: Vec<_> = unknown(&told.user_types, own).into_iter().copied().collect();
        if !asked.is_empty() {
            let answers = self.ask_user_types(&asked).await?;
            let answers = answers.into_iter().map(|found| (found.0.oid, found));
            note(&mut told.user_types, asked, answers);
        }
        Ok(())
    }

    async fn learn_type_names(&self, told: &mut Told, oids: &[Oid]) -> Result<()> {
        let asked: Vec<_> = unknown(&told.type_names, oids).into_iter().copied().collect();
        if !asked.is_empty() {
            let answers = self.ask_type_names(&asked).await?;
            note(&mut told.type_names, asked, answers);
        }
        Ok(())
    }

    async fn learn_forms(&self, told: &mut Told, oids: &[Oid]) -> Result<()> {
        let asked: Vec<_> = unknown(&told.forms, oids).into_iter().copied().collect();
        if !asked.is_empty() {
            let answers = self.ask_binary_forms(&asked).await?;
            note(&mut told.forms, asked, answers);
        }
        Ok(())
    }
}

//! Mappers that a program brings, by the names by which its `mapping.sql` calls them.

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft_core::Mapper;

type Make = Arc<dyn Fn() -> Box<dyn Mapper> + Send + Sync>;

/// The mappers of a program. `regraft` itself has none.
#[derive(Clone, Default)]
pub struct Mappers(BTreeMap<String, Make>);

impl Mappers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more, which a comment in `mapping.sql` calls `-- regraft: mapper NAME`. Each
    /// statement that does so works with clones of its own. A second mapper of the same name replaces
    /// the first.
    #[must_use]
    pub fn with<M: Mapper + Clone + 'static>(mut self, name: &str, mapper: M) -> Self {
        self.0.insert(name.to_owned(), Arc::new(move || Box::new(mapper.clone())));
        self
    }

    pub(crate) fn make(&self, name: &str) -> Option<Box<dyn Mapper>> {
        self.0.get(name).map(|make| make())
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

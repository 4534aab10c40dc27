//! What looks at both servers beside the data path.

use std::sync::Arc;

use regraft_core::contract::Pair;
use regraft_core::{Error, Result};

use crate::address::{Address, connect};
use crate::sessions::Sessions;
use crate::standing::{Asked, Gone, PgSentinel};
use crate::verify::{PgVerifier, VerifySide, VerifyStatement};

/// Verification, and the look at what the mapping stands on.
pub struct PgPair {
    /// The source.
    pub source: Address,
    /// The target.
    pub target: Address,
    /// The sessions that are opened by these.
    pub watched: Sessions,
    /// Name of the pipeline.
    pub name: String,
    /// How its sessions call themselves.
    pub application: String,
    /// Statements, as they are verified.
    pub verify: Arc<Vec<VerifyStatement>>,
    /// What the mapping stands on.
    pub asked: Arc<Asked>,
    /// Of all sentinels.
    pub gone: Gone,
    /// Findings keep the values of their rows.
    pub verify_values: bool,
}

impl Pair for PgPair {
    type Verifier = PgVerifier;
    type Sentinel = PgSentinel;

    async fn verifier(&mut self) -> Result<PgVerifier> {
        let side = async |role, address: &Address| {
            let (client, place) = connect(role, address, &self.application).await?;
            let (address, application) = (Arc::clone(address), self.application.clone());
            Ok(VerifySide { client, place, address, application })
        };
        let source = side("source", &self.source).await?;
        let target = side("target", &self.target).await?;
        let statements = Arc::clone(&self.verify);
        PgVerifier::new(source, target, &self.name, statements, self.verify_values).await
    }

    fn sentinel(&mut self) -> PgSentinel {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        PgSentinel::new(source, target, &self.name, Arc::clone(&self.asked), self.gone.clone())
    }

    fn explain(&self, error: Error) -> Error {
        self.watched.explain(error)
    }
}

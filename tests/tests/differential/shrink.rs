//! A difference in few words.

use rand::SeedableRng;
use rand::rngs::StdRng;
use regraft_core::Mapper;

use crate::grammar::{Grammar, Tree};
use crate::server::Server;
use crate::{Candidate, Difference, difference};

/// Attempts, so that a hard case ends.
const ATTEMPTS: usize = 300;

async fn differs(server: &Server, tree: &Tree) -> Option<(Candidate, Difference)> {
    let candidate = Candidate::new(server, tree.clone())?;
    let (kind, wanted) = server.each(&candidate.sql).await?;
    let found = difference(&candidate, kind, &wanted)?;
    Some((candidate, found))
}

/// What may stand in place of a part: what is inside of it, a column, a literal.
fn simpler(grammar: &Grammar, part: &Tree) -> Vec<Tree> {
    if part.is_leaf() {
        return Vec::new();
    }
    let mut found: Vec<Tree> =
        grammar.columns(part.kind).iter().map(|c| Tree::leaf(part.kind, c.clone())).collect();
    let mut random = StdRng::seed_from_u64(1);
    found.push(grammar.literal(&mut random, part.kind));
    let mut inside = Vec::new();
    part.all(&mut inside);
    found.extend(inside.into_iter().skip(1).filter(|t| t.kind == part.kind).cloned());
    found
}

/// The smallest expression found that differs, and a message about it.
pub(crate) async fn shrink(
    server: &Server,
    grammar: &Grammar,
    candidate: Candidate,
) -> (String, String) {
    let mut best = candidate.tree.clone();
    let mut attempts = 0;
    // Any expression inside that differs by itself, whatever its type.
    let mut inside = Vec::new();
    candidate.tree.all(&mut inside);
    inside.sort_by_key(|tree| tree.to_string().len());
    for tree in inside {
        if !tree.is_leaf() && differs(server, tree).await.is_some() {
            best = tree.clone();
            break;
        }
    }
    'again: while attempts < ATTEMPTS {
        let mut parts = Vec::new();
        best.all(&mut parts);
        let parts: Vec<Tree> = parts.into_iter().cloned().collect();
        for (number, part) in parts.iter().enumerate() {
            for other in simpler(grammar, part) {
                let mut tree = best.clone();
                let mut at = number;
                let Some(place) = tree.at_mut(&mut at) else { continue };
                *place = other;
                attempts += 1;
                if attempts < ATTEMPTS && differs(server, &tree).await.is_some() {
                    best = tree;
                    continue 'again;
                }
            }
        }
        break;
    }
    let sql = best.to_string();
    let message = match differs(server, &best).await {
        None => format!("{}: differs among others only", candidate.sql),
        Some((candidate, found)) => {
            let values = values(server, &candidate, found.row).await;
            let Difference { row, wanted, found } = found;
            format!("{sql}\n  row {row}: {values}\n  PostgreSQL: {wanted}\n  regraft:    {found}")
        }
    };
    (sql, message)
}

/// The columns that an expression reads, as they print.
async fn values(server: &Server, candidate: &Candidate, row: usize) -> String {
    let mut found = Vec::new();
    for name in candidate.mapper.declaration().reads.into_iter().map(|read| read.name) {
        let text = format!("SELECT {name}::text FROM s WHERE id = {row}");
        let value = server.client.query_opt(&text, &[]).await.ok().flatten();
        let value: Option<String> = value.and_then(|row| row.get(0));
        found.push(format!("{name} = {value:?}"));
    }
    found.join(", ")
}

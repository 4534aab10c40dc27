//! What a compiled SELECT is made of, and what runs for each row: expressions and PostgreSQL's functions.

pub(crate) mod expr;
pub(crate) mod functions;
pub(crate) mod jsonpath;
pub(crate) mod mapper;
pub(crate) mod order;
pub(crate) mod partial;
pub(crate) mod plan;
pub(crate) mod regex;

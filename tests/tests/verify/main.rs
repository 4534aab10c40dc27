//! Verification and repair: what is wrong is found and told by key and column, what is not wrong is
//! not, and what was found is brought in line.

mod commands;

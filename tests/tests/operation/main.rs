//! What an operator relies on: secure connections, what can be watched, clean ends, bad networks,
//! slow targets, and leaving nothing behind.

#[path = "../support/mod.rs"]
mod support;

mod catalog;
mod contract;
mod faults;
mod health;
mod idle;
mod ledger;
mod lifecycle;
mod network;
mod observe;
mod room;
mod sample;
mod slow;
mod standby;
mod start;
mod stop;
mod terminal;
mod unheard;

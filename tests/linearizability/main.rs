//! Histories of one user, recorded by several clients under faults, are checked for an order that
//! explains every answer.

mod checker;
mod generated;
mod known;
mod model;

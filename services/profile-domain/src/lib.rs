//! The rules: pure functions over the contract's types. No clock, no I/O, nothing that waits.

mod rejection;

pub use rejection::Rejection;

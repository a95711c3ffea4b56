//! The rules: pure functions over the contract's types. No clock, no I/O, nothing that waits.
//!
//! Reading order: `validate` makes a command of a body, `decide` makes an event of a command,
//! `Profile::apply` folds the event.

pub mod validate;

mod decide;
mod language;
mod profile;
mod rejection;
mod rule;

pub use decide::decide;
pub use language::canonical_language;
pub use profile::Profile;
pub use rejection::Rejection;
pub use rule::Violations;

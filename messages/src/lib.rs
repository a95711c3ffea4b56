//! The contract of profile-service, data only: what a Rust consumer depends on.
//!
//! Reading order: ids and time, the profile, commands and queries with their bodies, replies, errors,
//! events, subjects, the envelope of a request; then what is stored. Everything stored or sent has a
//! golden file under `golden/`; a released format stays readable for ever.

mod id;
mod profile;
mod timestamp;

pub mod canonical;
pub mod command;
pub mod current;
pub mod envelope;
pub mod error;
pub mod event;
pub mod json;
pub mod query;
pub mod record;
pub mod reply;
pub mod schema;
pub mod subject;
pub mod trace;

pub use id::{ID_LENGTH_BYTES_MAX, InvalidId, OrgId, Position, UserId, Version};
pub use profile::{Contact, FieldChanges, Gender, LANGUAGE_UNDETERMINED, ProfileFields, UserState};
pub use timestamp::Timestamp;

//! Every example is run against a real nats-server and the real service, and what it does is looked at.
//!
//! The Rust and the curl ones always; those in Python and TypeScript where `make examples-test` has fetched what
//! they need and says where it is.

mod consumers;
mod curl;
mod language;
mod lost_answers;
mod readme;
mod requesters;
mod running;
mod world;
mod zitadel;

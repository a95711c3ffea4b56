//! The HTTP port as ZITADEL's clients use it, and beside them NATS: the same calls, the same answers.

mod cases;
mod semantics;
mod table;
mod validation;
mod world;

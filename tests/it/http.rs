//! The HTTP port as ZITADEL's clients use it, and beside them NATS: the same calls, the same answers.

mod beyond;
mod browser;
mod cases;
mod clients;
mod conditions;
mod connect;
mod decoding;
mod documented;
mod drain;
mod helpers;
mod limits;
mod oracle;
mod raw;
mod semantics;
mod table;
mod tls;
mod validation;
mod wire;
mod world;

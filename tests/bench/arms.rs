//! What is measured side by side.

pub(crate) mod http;
pub(crate) mod kv;
pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod raw_log;
pub(crate) mod redis;

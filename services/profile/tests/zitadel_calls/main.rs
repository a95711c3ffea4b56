//! ZITADEL's calls through the funnel, in process: whatever transport decodes them, this is what they do.

// Everything here is a test, but clippy counts only the functions so marked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod create;
mod reads;
mod unsupported;
mod update;
mod world;

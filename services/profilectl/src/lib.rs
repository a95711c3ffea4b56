//! What the command line client and the tests share.

pub mod token;

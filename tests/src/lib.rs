//! The test harness: real child processes on loopback, each with its own folder, gone when dropped.

// Everything here runs in tests only, but clippy cannot see that of a library.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod bus;
pub mod caller;
pub mod fault_proxy;
pub mod http_client;
pub mod namespaces;
pub mod nats_cluster;
pub mod nats_server;
pub mod outcome;
pub mod ports;
pub mod promises;
pub mod raw_bytes;
pub mod repository;
pub mod service;
pub mod temp_dir;
pub mod transports;

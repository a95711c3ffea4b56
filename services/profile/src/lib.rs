//! profile-service: everything that touches the world.
//!
//! Modules in reading order: one update passes them from `transport` down to `commit_log` and back.

pub mod app;

pub mod transport;

pub mod backup;

pub mod service;

pub mod gateway;

pub mod actor;

pub mod entity;

pub mod commit_log;

pub mod jetstream;

pub mod current_view;

pub mod compaction;

pub mod relay;

pub mod auth;

pub mod config;

pub mod data_dir;

pub mod file_system;

pub mod telemetry;

pub mod clock;

pub mod error;

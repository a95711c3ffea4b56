//! profile-service: everything that touches the world.
//!
//! Modules in reading order: one update passes them from `service` down to `commit_log` and back.

pub mod gateway;

pub mod actor;

pub mod entity;

pub mod commit_log;

pub mod current_view;

pub mod auth;

pub mod config;

pub mod clock;

pub mod error;

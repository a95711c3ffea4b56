//! profile-service: everything that touches the world.

pub mod auth;
pub mod clock;
pub mod commit_log;
pub mod current_view;
pub mod error;
pub mod relay;
pub mod service;

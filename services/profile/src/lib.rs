//! profile-service: everything that touches the world.

pub mod clock;
pub mod commit_log;
pub mod current_view;
pub mod data_dir;
pub mod file_system;

//! Everything against a real nats-server, in one binary: a module for each subject.

mod permissions;
mod service;

//! Everything against a real nats-server, in one binary: a module for each subject.

mod backup;
mod cluster;
mod doctor;
mod edge;
mod erasure;
mod formats;
mod http;
mod jetstream_log;
mod micro;
mod monitoring;
mod nats_edge;
mod nats_shutdown;
mod permissions;
mod profilectl;
mod relay;
mod repeats;
mod schemas;
mod service;
mod start;
mod tokens;
mod tracing;

//! What a connection to the bus has carried, by async-nats' own counts.

use std::sync::atomic::Ordering;

use async_nats::Client;
use async_nats::connection::State;

/// One connection, to be looked at from anywhere.
#[derive(Clone, Debug)]
pub struct Traffic(Client);

/// Since the process started; bytes with the protocol's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficNumbers {
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The first one included.
    pub connections: u64,
    pub is_connected: bool,
}

impl Traffic {
    pub fn of(client: &Client) -> Traffic {
        Traffic(client.clone())
    }

    pub fn read(&self) -> TrafficNumbers {
        let statistics = self.0.statistics();
        TrafficNumbers {
            messages_in: statistics.in_messages.load(Ordering::Relaxed),
            messages_out: statistics.out_messages.load(Ordering::Relaxed),
            bytes_in: statistics.in_bytes.load(Ordering::Relaxed),
            bytes_out: statistics.out_bytes.load(Ordering::Relaxed),
            connections: statistics.connects.load(Ordering::Relaxed),
            is_connected: self.0.connection_state() == State::Connected,
        }
    }
}

//! What services and callers connect to: one nats-server, or several that are one bus.

use std::time::Duration;

use async_nats::{Client, ServerAddr};

use crate::nats_server::NatsUser;

/// A frozen server is left for another one soon.
const PING_EVERY: Duration = Duration::from_millis(500);

pub trait Bus {
    /// `nats://ADDRESS:PORT` of every server, without credentials.
    fn urls(&self) -> Vec<String>;
}

/// A client that goes to another server when its own one is gone.
///
/// # Panics
/// When no server takes the connection.
pub async fn connect(bus: &impl Bus, user: NatsUser) -> Client {
    let urls = bus.urls();
    let servers: Vec<ServerAddr> = urls
        .iter()
        .map(|url| url.parse().expect("the address of a server"))
        .collect();
    let mut options = user.connect_options();
    if servers.len() > 1 {
        options = options.ping_interval(PING_EVERY);
    }
    let connected = options.connect(servers).await;
    connected.expect("a server takes connections")
}

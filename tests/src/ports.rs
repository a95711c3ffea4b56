//! Free ports of the loopback interface, without a race.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A TCP port on 127.0.0.1 that stays ours, also while the server that uses it is down.
///
/// The socket is bound but never listens, so that a child may bind the same port (both sides set
/// `SO_REUSEADDR`, as nats-server and tokio do) while the kernel gives it to nobody else.
#[derive(Debug)]
pub struct HeldPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl HeldPort {
    /// # Panics
    /// When the machine has no free port.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket
            .bind((Ipv4Addr::LOCALHOST, 0).into())
            .expect("a free port on loopback");
        let address = socket.local_addr().expect("the address just bound");
        Self {
            _socket: socket,
            address,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn number(&self) -> u16 {
        self.address.port()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    // Again and again: that is the restart test of nats_server. Here a child that another test forks
    // in between would keep a closed listener alive for a moment.
    #[test]
    fn a_held_port_can_be_listened_on() {
        let port = HeldPort::take();
        let listener = TcpListener::bind(port.address()).unwrap();
        let _client = TcpStream::connect(port.address()).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn a_held_port_is_given_to_nobody_else() {
        let held: Vec<_> = (0..500).map(|_| HeldPort::take()).collect();
        let numbers: HashSet<_> = held.iter().map(HeldPort::number).collect();
        assert_eq!(numbers.len(), held.len());
    }
}

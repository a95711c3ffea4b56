//! A subscriber that never reads, many times over.

use std::fmt::Write as _;
use std::time::Duration;

use profile_tests::nats_server::{NatsServer, NatsUser};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::AbortHandle;
use tokio::time::interval;

/// Each event is sent to it so many times.
const SUBSCRIPTIONS: usize = 1_000;
const RECEIVE_BUFFER_BYTES: u32 = 4_096;

/// Often enough not to pass for dead.
const PONG_EVERY: Duration = Duration::from_millis(200);

/// The open connection.
pub(crate) struct SlowConsumer {
    _unread: OwnedReadHalf,
    ponging: AbortHandle,
}

impl Drop for SlowConsumer {
    fn drop(&mut self) {
        self.ponging.abort();
    }
}

impl SlowConsumer {
    pub(crate) async fn subscribe(server: &NatsServer) -> SlowConsumer {
        let socket = TcpSocket::new_v4().expect("a socket");
        let small = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        small.expect("a socket's buffer has a size");
        let connected = socket.connect(server.address()).await;
        let mut connection = connected.expect("the server takes connections");
        let user = NatsUser::Consumer;
        let mut lines = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{}\",\"pass\":\"{}\"}}\r\n",
            user.name(),
            user.password()
        );
        for number in 1..=SUBSCRIPTIONS {
            write!(lines, "SUB profile-event.v1.> {number}\r\n").expect("a text grows");
        }
        let sent = connection.write_all(lines.as_bytes()).await;
        sent.expect("the server reads");
        let (unread, mut writing) = connection.into_split();
        let ponging = tokio::spawn(async move {
            let mut pace = interval(PONG_EVERY);
            while writing.write_all(b"PONG\r\n").await.is_ok() {
                pace.tick().await;
            }
        });
        SlowConsumer {
            _unread: unread,
            ponging: ponging.abort_handle(),
        }
    }
}

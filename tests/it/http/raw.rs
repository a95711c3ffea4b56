//! A connection of which a test writes every byte.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use profile_tests::http_client::HttpAnswer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for the peer; nothing here waits so long unless it is broken.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("the port is open");
        stream.set_nodelay(true).unwrap();
        Raw {
            stream,
            read: Vec::new(),
        }
    }

    /// Writes as much as the peer takes: it may have closed already, which reading tells.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next answer of HTTP/1.1, which has a length.
    pub(crate) async fn answer(&mut self) -> HttpAnswer {
        loop {
            if let Some((answer, length)) = parsed(&self.read) {
                self.read.drain(..length);
                return answer;
            }
            assert_ne!(self.receive().await, 0, "cut off behind {:?}", self.read);
        }
    }

    /// Everything until the peer closes.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        while self.receive().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn is_silent(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        self.read.is_empty()
            && read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    async fn receive(&mut self) -> usize {
        let reading = timeout(WAIT_MAX, self.stream.read_buf(&mut self.read)).await;
        match reading.expect("the peer does something") {
            Ok(bytes) => bytes,
            // A peer that closes with bytes unread resets.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An answer at the beginning of `bytes`, if it is there as a whole, and its length.
fn parsed(bytes: &[u8]) -> Option<(HttpAnswer, usize)> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split_terminator("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let status: StatusCode = status.parse().unwrap();
    let mut headers = http::HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let length = headers.get("content-length").expect("a length");
    let length: usize = length.to_str().unwrap().parse().unwrap();
    let body = bytes.get(end..end + length)?;
    let answer = HttpAnswer {
        status: status.as_u16(),
        headers,
        body: body.to_vec().into(),
        trailers: http::HeaderMap::new(),
    };
    Some((answer, end + length))
}

//! One connection through the proxy: two directions, each passing frame after frame.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::frames::{Verdict, frame_len, name_in_connect};
use super::{Direction, Role, Shared, Weather};

/// What was decided about one connection alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    cut: bool,
    abandoned: bool,
}

#[derive(Debug, Default)]
pub(super) struct Link {
    role: OnceLock<Role>,
    fate: watch::Sender<Fate>,
}

impl Link {
    /// Known as soon as it logged in.
    pub(super) fn role(&self) -> Option<Role> {
        self.role.get().copied()
    }

    pub(super) fn cut(&self) {
        self.fate.send_modify(|fate| fate.cut = true);
    }

    pub(super) fn abandon(&self) {
        self.fate.send_modify(|fate| fate.abandoned = true);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.fate.borrow().cut
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.fate.borrow().abandoned
    }
}

/// Carries both directions until either ends; then both sides are closed.
pub(super) async fn run(link: &Link, shared: &Shared, service: TcpStream, server: TcpStream) {
    for side in [&service, &server] {
        side.set_nodelay(true).expect("a TCP socket");
    }
    let (from_service, to_service) = service.into_split();
    let (from_server, to_server) = server.into_split();
    let mut fate = link.fate.subscribe();
    let pipe = |direction, from, to| Pipe {
        link,
        shared,
        direction,
        from,
        to,
    };
    tokio::select! {
        () = pipe(Direction::ToServer, from_service, to_server).carry() => {}
        () = pipe(Direction::ToService, from_server, to_service).carry() => {}
        _ = fate.wait_for(|fate| fate.cut) => {}
    }
    link.cut();
}

struct Pipe<'a> {
    link: &'a Link,
    shared: &'a Shared,
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
}

impl Pipe<'_> {
    async fn carry(mut self) {
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        loop {
            while let Some(length) = frame_len(&buffer) {
                if self.pass(&buffer[..length]).await == Verdict::Cut {
                    return;
                }
                buffer.advance(length);
            }
            self.until_free(self.direction).await;
            match self.from.read_buf(&mut buffer).await {
                Ok(1..) => {}
                // The end passes as late as everything else.
                Ok(0) | Err(_) => {
                    self.until_free(self.direction).await;
                    return;
                }
            }
        }
    }

    async fn pass(&mut self, frame: &[u8]) -> Verdict {
        if self.direction == Direction::ToServer
            && let Some(name) = name_in_connect(frame)
            && let Some(role) = Role::of(&name)
        {
            let _ = self.link.role.set(role);
        }
        let weather = self.until_free(self.direction).await;
        self.wait(weather.latency).await;
        if matches!(self.link.role(), Some(Role::Relay | Role::Log)) {
            match self.direction {
                Direction::ToServer => self.shared.events.to_server(frame),
                Direction::ToService => {
                    if self.shared.events.to_relay(frame) == Verdict::Cut {
                        return Verdict::Cut;
                    }
                }
            }
        }
        if self.to.write_all(frame).await.is_ok() {
            return Verdict::Pass;
        }
        // That side is closed, which is told in the other direction.
        let opposite = match self.direction {
            Direction::ToServer => Direction::ToService,
            Direction::ToService => Direction::ToServer,
        };
        self.until_free(opposite).await;
        Verdict::Cut
    }

    /// Waits while this direction is held; forever on an abandoned connection.
    async fn until_free(&self, direction: Direction) -> Weather {
        loop {
            let mut fate = self.link.fate.subscribe();
            if fate.borrow_and_update().abandoned {
                std::future::pending::<()>().await;
            }
            let Some(role) = self.link.role() else {
                return Weather::default();
            };
            let mut weather = self.shared.weather[role as usize].subscribe();
            let now = *weather.borrow_and_update();
            if !now.holds(direction) {
                return now;
            }
            tokio::select! {
                _ = weather.changed() => {}
                _ = fate.changed() => {}
            }
        }
    }

    /// A slow line is made of time; there is no event to wait for.
    async fn wait(&self, latency: Duration) {
        if !latency.is_zero() {
            let _ = timeout(latency, std::future::pending::<()>()).await;
        }
    }
}

//! Accepts connections, no more than may be open, and serves each until it ends or nothing moves on it.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::HttpOptions;
use super::dispatch::Dispatch;
use crate::transport::Funnel;

/// Pause after a failed accept: most likely there are no file descriptors left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Sum of a request's header bytes over HTTP/2; over HTTP/1.1 of a request's head.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// Answers of one connection that wait for its peer, in bytes of HTTP/2 frames.
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Two missed pings are a lost peer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until told to stop, then waits for the requests in work.
pub(super) async fn run<F: Funnel>(
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    options: HttpOptions,
    dispatch: Dispatch<F>,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(options.connections_max));
    let graceful = GracefulShutdown::new();
    let server = Arc::new(Server {
        builder: builder(&options),
        tls,
        idle_timeout: options.idle_timeout,
        handshake_timeout: options.header_read_timeout,
        dispatch,
    });
    loop {
        let accept = async {
            // Its owner is this function: it is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, socket.accept().await)
        };
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accept => accepted,
        };
        match accepted {
            (place, Ok((stream, _peer))) => {
                let (server, watcher) = (Arc::clone(&server), graceful.watcher());
                tokio::spawn(async move {
                    let _place = place;
                    server.serve(stream, watcher).await;
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(socket);
    graceful.shutdown().await;
}

/// What every connection is served by.
struct Server<F> {
    builder: Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    idle_timeout: Duration,
    handshake_timeout: Duration,
    dispatch: Dispatch<F>,
}

impl<F: Funnel> Server<F> {
    async fn serve(&self, stream: TcpStream, watcher: Watcher) {
        // An answer is one small write: it must not wait for the next.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(self.idle_timeout));
        stream.set_write_timeout(Some(self.idle_timeout));
        let stream = Box::pin(stream);
        let Some(tls) = &self.tls else {
            return self.serve_stream(stream, watcher).await;
        };
        match tokio::time::timeout(self.handshake_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_stream(stream, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve_stream<S>(&self, stream: S, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.dispatch.clone());
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        // Peers come and go as they like; that is no more than a detail.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

fn builder(options: &HttpOptions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read_timeout)
        .max_buf_size(HEADERS_BYTES_MAX as usize)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(options.streams_per_connection_max)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

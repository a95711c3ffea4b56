//! One connection: TLS, the version of HTTP, and its end when it idles, when nothing moves, or when the
//! service stops.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::HttpOptions;
use super::dispatch::Dispatch;
use crate::transport::Funnel;
use crate::transport::exchange::Response;

/// Sum of a request's header bytes over HTTP/2; over HTTP/1.1 of a request's head.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// Answers of one connection that wait for its peer, in bytes of HTTP/2 frames.
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A missed ping is a lost peer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What every connection is served by.
pub(super) struct Server<F> {
    builder: Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    idle_timeout: Duration,
    handshake_timeout: Duration,
    dispatch: Dispatch<F>,
    stopped: watch::Receiver<bool>,
}

impl<F: Funnel> Server<F> {
    pub(super) fn new(
        options: &HttpOptions,
        tls: Option<TlsAcceptor>,
        dispatch: Dispatch<F>,
        stopped: watch::Receiver<bool>,
    ) -> Server<F> {
        Server {
            builder: builder(options),
            tls,
            idle_timeout: options.idle_timeout,
            handshake_timeout: options.header_read_timeout,
            dispatch,
            stopped,
        }
    }

    /// Until the peer or the service has enough of it.
    pub(super) async fn serve(&self, stream: TcpStream) {
        // An answer is one small write: it must not wait for the next.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(self.idle_timeout));
        stream.set_write_timeout(Some(self.idle_timeout));
        let stream = Box::pin(stream);
        let Some(tls) = &self.tls else {
            return self.serve_stream(stream).await;
        };
        match tokio::time::timeout(self.handshake_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_stream(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let service = TowerToHyperService::new(Counted {
            dispatch: self.dispatch.clone(),
            activity: Arc::clone(&activity),
        });
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let mut connection = pin!(connection);
        let mut stopped = self.stopped.clone();
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            _ = stopped.wait_for(|stopped| *stopped) => None,
            () = activity.idle(self.idle_timeout) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // Peers come and go as they like; that is no more than a detail.
        if let Err(error) = ended {
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

/// How many requests a connection has begun and ended. A peer that only answers pings is idle.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// Returns once no request was there for `bound`.
    async fn idle(&self, bound: Duration) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(bound).await;
            let is_quiet = self.ended.load(Ordering::Relaxed) == begun;
            if is_quiet && self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

/// Counts the requests of one connection on their way.
struct Counted<F> {
    dispatch: Dispatch<F>,
    activity: Arc<Activity>,
}

impl<F> Clone for Counted<F> {
    fn clone(&self) -> Counted<F> {
        Counted {
            dispatch: self.dispatch.clone(),
            activity: Arc::clone(&self.activity),
        }
    }
}

impl<F: Funnel> Service<Request<Incoming>> for Counted<F> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.dispatch, cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.activity.begun.fetch_add(1, Ordering::Relaxed);
        let begun = Begun(Arc::clone(&self.activity));
        let answering = self.dispatch.call(request);
        Box::pin(async move {
            let _begun = begun;
            answering.await
        })
    }
}

/// A request that has begun; ended when it is dropped, answered or not.
struct Begun(Arc<Activity>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

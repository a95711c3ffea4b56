//! The HTTP edge: one port for REST, gRPC, gRPC-Web and Connect, over HTTP/1.1 and HTTP/2 (h2c too).
//!
//! `listener` accepts connections and bounds them; `dispatch` tells the protocols apart; `rest`, `grpc` and
//! `connect` frame requests and answers; `exchange` is what they share: one bounded way through the funnel.

pub(in crate::transport) mod dispatch;
pub(in crate::transport) mod exchange;
pub(in crate::transport) mod headers;
mod listener;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::dispatch::Dispatch;
use self::exchange::Exchange;
use crate::clock::Clock;
use crate::transport::Funnel;

pub use self::exchange::HttpCounters;
pub use self::tls::TlsError;

/// Where the edge listens and what it bears.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub listen: SocketAddr,
    pub tls: Option<HttpTls>,
    /// Further connections wait in the kernel's queue.
    pub connections_max: usize,
    pub streams_per_connection_max: u32,
    pub in_flight_requests_max: usize,
    /// From the first byte of a request to the end of its headers.
    pub header_read_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_read_timeout: Duration,
    /// A connection on which nothing moves for so long is closed.
    pub idle_timeout: Duration,
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct HttpTls {
    pub certificates: PathBuf,
    pub key: PathBuf,
    /// Authorities of client certificates; with it every client must show one.
    pub client_authorities: Option<PathBuf>,
}

/// Why the edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpStartError {
    #[error("http.listen {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the reflection service: {0}")]
    Reflection(String),
}

/// A running edge. Dropped without a [`HttpEdge::drain`], it stops at once.
#[derive(Debug)]
pub struct HttpEdge {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    counters: Arc<HttpCounters>,
}

impl HttpEdge {
    /// Listens; returns when connections are taken.
    ///
    /// # Errors
    /// [`HttpStartError`]; nothing is left running.
    pub async fn start<F: Funnel>(
        options: HttpOptions,
        funnel: Arc<F>,
        clock: Arc<dyn Clock>,
    ) -> Result<HttpEdge, HttpStartError> {
        let failed = |source| HttpStartError::Listen {
            address: options.listen,
            source,
        };
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let socket = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let counters = Arc::new(HttpCounters::default());
        let exchange = Exchange::new(funnel, clock, &options, Arc::clone(&counters));
        let dispatch = Dispatch::new(Arc::new(exchange))?;
        let (stop, stopped) = watch::channel(false);
        let accepting = listener::run(socket, tls, options, dispatch, stopped);
        Ok(HttpEdge {
            address,
            stop,
            accepting: tokio::spawn(accepting),
            counters,
        })
    }

    /// Where it listens: with port 0 in the options, on the one that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the edge has counted so far.
    pub fn counters(&self) -> &Arc<HttpCounters> {
        &self.counters
    }

    /// Returns when connections are no longer taken: by a drain, or by a fault.
    pub async fn ended(&self) {
        self.stop.closed().await;
    }

    /// Takes no more connections and requests, answers what was read, closes. Takes `bound` at most.
    /// Whether everything was answered.
    pub async fn drain(mut self, bound: Duration) -> bool {
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(bound, &mut self.accepting).await;
        ended.is_ok()
    }
}

impl Drop for HttpEdge {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

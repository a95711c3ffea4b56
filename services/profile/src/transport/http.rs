//! The HTTP edge: one port for REST, gRPC, gRPC-Web and Connect, over HTTP/1.1 and HTTP/2 (h2c too).
//!
//! `listener` accepts connections and bounds them; `dispatch` tells the protocols apart; then `rest`, `grpc` or
//! `connect` frames the request and goes through the `exchange` that they share.

mod connection;
pub(in crate::transport) mod dispatch;
mod listener;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use self::dispatch::Dispatch;
use crate::clock::Clock;
use crate::transport::Funnel;
use crate::transport::exchange::Exchange;

pub use self::tls::TlsError;
pub use crate::transport::exchange::HttpCounters;

/// Where the edge listens and what it bears.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub listen: SocketAddr,
    pub tls: Option<HttpTls>,
    /// Further connections wait in the kernel's queue.
    pub connections_max: usize,
    pub streams_per_connection_max: u32,
    pub in_flight_requests_max: usize,
    /// Until the headers of the next request are there; over HTTP/1.1 from the end of the last one.
    pub header_read_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_read_timeout: Duration,
    /// A connection without a request is closed after this time, twice it at most; one whose peer neither
    /// sends nor takes anything after this time.
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

/// The port, ours, before anybody is served on it: what can fail at a start has not failed.
pub struct HttpPort {
    address: SocketAddr,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    options: HttpOptions,
}

impl HttpPort {
    /// Reads the TLS files and takes the port.
    ///
    /// # Errors
    /// [`HttpStartError`].
    pub async fn open(options: HttpOptions) -> Result<HttpPort, HttpStartError> {
        let failed = |source| HttpStartError::Listen {
            address: options.listen,
            source,
        };
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let socket = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(HttpPort {
            address,
            socket,
            tls,
            options,
        })
    }

    /// Takes connections from here on.
    ///
    /// # Errors
    /// [`HttpStartError::Reflection`], if our own descriptors were broken.
    pub fn serve<F: Funnel>(
        self,
        funnel: Arc<F>,
        clock: Arc<dyn Clock>,
    ) -> Result<HttpEdge, HttpStartError> {
        let options = self.options;
        let counters = Arc::new(HttpCounters::default());
        let exchange = Exchange::new(
            funnel,
            clock,
            options.in_flight_requests_max,
            options.body_read_timeout,
            Arc::clone(&counters),
        );
        let (stop, stopped) = watch::channel(false);
        let dispatch = Dispatch::new(Arc::new(exchange), stopped.clone())?;
        let accepting = listener::run(self.socket, self.tls, options, dispatch, stopped);
        Ok(HttpEdge {
            address: self.address,
            stop,
            accepting: tokio::spawn(accepting),
            counters,
        })
    }
}

impl std::fmt::Debug for HttpPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpPort")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A running edge. Dropped without a [`HttpEdge::drain`], it cuts every connection.
#[derive(Debug)]
pub struct HttpEdge {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    counters: Arc<HttpCounters>,
}

impl HttpEdge {
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

    /// Takes no more connections and requests, answers what was read, closes. What is not done within
    /// `bound` is cut. Whether everything was answered.
    pub async fn drain(mut self, bound: Duration) -> bool {
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(bound, &mut self.accepting).await;
        ended.is_ok()
    }
}

impl Drop for HttpEdge {
    fn drop(&mut self) {
        // The connections are its own: they end with it.
        self.accepting.abort();
    }
}

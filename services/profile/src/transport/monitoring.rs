//! The port for those who watch: `/metrics`, `/livez`, `/readyz`. Of its own, so that it can be kept from
//! those who call, and answers when they are refused.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::telemetry::metrics::{self, Metrics};

/// Watchers at a time; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
const HEADER_READ_BOUND: Duration = Duration::from_secs(10);
/// A connection is closed after so long, whatever it does: nobody scrapes over one for ever.
const CONNECTION_BOUND: Duration = Duration::from_secs(300);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What must be well for requests to be served: its name and, if it is not well, why.
pub struct Check {
    pub name: &'static str,
    pub look: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// What the port shows.
#[derive(Debug)]
pub struct Watched {
    metrics: Arc<Metrics>,
    /// Set once the service takes requests; until then it is not ready.
    checks: OnceLock<Vec<Check>>,
}

impl Watched {
    pub fn new(metrics: Arc<Metrics>) -> Watched {
        Watched {
            metrics,
            checks: OnceLock::new(),
        }
    }

    /// From now on the service is ready as long as every one of these is well. The first call counts.
    pub fn serve_with(&self, checks: Vec<Check>) {
        let _ = self.checks.set(checks);
    }

    /// Each check with what is wrong, if anything; `None` while the service is starting.
    fn looks(&self) -> Option<Vec<(&'static str, Result<(), String>)>> {
        let checks = self.checks.get()?.iter();
        Some(checks.map(|check| (check.name, (check.look)())).collect())
    }
}

/// The running port. It ends when dropped.
#[derive(Debug)]
pub struct MonitoringPort {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl MonitoringPort {
    /// Listens and answers from here on.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(
        listen: SocketAddr,
        watched: Arc<Watched>,
    ) -> std::io::Result<MonitoringPort> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(MonitoringPort {
            address,
            accepting: tokio::spawn(accept(listener, watched)).abort_handle(),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MonitoringPort {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, watched: Arc<Watched>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // Out of files, mostly: those who are here go on, and free some.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let watched = Arc::clone(&watched);
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(CONNECTION_BOUND, serve(stream, watched)).await;
        });
    }
}

async fn serve(stream: TcpStream, watched: Arc<Watched>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(
            &watched,
            request.method(),
            request.uri().path(),
            request.uri().query(),
        );
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_BOUND)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A watcher that goes away is nothing to tell.
    let _ = served.await;
}

fn answer(
    watched: &Watched,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
    }
    match path {
        "/metrics" => match watched.metrics.text() {
            Ok(metrics) => typed(StatusCode::OK, metrics::CONTENT_TYPE, metrics),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n".to_owned()),
        },
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(watched.looks(), query == Some("verbose")),
        _ => text(
            StatusCode::NOT_FOUND,
            "here are /metrics, /livez and /readyz\n".to_owned(),
        ),
    }
}

/// As Kubernetes' own components answer: a word, or a line for each check.
fn ready(
    looks: Option<Vec<(&'static str, Result<(), String>)>>,
    is_verbose: bool,
) -> Response<Full<Bytes>> {
    let Some(looks) = looks else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned());
    };
    let is_ready = looks.iter().all(|(_, look)| look.is_ok());
    let lines = looks.iter().filter_map(|(name, look)| match look {
        Ok(()) if is_verbose || !is_ready => Some(format!("[+]{name} ok\n")),
        Ok(()) => None,
        Err(why) => Some(format!("[-]{name} failed: {why}\n")),
    });
    let lines: String = lines.collect();
    match is_ready {
        true => text(StatusCode::OK, format!("{lines}ok\n")),
        false => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{lines}not ready\n"),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;

//! Tells the protocols on the port apart and answers browsers' questions about origins.
//!
//! gRPC and gRPC-Web are told by their content type, except on REST paths, where ZITADEL reads JSON whatever
//! the type says (zitadel-api §2.3); Connect by the path of a v2 call; the rest is REST.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request};
use tokio::sync::watch;
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use super::HttpStartError;
use crate::transport::api::{ApiService, Call};
use crate::transport::exchange::{Exchange, Response, headers};
use crate::transport::grpc::Grpc;
use crate::transport::{Funnel, connect, rest};

/// What every content type of gRPC and gRPC-Web begins with.
const GRPC: &[u8] = b"application/grpc";
/// How long a browser may remember an answer to a preflight.
const PREFLIGHT_MAX_AGE_S: u64 = 600;

/// The service of every connection.
#[derive(Debug)]
pub(in crate::transport) struct Dispatch<F> {
    service: Cors<Protocols<F>>,
}

impl<F: Funnel> Dispatch<F> {
    pub(in crate::transport) fn new(
        exchange: Arc<Exchange<F>>,
        stopped: watch::Receiver<bool>,
    ) -> Result<Dispatch<F>, HttpStartError> {
        let grpc = Grpc::new(Arc::clone(&exchange), stopped);
        let grpc = grpc.map_err(|error| HttpStartError::Reflection(error.to_string()))?;
        let protocols = Protocols { exchange, grpc };
        let service = cors().layer(protocols);
        Ok(Dispatch { service })
    }
}

impl<F> Clone for Dispatch<F> {
    fn clone(&self) -> Dispatch<F> {
        let service = self.service.clone();
        Dispatch { service }
    }
}

impl<F, B> Service<Request<B>> for Dispatch<F>
where
    F: Funnel,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answering = self.service.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            headers::add_general(response.headers_mut());
            Ok(response)
        })
    }
}

/// Behind the answers to preflights.
#[derive(Debug)]
struct Protocols<F> {
    exchange: Arc<Exchange<F>>,
    grpc: Grpc<F>,
}

impl<F> Clone for Protocols<F> {
    fn clone(&self) -> Protocols<F> {
        Protocols {
            exchange: Arc::clone(&self.exchange),
            grpc: self.grpc.clone(),
        }
    }
}

impl<F, B> Service<Request<B>> for Protocols<F>
where
    F: Funnel,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (exchange, grpc) = (Arc::clone(&self.exchange), self.grpc.clone());
        let answering = async move {
            match protocol(&request) {
                Protocol::Grpc => {
                    let answered = grpc.oneshot(web_accepted(request)).await;
                    answered.unwrap_or_else(|never| match never {})
                }
                Protocol::Connect(call) => connect::answer(&exchange, call, request).await,
                Protocol::Rest => rest::answer(&exchange, request).await,
            }
        };
        // A call is caught where it can be answered in its own words; this is for the frame around it.
        let caught = AssertUnwindSafe(answering).catch_unwind();
        let exchange = Arc::clone(&self.exchange);
        Box::pin(async move { Ok(caught.await.unwrap_or_else(|_| exchange.panicked())) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Connect(Call),
    Rest,
}

fn protocol<B>(request: &Request<B>) -> Protocol {
    let path = request.uri().path();
    if rest::is_rest_path(path) {
        return Protocol::Rest;
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let prefix = |it: &[u8]| {
        it.get(..GRPC.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(GRPC))
    };
    let is_grpc = content_type.is_some_and(|it| prefix(it.as_bytes()));
    if is_grpc {
        return Protocol::Grpc;
    }
    // ZITADEL's v1 services do not speak Connect.
    match Call::from_rpc_path(path) {
        Some(call) if call.service() == ApiService::UserV2 => Protocol::Connect(call),
        Some(_) | None => Protocol::Rest,
    }
}

/// The one form of each content type that tonic-web knows, and the answer in the form of the question
/// (zitadel-api §5.4): parameters, letter case and whatever else `Accept` lists do not matter.
fn web_accepted<B>(mut request: Request<B>) -> Request<B> {
    const WEB: &str = "application/grpc-web";
    let asked = request.headers().get(CONTENT_TYPE);
    let asked = asked.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = asked.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let form = match essence.strip_prefix(WEB) {
        None => return request,
        Some("-text") => "application/grpc-web-text",
        Some("-text+proto") => "application/grpc-web-text+proto",
        Some("") => WEB,
        Some(_) => "application/grpc-web+proto",
    };
    for name in [CONTENT_TYPE, ACCEPT] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(form));
    }
    request
}

/// All origins, with credentials; the headers of zitadel-api §5.3 and ours.
fn cors() -> CorsLayer {
    let methods = [
        Method::OPTIONS,
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let allowed = [
        "origin",
        "content-type",
        "accept",
        "accept-language",
        "authorization",
        "x-zitadel-orgid",
        "x-user-agent",
        "x-grpc-web",
        "x-requested-with",
        "connect-protocol-version",
        "connect-timeout-ms",
        "grpc-timeout",
        "profile-org",
        "profile-expected-version",
        "profile-deadline-ms",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "traceparent",
        "tracestate",
    ];
    let exposed = [
        LOCATION,
        CONTENT_LENGTH,
        HeaderName::from_static("grpc-status"),
        HeaderName::from_static("grpc-message"),
        HeaderName::from_static("grpc-status-details-bin"),
        HeaderName::from_static("etag"),
        HeaderName::from_static("deprecation"),
        HeaderName::from_static("link"),
        HeaderName::from_static("retry-after"),
        HeaderName::from_static("traceresponse"),
        HeaderName::from_static("warning"),
    ];
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_credentials(true)
        .allow_methods(methods)
        .allow_headers(allowed.map(HeaderName::from_static))
        .expose_headers(exposed)
        .max_age(std::time::Duration::from_secs(PREFLIGHT_MAX_AGE_S))
}

#[cfg(test)]
mod tests;

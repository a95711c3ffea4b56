//! gRPC and gRPC-Web, both over tonic: framing, compression and trailers are its business, the messages
//! stay bytes until the call is known. Health and reflection stand beside ZITADEL's services.

mod codec;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request};
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service, ServiceExt, service_fn};

use self::codec::BytesCodec;
use super::api::{ApiService, Call, proto, proto_reply, status};
use super::http::exchange::{Exchange, Place, Response};
use super::http::headers;
use super::{Funnel, Request as FunnelRequest};
use crate::error::ServiceError;

/// A flag and the length of the message.
const FRAME_HEAD_BYTES: usize = 5;

/// Every request whose content type is one of gRPC's.
#[derive(Debug)]
pub(super) struct Grpc<F> {
    service: GrpcWebService<Services<F>>,
}

impl<F: Funnel> Grpc<F> {
    pub(super) fn new(
        exchange: Arc<Exchange<F>>,
    ) -> Result<Grpc<F>, tonic_reflection::server::Error> {
        let services = Services {
            exchange,
            helpers: helpers()?,
        };
        Ok(Grpc {
            service: GrpcWebLayer::new().layer(services),
        })
    }
}

impl<F> Clone for Grpc<F> {
    fn clone(&self) -> Grpc<F> {
        let service = self.service.clone();
        Grpc { service }
    }
}

impl<F, B> Service<Request<B>> for Grpc<F>
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
        let service = self.service.clone();
        let request = request.map(tonic::body::Body::new);
        Box::pin(service.oneshot(request))
    }
}

/// Health (always serving: the port is open only while the service takes requests) and reflection, in both
/// of its versions.
fn helpers() -> Result<Routes, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in ApiService::ALL {
        let serving = tonic_health::ServingStatus::Serving;
        // Nobody waits for this lock: it was made here.
        futures::FutureExt::now_or_never(reporter.set_service_status(service.name(), serving));
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    Ok(Routes::new(health).add_service(v1).add_service(v1alpha))
}

/// Behind the translation of gRPC-Web.
#[derive(Debug)]
struct Services<F> {
    exchange: Arc<Exchange<F>>,
    helpers: Routes,
}

impl<F> Clone for Services<F> {
    fn clone(&self) -> Services<F> {
        Services {
            exchange: Arc::clone(&self.exchange),
            helpers: self.helpers.clone(),
        }
    }
}

impl<F: Funnel> Service<Request<tonic::body::Body>> for Services<F> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        match Call::from_rpc_path(request.uri().path()) {
            Some(call) => {
                let exchange = Arc::clone(&self.exchange);
                Box::pin(async move { Ok(answer(&exchange, call, request).await) })
            }
            // Unknown ones are answered as unimplemented there.
            None => Box::pin(self.helpers.clone().oneshot(request)),
        }
    }
}

async fn answer<F: Funnel>(
    exchange: &Arc<Exchange<F>>,
    call: Call,
    request: Request<tonic::body::Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match read(exchange, body).await {
        Err(error) => failure(&error).into_http(),
        Ok((place, wire)) => {
            let sent_headers = parts.headers.clone();
            let request = Request::from_parts(parts, http_body_util::Full::new(wire));
            let unary = service_fn(|request: tonic::Request<Bytes>| {
                let (place, headers) = (&place, &sent_headers);
                async move { called(exchange, place, call, headers, &request.into_inner()).await }
            });
            let mut grpc = tonic::server::Grpc::new(BytesCodec)
                .max_decoding_message_size(BODY_BYTES_MAX)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            grpc.unary(unary, request).await
        }
    };
    let successor = call.successor().map(Call::rpc_path).unwrap_or_default();
    headers::add_advice(response.headers_mut(), call, &successor);
    response
}

/// A place, and the frame of one message as a whole: so a slow sender is bounded in time.
async fn read<F: Funnel>(
    exchange: &Exchange<F>,
    body: tonic::body::Body,
) -> Result<(Place<'_>, Bytes), ServiceError> {
    let place = exchange.place()?;
    let wire = exchange.wire_body(body).await?;
    // The library refuses it too, but as out of range, where every other transport says it is invalid.
    let length = wire
        .get(1..FRAME_HEAD_BYTES)
        .and_then(|it| it.try_into().ok());
    let length = length.map_or(0, u32::from_be_bytes);
    if usize::try_from(length).map_or(true, |length| length > BODY_BYTES_MAX) {
        return Err(BodyError::TooLong.into());
    }
    Ok((place, wire))
}

async fn called<F: Funnel>(
    exchange: &Exchange<F>,
    place: &Place<'_>,
    call: Call,
    sent_headers: &HeaderMap,
    message: &[u8],
) -> Result<tonic::Response<Bytes>, Status> {
    let envelope = headers::envelope(sent_headers).map_err(|error| failure(&error))?;
    let request = proto::request(call, message).map_err(|_| {
        // The library's text may quote what was sent.
        Status::internal("the message cannot be decoded")
    })?;
    let drops_password = match &request {
        FunnelRequest::Command(command) => command.drops_password(),
        FunnelRequest::Query(_) => false,
    };
    let replied = exchange.call(place, envelope, request).await;
    let reply = replied.map_err(|error| failure(&error))?;
    let bytes = proto_reply::response(call, &reply).map_err(|error| failure(&error))?;
    let mut response = tonic::Response::new(Bytes::from(bytes));
    if drops_password {
        let mut headers = HeaderMap::new();
        headers::add_password_warning(&mut headers);
        *response.metadata_mut() = MetadataMap::from_headers(headers);
    }
    Ok(response)
}

/// `grpc-status`, `grpc-message` and `grpc-status-details-bin`, with what else the error has to say.
fn failure(error: &ServiceError) -> Status {
    let status = error.status();
    let mut headers = HeaderMap::new();
    headers::add_error(&mut headers, error);
    Status::with_details_and_metadata(
        Code::from_i32(status.code),
        status.message.clone(),
        status::status_bytes(&status).into(),
        MetadataMap::from_headers(headers),
    )
}

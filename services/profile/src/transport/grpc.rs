//! gRPC and gRPC-Web, both over tonic: framing, compression and trailers are its business, the messages
//! stay bytes until the call is known. Health and reflection stand beside ZITADEL's services.

mod codec;
mod helpers;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request};
use profile_messages::error::ErrorCode;
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service, ServiceExt, service_fn};

use self::codec::BytesCodec;
use self::helpers::Helpers;
use super::api::{Call, proto, proto_reply, status};
use super::exchange::{Admitted, Exchange, Response, Traced, headers};
use super::{Funnel, Reply};
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
        stopped: watch::Receiver<bool>,
    ) -> Result<Grpc<F>, tonic_reflection::server::Error> {
        let services = Services {
            exchange,
            helpers: Helpers::new(stopped)?,
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
        let request = request.map(Body::new);
        Box::pin(service.oneshot(request))
    }
}

/// Behind the translation of gRPC-Web.
#[derive(Debug)]
struct Services<F> {
    exchange: Arc<Exchange<F>>,
    helpers: Helpers,
}

impl<F> Clone for Services<F> {
    fn clone(&self) -> Services<F> {
        Services {
            exchange: Arc::clone(&self.exchange),
            helpers: self.helpers.clone(),
        }
    }
}

impl<F: Funnel> Service<Request<Body>> for Services<F> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match Call::from_rpc_path(request.uri().path()) {
            Some(call) => {
                let exchange = Arc::clone(&self.exchange);
                Box::pin(async move { Ok(answer(&exchange, call, request).await) })
            }
            None => {
                let helpers = self.helpers.clone();
                Box::pin(async move { Ok(helpers.answer(request).await) })
            }
        }
    }
}

async fn answer<F: Funnel>(exchange: &Exchange<F>, call: Call, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let mut traced = exchange.trace(|| call.traced_as("grpc"), &parts.headers);
    let mut response = match read(exchange, body).await {
        Err(error) => failure(&error).into_http(),
        Ok(admitted) => {
            let headers = parts.headers.clone();
            let wire = http_body_util::Full::new(admitted.wire.clone());
            let unary = service_fn(|request: tonic::Request<Bytes>| {
                let (admitted, sent) = (&admitted, (&headers, &traced));
                async move { called(exchange, admitted, call, sent, &request.into_inner()).await }
            });
            let mut grpc = tonic::server::Grpc::new(BytesCodec)
                .max_decoding_message_size(BODY_BYTES_MAX)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            grpc.unary(unary, Request::from_parts(parts, wire)).await
        }
    };
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |it| it.code());
    traced.status("rpc.grpc.status_code", code as i32);
    traced.answer(ErrorCode::from_grpc(code as i32), response.headers_mut());
    let successor = call.successor().map(Call::rpc_path);
    headers::add_advice(response.headers_mut(), call, successor.as_deref());
    response
}

/// The frame of one message as a whole: so a slow sender is bounded in time.
async fn read<F: Funnel>(exchange: &Exchange<F>, body: Body) -> Result<Admitted<'_>, ServiceError> {
    let admitted = exchange.admit(body).await?;
    // The library refuses it too, but as out of range, where every other transport says it is invalid.
    let length = admitted.wire.get(1..FRAME_HEAD_BYTES);
    let length = length.and_then(|it| it.try_into().ok());
    let length = length.map_or(0, u32::from_be_bytes);
    if usize::try_from(length).map_or(true, |length| length > BODY_BYTES_MAX) {
        return Err(BodyError::TooLong.into());
    }
    Ok(admitted)
}

async fn called<F: Funnel>(
    exchange: &Exchange<F>,
    admitted: &Admitted<'_>,
    call: Call,
    sent: (&HeaderMap, &Traced),
    message: &[u8],
) -> Result<tonic::Response<Bytes>, Status> {
    let mut is_message = true;
    let read = || {
        let request = proto::request(call, message);
        is_message = request.is_ok();
        request.map_err(|_| BodyError::Undecodable.into())
    };
    let write = |reply: &Reply| proto_reply::response(call, reply);
    let answered = exchange.call(admitted, call, sent, read, write).await;
    let answer = match answered {
        Ok(answer) => answer,
        // What grpc-go says of a message that it cannot read.
        Err(_) if !is_message => return Err(Status::internal("the message cannot be decoded")),
        Err(refused) => return Err(failure(&refused.error)),
    };
    let mut response = tonic::Response::new(Bytes::from(answer.message));
    *response.metadata_mut() = MetadataMap::from_headers(answer.headers);
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

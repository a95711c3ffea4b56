//! Health and reflection. Both can stream without an end, so what they may hold is bounded apart from calls.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request};
use http_body::Frame;
use profile_messages::json::BODY_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::transport::api::{ApiService, proto};
use crate::transport::exchange::Response;

/// Requests for health and reflection at once; further ones are refused.
const STREAMS_MAX: usize = 64;
/// From a request to the beginning of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Then a stream ends and its client asks again: nobody holds a place for ever.
const STREAM_LIFETIME: Duration = Duration::from_secs(600);
/// How long streams go on in a shutdown, so that a watcher hears that the service no longer serves.
const STREAM_FAREWELL: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(super) struct Helpers {
    routes: Routes,
    streams: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Helpers {
    /// Serving until `stopped`.
    pub(super) fn new(
        mut stopped: watch::Receiver<bool>,
    ) -> Result<Helpers, tonic_reflection::server::Error> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for service in ApiService::ALL {
            let serving = tonic_health::ServingStatus::Serving;
            // Nobody else has the reporter yet: it does not wait.
            let _ = reporter
                .set_service_status(service.name(), serving)
                .now_or_never();
        }
        let for_routes = stopped.clone();
        tokio::spawn(async move {
            // An edge that is gone has stopped too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
            let names = ApiService::ALL.map(ApiService::name);
            for name in names.into_iter().chain([""]) {
                let gone = tonic_health::ServingStatus::NotServing;
                reporter.set_service_status(name, gone).await;
            }
        });
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let v1 = reflection().build_v1()?;
        let v1alpha = reflection().build_v1alpha()?;
        let routes = Routes::new(health.max_decoding_message_size(BODY_BYTES_MAX))
            .add_service(v1.max_decoding_message_size(BODY_BYTES_MAX))
            .add_service(v1alpha.max_decoding_message_size(BODY_BYTES_MAX));
        Ok(Helpers {
            routes,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopped: for_routes,
        })
    }

    /// Answers health, reflection, and every path that is unknown.
    pub(super) async fn answer(self, request: Request<Body>) -> Response {
        let Ok(place) = self.streams.try_acquire_owned() else {
            return Status::resource_exhausted("too many requests: health and reflection")
                .into_http();
        };
        let answering = self.routes.oneshot(request);
        let Ok(answered) = tokio::time::timeout(ANSWER_WITHIN, answering).await else {
            return Status::deadline_exceeded("the request did not arrive in time").into_http();
        };
        let response = answered.unwrap_or_else(|never| match never {});
        response.map(|body| Body::new(Stream::new(body, place, self.stopped)))
    }
}

/// The body of an answer, for its time.
struct Stream {
    body: Body,
    over: Option<BoxFuture<'static, ()>>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    fn new(body: Body, place: OwnedSemaphorePermit, mut stopped: watch::Receiver<bool>) -> Stream {
        let stopping = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(STREAM_FAREWELL).await;
        };
        let over = async move {
            let _ = tokio::time::timeout(STREAM_LIFETIME, stopping).await;
        };
        Stream {
            body,
            over: Some(over.boxed()),
            _place: place,
        }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let stream = self.get_mut();
        let Some(over) = &mut stream.over else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(&mut stream.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if over.poll_unpin(cx).is_pending() {
            return Poll::Pending;
        }
        stream.over = None;
        let last = Status::unavailable("this stream has lasted long enough, ask again");
        let mut trailers = HeaderMap::new();
        let written = last.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

//! An OpenTelemetry collector that keeps what it is sent: OTLP, protobuf over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::edge::WAIT_MAX;

/// A span as it was sent, ids in hex.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) state: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// Of the service.
    pub(super) resource: BTreeMap<String, String>,
    pub(super) is_error: bool,
    pub(super) nanoseconds: u64,
}

impl Span {
    #[track_caller]
    pub(super) fn attribute(&self, name: &str) -> &str {
        let value = self.attributes.get(name);
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    bodies: Vec<Bytes>,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Collector {
    address: SocketAddr,
    received: watch::Receiver<Received>,
    task: JoinHandle<()>,
}

impl Collector {
    pub(super) async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, received) = watch::channel(Received::default());
        let task = tokio::spawn(serve(listener, sender));
        Collector {
            address,
            received,
            task,
        }
    }

    /// The section of the service's configuration that sends traces here.
    pub(super) fn section(&self) -> String {
        format!("\n[traces]\notlp_endpoint = \"http://{}\"\n", self.address)
    }

    /// The spans of a trace, once there are as many of them; in the order in which they came.
    pub(super) async fn spans_of(&self, trace: &str, count: usize) -> Vec<Span> {
        let of = |received: &Received| -> Vec<Span> {
            let spans = received.spans.iter();
            spans.filter(|span| span.trace == trace).cloned().collect()
        };
        let mut received = self.received.clone();
        let enough = received.wait_for(|received| of(received).len() >= count);
        let enough = timeout(WAIT_MAX, enough).await.map(drop);
        let spans = of(&self.received.borrow());
        assert!(enough.is_ok(), "{count} spans of {trace}: {spans:#?}");
        spans
    }

    /// All that was sent so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.received.borrow().spans.clone()
    }

    /// Whether `text` is anywhere in the bytes that were sent so far.
    pub(super) fn has(&self, text: &str) -> bool {
        let received = self.received.borrow();
        let mut bodies = received.bodies.iter();
        bodies.any(|body| body.windows(text.len()).any(|it| it == text.as_bytes()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, received: watch::Sender<Received>) {
    while let Ok((stream, _)) = listener.accept().await {
        let received = received.clone();
        let answer = service_fn(move |request| take(request, received.clone()));
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
    }
}

async fn take(
    request: Request<Incoming>,
    received: watch::Sender<Received>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let content_type = request.headers().get("content-type");
    assert_eq!(content_type.expect("a type"), "application/x-protobuf");
    let body = request.into_body().collect().await?.to_bytes();
    let export = ExportTraceServiceRequest::decode(body.clone()).expect("an export of spans");
    received.send_modify(|received| {
        received.spans.extend(spans(export));
        received.bodies.push(body);
    });
    Ok(Response::new(Full::default()))
}

fn spans(export: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in export.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let resource = attributes(resource.attributes);
        let scopes = of_resource.scope_spans.into_iter();
        for span in scopes.flat_map(|scope| scope.spans) {
            spans.push(Span {
                kind: span.kind(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                is_error: span.status.unwrap_or_default().code == 2,
                name: span.name,
                state: span.trace_state,
                attributes: attributes(span.attributes),
                resource: resource.clone(),
                nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
            });
        }
    }
    spans
}

fn attributes(of: Vec<KeyValue>) -> BTreeMap<String, String> {
    // Texts and whole numbers are all that the service sends.
    let text = |value: Value| {
        if let Value::IntValue(number) = value {
            return number.to_string();
        }
        if let Value::StringValue(text) = value {
            return text;
        }
        panic!("neither a text nor a number: {value:?}")
    };
    of.into_iter()
        .filter_map(|it| Some((it.key, text(it.value?.value?))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

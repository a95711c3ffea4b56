//! The way of spans to the collector: OTLP as protobuf over HTTP, in batches, from a thread of its own.
//!
//! What ends a span hands it to a bounded queue and goes on. A span that finds the queue full is lost, so a
//! collector that is away costs no request anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tokio::runtime::Handle;

use super::Tracer;
use crate::config::TracesConfig;

/// How long one batch may take to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two batches that are not full.
const BATCH_PAUSE: Duration = Duration::from_secs(1);
const BATCH_SPANS_MAX: usize = 512;
/// Where a collector takes traces, behind its address.
const TRACES_PATH: &str = "/v1/traces";

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("traces.otlp_endpoint: {0}")]
    Exporter(#[from] ExporterBuildError),
    #[error("traces.otlp_endpoint: {0}")]
    Client(#[from] reqwest::Error),
}

/// Batches that were sent, for metrics.
#[derive(Debug, Default)]
pub struct ExportCounts {
    taken: AtomicU64,
    failed: AtomicU64,
}

impl ExportCounts {
    /// Batches that the collector took.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Batches that it refused or that did not reach it: their spans are lost.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The running export; without an endpoint it is none.
#[derive(Debug)]
pub struct Exporter {
    provider: Option<SdkTracerProvider>,
    counts: Arc<ExportCounts>,
}

impl Exporter {
    /// For the process with this store. Nothing is asked of the collector before the first span. Called on
    /// the runtime that is to send.
    ///
    /// # Errors
    /// [`ExportError`] for an endpoint that is none.
    pub fn start(
        config: &TracesConfig,
        store_id: &str,
        version: &'static str,
    ) -> Result<Exporter, ExportError> {
        let counts = Arc::new(ExportCounts::default());
        let Some(endpoint) = &config.otlp_endpoint else {
            let provider = None;
            return Ok(Exporter { provider, counts });
        };
        let mut client = reqwest::Client::builder()
            .timeout(SEND_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if endpoint.starts_with("http://") {
            // An image or a machine without the certificates of authorities needs none for this.
            client = client.tls_certs_only([]);
        }
        let collector = Collector {
            client: client.build()?,
            runtime: Handle::current(),
            counts: Arc::clone(&counts),
            is_away: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_TIMEOUT)
            .with_endpoint(format!("{}{TRACES_PATH}", endpoint.trim_end_matches('/')))
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue_spans_max)
            .with_max_export_batch_size(BATCH_SPANS_MAX.min(config.queue_spans_max))
            .with_scheduled_delay(BATCH_PAUSE)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let ratio = f64::from(config.sampled_traces_per_1000) / 1000.0;
        let root = Sampler::TraceIdRatioBased(ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.build())
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_resource(resource(store_id, version))
            .build();
        tracing::info!(endpoint, "sending traces");
        Ok(Exporter {
            provider: Some(provider),
            counts,
        })
    }

    pub fn tracer(&self) -> Tracer {
        let provider = self.provider.as_ref();
        Tracer(provider.map(|provider| provider.tracer("profile-service")))
    }

    pub fn counts(&self) -> Arc<ExportCounts> {
        Arc::clone(&self.counts)
    }

    /// Sends what is queued, for `bound` at most, and ends. Spans that end later go nowhere.
    pub async fn stop(self, bound: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        let stopping = move || provider.shutdown_with_timeout(bound);
        match tokio::task::spawn_blocking(stopping).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces may not have been sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES` may add to it.
fn resource(store_id: &str, version: &'static str) -> Resource {
    Resource::builder()
        .with_service_name("profile-service")
        .with_attributes([
            KeyValue::new("service.instance.id", store_id.to_owned()),
            KeyValue::new("service.version", version),
        ])
        .build()
}

/// The collector, asked by the runtime on behalf of the exporter's thread, which has none.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    counts: Arc<ExportCounts>,
    /// Since it was said in the log.
    is_away: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.sent(request).await;
        match &sent {
            Ok(response) if response.status().is_success() => self.took(),
            Ok(response) => self.failed(&format!("it answered {}", response.status())),
            Err(error) => self.failed(&error.to_string()),
        }
        sent
    }
}

impl Collector {
    async fn sent(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let answer = client.execute(request).await;
            answer
                .map(|it| it.status())
                .map_err(reqwest::Error::without_url)
        });
        let status = sending.await??;
        // What it says beside the status, in particular of spans that it did not want, is not read.
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }

    fn took(&self) {
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the trace collector takes traces again");
        }
    }

    /// Said once, until it takes traces again.
    fn failed(&self, reason: &str) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "the trace collector takes no traces, they are thrown away until it does"
            );
        }
    }
}

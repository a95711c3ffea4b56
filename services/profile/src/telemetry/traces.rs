//! Traces, sent to an OpenTelemetry collector. Ids, names and versions may stand in a span; values of profile
//! fields, tokens and what a caller made up never.
//!
//! A [`Span`] is a value that ends when it is dropped, and a [`Trace`] is the place at which work goes on:
//! both travel with the request, since one request passes several threads. Without a collector neither
//! holds anything but the context that the caller sent, which is handed on.

mod export;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use profile_messages::error::ErrorCode;
use profile_messages::trace::TraceContext;

pub use self::export::{ExportCounts, ExportError, Exporter};

/// Where spans begin; by default nowhere.
#[derive(Clone, Default)]
pub struct Tracer(Option<SdkTracer>);

impl Tracer {
    /// A request that is served here, whose caller is at `parent`. Both are asked only while traces are sent.
    pub fn serve(
        &self,
        served: impl FnOnce() -> Served,
        parent: impl FnOnce() -> Option<TraceContext>,
    ) -> Span {
        let Some(tracer) = &self.0 else {
            return Span(None);
        };
        let Served { name, attributes } = served();
        let attributes = attributes.into_iter();
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        Span::begin(tracer, builder, parent().as_ref())
    }

    /// Work that belongs to `context`, for instance of a commit that was made before.
    pub fn at(&self, context: Option<&TraceContext>) -> Trace {
        Trace {
            tracer: self.clone(),
            context: context.cloned(),
        }
    }

    /// Work for each of these contexts that is recorded, done at once just now in `took`.
    pub fn did<'a>(
        &self,
        name: &'static str,
        took: Duration,
        contexts: impl Iterator<Item = &'a TraceContext>,
        mut describe: impl FnMut(&mut Span),
    ) {
        let Some(tracer) = &self.0 else { return };
        let now = opentelemetry::time::now();
        for context in contexts.filter(|context| context.is_sampled()) {
            let began = now.checked_sub(took).unwrap_or(now);
            let builder = SpanBuilder::from_name(name).with_start_time(began);
            let mut span = Span::begin(tracer, builder, Some(context));
            describe(&mut span);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = self.0.is_some();
        f.debug_struct("Tracer").field("is_on", &is_on).finish()
    }
}

/// A kind of request as a span shows it: name and values are of a closed set, whatever a caller sends.
#[derive(Debug)]
pub struct Served {
    pub name: Cow<'static, str>,
    pub attributes: Vec<(&'static str, Cow<'static, str>)>,
}

/// A place in a trace: what begins here belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    tracer: Tracer,
    context: Option<TraceContext>,
}

impl Trace {
    /// What a message that leaves from here carries.
    pub fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// A step of the work here. Nothing where the trace is not recorded.
    pub fn step(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Internal)
    }

    /// A message that is sent from here.
    pub fn produce(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Producer)
    }

    fn begin(&self, name: &'static str, kind: SpanKind) -> Span {
        let recorded = self.context.as_ref().filter(|it| it.is_sampled());
        let Some((tracer, context)) = self.tracer.0.as_ref().zip(recorded) else {
            return Span(None);
        };
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        Span::begin(tracer, builder, Some(context))
    }
}

/// Work under way; ends when it is dropped.
pub struct Span(Option<Box<Begun>>);

struct Begun {
    tracer: SdkTracer,
    span: SdkSpan,
}

impl Span {
    fn begin(tracer: &SdkTracer, builder: SpanBuilder, parent: Option<&TraceContext>) -> Span {
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(to_sdk(parent))
        });
        let span = tracer.build_with_context(builder, &parent);
        let tracer = tracer.clone();
        Span(Some(Box::new(Begun { tracer, span })))
    }

    /// The place of this work; `otherwise` where there are no spans.
    pub fn trace(&self, otherwise: Option<TraceContext>) -> Trace {
        match &self.0 {
            None => Trace {
                tracer: Tracer(None),
                context: otherwise,
            },
            Some(begun) => Trace {
                tracer: Tracer(Some(begun.tracer.clone())),
                context: of_sdk(begun.span.span_context()),
            },
        }
    }

    /// The context of this work, if there is a span for it.
    pub fn context(&self) -> Option<TraceContext> {
        self.0
            .as_ref()
            .and_then(|begun| of_sdk(begun.span.span_context()))
    }

    /// Attributes by OpenTelemetry's semantic conventions, or under `profile_service.`.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(begun) = &mut self.0 {
            begun.span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// The same for a text that is made only where there is a span.
    pub fn note_text(&mut self, name: &'static str, value: impl fmt::Display) {
        if let Some(begun) = &mut self.0 {
            let value = KeyValue::new(name, value.to_string());
            begun.span.set_attribute(value);
        }
    }

    /// What the caller is told. Its own mistakes are no errors of the service.
    pub fn answer(&mut self, error: Option<ErrorCode>) {
        self.note(
            "profile_service.outcome",
            error.map_or("OK", ErrorCode::name),
        );
        if let Some(code) = error
            && code.http() >= 500
        {
            self.fail(code.name());
        }
    }

    /// The work failed; `kind` is of a closed set.
    pub fn fail(&mut self, kind: &'static str) {
        self.note("error.type", kind);
        if let Some(begun) = &mut self.0 {
            begun.span.set_status(Status::error(""));
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.context()).finish()
    }
}

fn to_sdk(context: &TraceContext) -> SpanContext {
    let flags = match context.is_sampled() {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    // The SDK is stricter with some states than the W3C: such a one ends here.
    let state = context.tracestate().parse::<TraceState>();
    SpanContext::new(
        TraceId::from_bytes(context.trace_id()),
        SpanId::from_bytes(context.parent_id()),
        flags,
        true,
        state.unwrap_or_default(),
    )
}

fn of_sdk(context: &SpanContext) -> Option<TraceContext> {
    TraceContext::new(
        context.trace_id().to_bytes(),
        context.span_id().to_bytes(),
        context.trace_flags().to_u8(),
        &context.trace_state().header(),
    )
}

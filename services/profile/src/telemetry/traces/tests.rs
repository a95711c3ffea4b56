use std::time::Duration;

use super::*;

fn caller(flags: u8) -> TraceContext {
    TraceContext::new([1; 16], [2; 8], flags, "vendor=1").unwrap()
}

#[test]
fn without_a_collector_nothing_is_described_and_no_span_is_made() {
    let tracer = Tracer::default();
    let mut span = tracer.serve(
        || panic!("the request is described"),
        || panic!("the caller's trace is read"),
    );
    assert!(span.0.is_none());
    span.note_text("a", Untold);
    span.answer(Some(ErrorCode::Internal));
    assert_eq!(span.context(), None);
    let sampled = caller(1);
    let trace = span.trace(Some(sampled.clone()));
    assert_eq!(trace.context(), Some(&sampled), "it is handed on");
    assert!(trace.step("step").0.is_none());
    assert!(tracer.at(Some(&sampled)).produce("publish").0.is_none());
    let nothing = |_: &mut Span| panic!("the work is described");
    tracer.did("sync", Duration::ZERO, [&sampled].into_iter(), nothing);
    // On the way of every request: no more than a pointer.
    assert_eq!(size_of::<Span>(), size_of::<usize>());
}

struct Untold;

impl fmt::Display for Untold {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a text is made for nobody")
    }
}

#[test]
fn a_trace_that_is_not_recorded_has_no_steps_and_goes_on_all_the_same() {
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
    let tracer = Tracer(Some(opentelemetry::trace::TracerProvider::tracer(
        &provider, "test",
    )));
    let served = || Served {
        name: "request".into(),
        attributes: Vec::new(),
    };
    let recorded = tracer.serve(served, || Some(caller(1))).trace(None);
    assert!(recorded.step("step").0.is_some());
    let silent = tracer.serve(served, || Some(caller(0))).trace(None);
    assert!(silent.step("step").0.is_none());
    let context = silent.context().unwrap();
    assert_eq!(context.trace_id(), caller(0).trace_id());
    assert_eq!(context.tracestate(), "vendor=1");
    assert!(!context.is_sampled());
}

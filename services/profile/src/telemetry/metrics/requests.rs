//! Requests that reached the funnel: by transport, operation and outcome, and how long they took.

use std::time::Duration;

use profile_messages::error::ErrorCode;
use profile_messages::subject::Operation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds: from a read out of memory to a caller's usual patience.
const BUCKETS_S: [f64; 13] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Nats,
    /// REST, gRPC, gRPC-Web and Connect.
    Http,
}

impl Transport {
    const ALL: [Transport; 2] = [Transport::Nats, Transport::Http];

    fn name(self) -> &'static str {
        match self {
            Transport::Nats => "nats",
            Transport::Http => "http",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    transport: &'static str,
    operation: &'static str,
    /// `OK` or the name of the error code.
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    transport: &'static str,
    operation: &'static str,
}

/// Looked up by place, so that a request costs two atomic additions and an uncontended lock.
#[derive(Debug)]
pub struct RequestMetrics {
    slots: [Vec<Slot>; Transport::ALL.len()],
}

#[derive(Debug)]
struct Slot {
    ok: Counter,
    /// In the order of `ErrorCode::ALL`.
    errors: Vec<Counter>,
    seconds: Histogram,
}

impl RequestMetrics {
    pub(super) fn registered(registry: &mut Registry) -> RequestMetrics {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        let seconds = Family::<OperationLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(BUCKETS_S)
        });
        registry.register(
            "profile_requests",
            "Requests that were decoded, by what came of them",
            outcomes.clone(),
        );
        registry.register_with_unit(
            "profile_request_duration",
            "From receipt to the answer",
            Unit::Seconds,
            seconds.clone(),
        );
        let slots = Transport::ALL.map(|transport| {
            let slot = |operation: Operation| {
                let (transport, operation) = (transport.name(), operation.name());
                let counter = |outcome| {
                    let labels = OutcomeLabels {
                        transport,
                        operation,
                        outcome,
                    };
                    outcomes.get_or_create(&labels).clone()
                };
                let labels = OperationLabels {
                    transport,
                    operation,
                };
                Slot {
                    ok: counter("OK"),
                    errors: ErrorCode::ALL.map(|code| counter(code.name())).to_vec(),
                    seconds: seconds.get_or_create(&labels).clone(),
                }
            };
            Operation::ALL.map(slot).into()
        });
        RequestMetrics { slots }
    }

    /// An answer of the funnel; `took` from the receipt of the request.
    pub fn record(
        &self,
        transport: Transport,
        operation: Operation,
        error: Option<ErrorCode>,
        took: Duration,
    ) {
        let place = Operation::ALL.iter().position(|&one| one == operation);
        let slots = self.slots.get(transport as usize);
        let Some(slot) = slots.zip(place).and_then(|(slots, place)| slots.get(place)) else {
            return;
        };
        slot.seconds.observe(took.as_secs_f64());
        let Some(error) = error else {
            slot.ok.inc();
            return;
        };
        let place = ErrorCode::ALL.iter().position(|&one| one == error);
        if let Some(counter) = place.and_then(|place| slot.errors.get(place)) {
            counter.inc();
        }
    }
}

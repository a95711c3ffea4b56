//! Numbers that stand somewhere already and are read when Prometheus asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up. `_total` is added to its name.
    Counter,
    /// Up and down.
    Gauge,
}

/// One of the numbers of a name: its labels, of closed sets, and how it is read.
pub struct Sample {
    labels: Vec<(&'static str, &'static str)>,
    read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Sample {
    pub fn of(read: impl Fn() -> f64 + Send + Sync + 'static) -> Sample {
        Sample::labelled([], read)
    }

    pub fn labelled(
        labels: impl IntoIterator<Item = (&'static str, &'static str)>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Sample {
        Sample {
            labels: labels.into_iter().collect(),
            read: Box::new(read),
        }
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// A name and its numbers.
#[derive(Debug)]
pub struct Reading {
    pub name: &'static str,
    /// Without the last dot.
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

impl Reading {
    pub fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Reading {
        Reading {
            name,
            help,
            kind: Kind::Counter,
            samples,
        }
    }

    pub fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Reading {
        Reading {
            name,
            help,
            kind: Kind::Gauge,
            samples,
        }
    }
}

#[derive(Debug)]
pub(super) struct Readings(pub(super) Vec<Reading>);

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for reading in &self.0 {
            let kind = match reading.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            // The library ends a help text of its own metrics with a dot.
            let help = format!("{}.", reading.help);
            let mut family = encoder.encode_descriptor(reading.name, &help, None, kind)?;
            for sample in &reading.samples {
                let one = family.encode_family(&sample.labels)?;
                one_value(reading.kind, (sample.read)(), one)?;
            }
        }
        Ok(())
    }
}

fn one_value(kind: Kind, value: f64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(value).encode(encoder),
    }
}

//! Everything that was measured, by name, and the ratios with their targets.

use std::collections::BTreeMap;

use crate::load::Measured;

/// Values of one round, e.g. `update_256.per_second`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round(pub(crate) BTreeMap<String, f64>);

impl Round {
    pub(crate) fn add(&mut self, cell: &str, measured: &Measured) {
        self.put(cell, "per_second", measured.per_second);
        for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
            self.put(cell, name, measured.us(quantile) as f64);
        }
        self.put(cell, "failures", measured.failures as f64);
    }

    pub(crate) fn put(&mut self, cell: &str, what: &str, value: f64) {
        self.0.insert(format!("{cell}.{what}"), value);
    }

    /// Adds to what is there under the name.
    pub(crate) fn sum(&mut self, cell: &str, what: &str, value: f64) {
        *self.0.entry(format!("{cell}.{what}")).or_default() += value;
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied().filter(|value| value.is_finite())
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// A figure that is promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What is divided by the sum of the `under`; alone where there are none.
    over: &'static str,
    under: &'static [&'static str],
    pub(crate) better: Better,
    pub(crate) at_least: f64,
    pub(crate) aim: f64,
}

const fn rate(
    name: &'static str,
    over: &'static str,
    under: &'static [&'static str],
    at_least: f64,
    aim: f64,
) -> Target {
    Target {
        name,
        over,
        under,
        better: Better::More,
        at_least,
        aim,
    }
}

const fn cost(
    name: &'static str,
    over: &'static str,
    under: &'static [&'static str],
    at_most: f64,
    aim: f64,
) -> Target {
    Target {
        name,
        over,
        under,
        better: Better::Less,
        at_least: at_most,
        aim,
    }
}

/// A figure without a target.
const fn shown(name: &'static str, over: &'static str, under: &'static [&'static str]) -> Target {
    rate(name, over, under, 0.0, 0.0)
}

pub(crate) const TARGETS: [Target; 19] = [
    rate(
        "update_over_echo_256",
        "update_256.per_second",
        &["echo_256.per_second"],
        0.40,
        0.55,
    ),
    rate(
        "update_over_echo_64",
        "update_64.per_second",
        &["echo_64.per_second"],
        0.35,
        0.50,
    ),
    rate(
        "update_over_postgres_notify_64",
        "update_64.per_second",
        &["postgres_notify_64.per_second"],
        8.0,
        15.0,
    ),
    rate(
        "update_over_postgres_64",
        "update_64.per_second",
        &["postgres_64.per_second"],
        3.0,
        6.0,
    ),
    rate(
        "update_over_redis_256",
        "update_256.per_second",
        &["redis_256.per_second"],
        0.8,
        1.1,
    ),
    rate(
        "update_over_kv_synced_256",
        "update_256.per_second",
        &["kv_synced_256.per_second"],
        6.0,
        15.0,
    ),
    rate(
        "update_over_kv_256",
        "update_256.per_second",
        &["kv_256.per_second"],
        0.6,
        1.0,
    ),
    cost(
        "latency_over_echo_and_fdatasync_1",
        "update_1.p50_us",
        &["echo_1.p50_us", "fdatasync.p50_us"],
        1.6,
        1.2,
    ),
    rate(
        "most_users_over_few_256",
        "update_most_users_256.per_second",
        &["update_256.per_second"],
        0.8,
        0.95,
    ),
    rate(
        "one_user_over_fdatasync",
        "update_one_user_32.per_second",
        &["fdatasync.per_second"],
        0.6,
        0.9,
    ),
    rate(
        "get_over_echo_256",
        "get_256.per_second",
        &["echo_256.per_second"],
        0.5,
        0.8,
    ),
    cost(
        "bytes_per_live_actor",
        "live_actor.bytes",
        &[],
        4096.0,
        2048.0,
    ),
    cost(
        "first_answer_after_stop_s",
        "start_after_stop.s",
        &[],
        3.0,
        1.0,
    ),
    cost(
        "first_answer_after_kill_s",
        "start_after_kill.s",
        &[],
        3.0,
        1.0,
    ),
    cost(
        "first_answer_without_view_s",
        "start_without_view.s",
        &[],
        30.0,
        10.0,
    ),
    cost("event_lag_p99_ms", "event_lag.p99_ms", &[], 50.0, 10.0),
    // Not promised, but asked for by everybody who reads the others.
    rate(
        "update_over_redis_one_connection_256",
        "update_256.per_second",
        &["redis_one_connection_256.per_second"],
        0.0,
        0.0,
    ),
    rate(
        "rest_update_over_update_64",
        "rest_update_64.per_second",
        &["update_64.per_second"],
        0.0,
        0.0,
    ),
    rate(
        "grpc_update_over_update_64",
        "grpc_update_64.per_second",
        &["update_64.per_second"],
        0.0,
        0.0,
    ),
];

/// Of several nodes; none is promised.
pub(crate) const SEVERAL_NODES: [Target; 16] = [
    shown(
        "streams_3_over_1_1_copy",
        "streams_3_1_copy.per_second",
        &["stream_1_copy.per_second"],
    ),
    shown(
        "streams_3_over_1_3_copies",
        "streams_3_3_copies.per_second",
        &["stream_3_copies.per_second"],
    ),
    shown(
        "copies_3_over_1_one_node",
        "update_3_copies_1_node.per_second",
        &["update_1_copy_1_node.per_second"],
    ),
    shown(
        "nodes_2_over_1_1_copy",
        "update_1_copy_2_nodes.per_second",
        &["update_1_copy_1_node.per_second"],
    ),
    shown(
        "nodes_3_over_1_1_copy",
        "update_1_copy_3_nodes.per_second",
        &["update_1_copy_1_node.per_second"],
    ),
    shown(
        "nodes_2_over_1_3_copies",
        "update_3_copies_2_nodes.per_second",
        &["update_3_copies_1_node.per_second"],
    ),
    shown(
        "nodes_3_over_1_3_copies",
        "update_3_copies_3_nodes.per_second",
        &["update_3_copies_1_node.per_second"],
    ),
    shown(
        "nodes_3_over_stream_3_copies",
        "update_3_copies_3_nodes.per_second",
        &["stream_3_copies.per_second"],
    ),
    shown(
        "nodes_3_over_files",
        "update_3_copies_3_nodes.per_second",
        &["update_files.per_second"],
    ),
    shown(
        "zipf_by_partition_over_any_node",
        "zipf_by_partition.per_second",
        &["zipf_any_node.per_second"],
    ),
    shown(
        "one_user_by_partition_over_any_node",
        "one_user_by_partition.per_second",
        &["one_user_any_node.per_second"],
    ),
    shown(
        "conflicts_of_1000_update_3_copies_3_nodes",
        "update_3_copies_3_nodes.conflicts_of_1000",
        &[],
    ),
    shown(
        "conflicts_of_1000_zipf_any_node",
        "zipf_any_node.conflicts_of_1000",
        &[],
    ),
    shown(
        "conflicts_of_1000_zipf_by_partition",
        "zipf_by_partition.conflicts_of_1000",
        &[],
    ),
    shown(
        "conflicts_of_1000_one_user_any_node",
        "one_user_any_node.conflicts_of_1000",
        &[],
    ),
    shown(
        "conflicts_of_1000_one_user_by_partition",
        "one_user_by_partition.conflicts_of_1000",
        &[],
    ),
];

/// A figure over all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Target {
    /// Within each round, since the machine is another one from hour to hour; `None` when not measured.
    pub(crate) fn over(&self, rounds: &[Round]) -> Option<Spread> {
        spread(rounds.iter().filter_map(|round| {
            let over = round.of(self.over)?;
            if self.under.is_empty() {
                return Some(over);
            }
            let under: Option<Vec<f64>> = self.under.iter().map(|name| round.of(name)).collect();
            Some(over / under?.iter().sum::<f64>())
        }))
    }

    pub(crate) fn is_met(&self, value: f64) -> bool {
        match self.better {
            Better::More => value >= self.at_least,
            Better::Less => value <= self.at_least,
        }
    }

    pub(crate) fn is_promised(&self) -> bool {
        self.at_least > 0.0
    }
}

/// The values of one name over the rounds in which there is one.
pub(crate) fn over_rounds(rounds: &[Round], name: &str) -> Option<Spread> {
    spread(rounds.iter().filter_map(|round| round.of(name)))
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    Some(Spread {
        least: *values.first()?,
        median: *values.get(values.len() / 2)?,
        most: *values.last()?,
    })
}

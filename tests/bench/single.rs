//! What is measured once a run, each on a service of its own or on the largest: start, memory, lag.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use futures::StreamExt as _;
use hdrhistogram::Histogram;
use profile_messages::event::CloudEvent;
use profile_tests::nats_server::NatsUser;

use crate::arms::nats::Asked;
use crate::keys::Keys;
use crate::load::{self, Call};
use crate::process::rss_bytes;
use crate::systems::{Ours, settle};
use crate::values::Round;

/// Users of the two services whose memory is compared, and the live actors of the one that has few.
const LIVE_MANY: usize = 100_000;
const LIVE_FEW: usize = 1_000;

/// From the start of the process to the first answer of a `get`, after a stop, a kill, and a kill with the
/// view gone.
pub(crate) async fn starts(ours: &mut Ours, values: &mut Round) {
    let get: Arc<dyn Call> = Arc::new(ours.call(Asked::Get).await);
    assert!(ours.service.stop().success(), "{}", ours.service.log());
    values.put("start_after_stop", "s", first_answer(ours, &get).await);
    ours.service.kill();
    values.put("start_after_kill", "s", first_answer(ours, &get).await);
    ours.service.kill();
    let view = ours.service.data_dir().join("current");
    std::fs::remove_dir_all(view).expect("the view can be thrown away");
    values.put("start_without_view", "s", first_answer(ours, &get).await);
    let rss = rss_bytes(ours.service.pid()) as f64 / f64::from(1 << 20);
    values.put("start_without_view", "rss_mib", rss);
}

async fn first_answer(ours: &mut Ours, get: &Arc<dyn Call>) -> f64 {
    let began = Instant::now();
    ours.service.start_again();
    let last = ours.users - 1;
    get.call(0, last, 0).await.expect("an answer");
    let took = began.elapsed().as_secs_f64();
    settle(&ours.watched()).await;
    took
}

/// Two services do the same work; one may keep every actor live, the other hardly any.
pub(crate) async fn memory(values: &mut Round) {
    let many = rss_with(LIVE_MANY).await;
    let few = rss_with(LIVE_FEW).await;
    let actors = (LIVE_MANY - LIVE_FEW) as f64;
    values.put(
        "live_actor",
        "bytes",
        many.saturating_sub(few) as f64 / actors,
    );
    values.put("live_actor", "rss_mib", many as f64 / f64::from(1 << 20));
}

async fn rss_with(live_actors_max: usize) -> u64 {
    let extra =
        format!("[actors]\nlive_actors_max = {live_actors_max}\nidle_passivation_ms = 600000\n");
    let ours = Ours::start(LIVE_MANY, &extra).await;
    rss_bytes(ours.service.pid())
}

/// Half of what is possible, with the time from the commit to a subscriber of the event. The clock is the
/// service's own, on the same machine; it is read before the commit is written.
pub(crate) async fn half_load(
    ours: &Ours,
    most_per_second: f64,
    lasting: Duration,
    values: &mut Round,
) {
    let update: Arc<dyn Call> = Arc::new(ours.call(Asked::Update).await);
    let consumer = ours.server.connect(NatsUser::Consumer).await;
    let mut events = consumer
        .subscribe("profile-event.v1.>")
        .await
        .expect("a subscription");
    let (lags, taken) = tokio::sync::oneshot::channel();
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut lag = Histogram::<u64>::new(3).expect("bounds that fit");
        loop {
            let event = tokio::select! {
                event = events.next() => event.expect("the connection stays"),
                _ = &mut is_done => break,
            };
            let event: CloudEvent = serde_json::from_slice(&event.payload).expect("an event");
            lag.saturating_record(u64::try_from(now_us() - event.time.0).unwrap_or(0));
        }
        let _ = lags.send(lag);
    });
    let keys = Keys::Uniform(ours.users);
    let measured = load::open(&update, keys, most_per_second / 2.0, lasting).await;
    settle(&ours.watched()).await;
    let _ = done.send(());
    let lag = taken.await.expect("the listener lives");
    values.add("update_half_load", &measured);
    for (name, quantile) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
        values.put(
            "event_lag",
            name,
            lag.value_at_quantile(quantile) as f64 / 1000.0,
        );
    }
}

#[allow(clippy::disallowed_methods)] // the service looks at the real clock too
fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

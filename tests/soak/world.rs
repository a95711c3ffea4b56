//! The service, its bus, the load on them, and the end of a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use futures::{StreamExt, stream};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::{Caller, Identity, token};
use profile_tests::nats_server::{NatsServer, NatsUser};
use profile_tests::promises::client::answered;
use profile_tests::service::Service;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::readers::{self, Followed};
use crate::sample::{Sample, disk_bytes, rss_bytes};
use crate::tally::Tally;
use crate::worker::{User, Worker};

const WORKERS: u64 = 8;
const LOOK_WITHIN: Duration = Duration::from_millis(500);
const END_WITHIN: Duration = Duration::from_secs(300);
const READS_AT_ONCE: usize = 16;
/// Small caches, so that they are full early; small segments, so that many are filled; a history that is
/// soon longer than what is kept, on a slow machine too.
const LONG: &str = r#"
[log]
segment_bytes = 4_194_304
[view]
cache_bytes = 16_777_216
[compaction]
interval_s = 20
history_changes_kept = 32
[auth.roles]
ORG_OWNER = ["user.read", "user.write", "events.read"]
"#;
/// What is kept for an hour is thrown away within seconds.
const SHORT: &str = r#"
[log]
segment_bytes = 1_048_576
group_bytes_max = 1_048_576
[compaction]
interval_s = 1
history_changes_kept = 1
[auth.roles]
ORG_OWNER = ["user.read", "user.write", "events.read"]
"#;
/// Users of one worker that exist at a time. From then on few are made and removed: the service keeps in
/// memory what it has looked at lately, removed users too, so their number must stay as it is.
const USERS_MAX: usize = 150;
/// So few that each has more changes than are kept.
const USERS_MAX_SHORT: usize = 2;

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) server: NatsServer,
    pub(crate) runtime: Runtime,
    pub(crate) tally: Arc<Tally>,
    users_max: usize,
    token: watch::Sender<String>,
    observer: Caller,
    stream: jetstream::Context,
}

/// Everything that works during the run.
pub(crate) struct Load {
    workers: JoinSet<Vec<User>>,
    consumer: JoinHandle<Followed>,
    wanted: watch::Sender<Option<BTreeMap<String, u64>>>,
    replay: JoinHandle<(u64, Followed)>,
    stop_replay: watch::Sender<bool>,
}

fn owner() -> Identity {
    Identity::owner("zoo")
}

impl World {
    pub(crate) fn new(is_short: bool) -> World {
        let (config, users_max) = match is_short {
            true => (SHORT, USERS_MAX_SHORT),
            false => (LONG, USERS_MAX),
        };
        let (runtime, server) = NatsServer::start_with_runtime();
        let service = Service::start(&server, config);
        let observer = runtime.block_on(Caller::connect(&server, &service, &owner()));
        let stream = async { jetstream::new(server.connect(NatsUser::Consumer).await) };
        let stream = runtime.block_on(stream);
        World {
            users_max,
            token: watch::Sender::new(token(&service, &owner())),
            tally: Arc::new(runtime.block_on(async { Tally::new() })),
            stream,
            service,
            server,
            runtime,
            observer,
        }
    }

    /// Starts everything that works until `until`, `rate` requests in a second.
    pub(crate) fn load(&mut self, seed: u64, rate: u64, until: Instant) -> Load {
        let (mut workers, owner) = (JoinSet::new(), owner());
        for number in 0..WORKERS {
            let caller = Caller::connect(&self.server, &self.service, &owner);
            let worker = Worker {
                name: format!("w{number}"),
                caller: self.runtime.block_on(caller),
                token: self.token.subscribe(),
                rng: ChaCha8Rng::seed_from_u64(seed.wrapping_add(number)),
                tally: Arc::clone(&self.tally),
                pause_between: Duration::from_secs(1) * WORKERS as u32 / rate as u32,
                until,
                users_max: self.users_max,
                users: Vec::new(),
                removed: Vec::new(),
                count: 0,
            };
            workers.spawn_on(worker.work(), self.runtime.handle());
        }
        let (wanted, wants) = watch::channel(None);
        let (stop_replay, stop) = watch::channel(false);
        let consumer = self
            .runtime
            .block_on(self.server.connect(NatsUser::Consumer));
        let replay = readers::replay(self.observer.clone(), self.token.subscribe(), stop);
        Load {
            workers,
            consumer: self.runtime.spawn(readers::consume(consumer, wants)),
            wanted,
            replay: self.runtime.spawn(replay),
            stop_replay,
        }
    }

    /// A token for the next hour.
    pub(crate) fn renew_token(&self) {
        self.token.send_replace(token(&self.service, &owner()));
    }

    pub(crate) fn sample(&self, second: f64, faults: u64) -> Sample {
        let data = self.service.data_dir();
        let (position, stream) = self.runtime.block_on(async {
            // The stream last: what it has not by then is its lag at most.
            let position = timeout(LOOK_WITHIN, self.position()).await;
            let stream = timeout(LOOK_WITHIN, self.stream.get_stream(EVENT_STREAM)).await;
            (position.ok().flatten(), stream.ok().and_then(Result::ok))
        });
        let state = stream.map(|stream| stream.cached_info().state.clone());
        let counts = self.tally.counts();
        Sample {
            second,
            rss_bytes: rss_bytes(self.service.pid()),
            log_bytes: disk_bytes(&data.join("log")),
            view_bytes: disk_bytes(&data.join("current")),
            cursor_bytes: disk_bytes(&data.join("relay")),
            stream_bytes: state.as_ref().map(|state| state.bytes),
            lag_events: position
                .zip(state)
                .map(|(position, state)| position.saturating_sub(state.last_sequence)),
            answers: counts.answers(),
            failures: counts.failures(),
            faults,
        }
    }

    /// The newest position of the log, as a list tells it.
    async fn position(&self) -> Option<u64> {
        let caller = self.observer.with_token(&self.token.borrow().clone());
        let listed = caller.try_call("list", json!({"limit": 1})).await.ok()?;
        listed.body["position"].as_str()?.parse().ok()
    }

    /// Waits for the end of the load.
    pub(crate) fn join(&self, workers: &mut Load) -> Vec<User> {
        let workers = std::mem::take(&mut workers.workers);
        let all = async { timeout(END_WITHIN, workers.join_all()).await };
        let users = self.runtime.block_on(all);
        let users = users.unwrap_or_else(|_| panic!("no end: {}", self.service.log()));
        users.into_iter().flatten().collect()
    }

    /// Whether everybody is told what was acknowledged: by `get`, by the stream, by `replay`.
    pub(crate) fn check(&self, users: &[User], load: Load) -> Result<u64, String> {
        let caller = self.observer.with_token(&self.token.borrow().clone());
        self.runtime.block_on(async {
            let told = stream::iter(users).map(|user| {
                let got = answered(&caller, "get", json!({"userId": user.id}));
                async move { user.is_told(&got.await) }
            });
            let told: Vec<_> = told.buffer_unordered(READS_AT_ONCE).collect().await;
            told.into_iter().collect::<Result<(), String>>()?;
            let versions = users.iter().map(|user| (user.id.clone(), user.version));
            let versions: BTreeMap<_, _> = versions.collect();
            load.wanted.send_replace(Some(versions.clone()));
            let consumed = timeout(END_WITHIN, load.consumer).await;
            let consumed = consumed.map_err(|_| "the consumer has no end")?;
            let consumed = consumed.map_err(|error| error.to_string())?;
            is_complete("the consumer", &consumed, &versions)?;
            load.stop_replay.send_replace(true);
            let replayed = timeout(END_WITHIN, load.replay).await;
            let replayed = replayed.map_err(|_| "replay has no end, or nothing was thrown away")?;
            let (passes, replayed) = replayed.map_err(|error| error.to_string())?;
            // Who was removed before the list is on it no more.
            let mut versions = versions;
            versions.retain(|user, _| {
                let removed_at = consumed.removed_at.get(user);
                removed_at.is_none_or(|removed_at| replayed.listed_at < Some(*removed_at))
            });
            is_complete("replay", &replayed, &versions)?;
            Ok(passes)
        })
    }

    /// Waits for a moment, not for an event.
    pub(crate) fn let_pass(&self, how_long: Duration) {
        let pause = async { timeout(how_long, std::future::pending::<()>()).await };
        let _ = self.runtime.block_on(pause);
    }
}

fn is_complete(
    who: &str,
    followed: &Followed,
    versions: &BTreeMap<String, u64>,
) -> Result<(), String> {
    if let Some(gap) = followed.gaps.values().next() {
        return Err(format!("{who} misses an event: {gap}"));
    }
    let differs = |(user, version): &(&String, &u64)| followed.versions.get(*user) != Some(version);
    if let Some((user, version)) = versions.iter().find(differs) {
        let seen = followed.versions.get(user);
        return Err(format!("{who} saw {user} in {seen:?}, it is in {version}"));
    }
    let unknown = followed
        .versions
        .keys()
        .find(|user| !versions.contains_key(*user));
    match unknown {
        Some(user) => Err(format!("{who} saw {user}, whom nobody made")),
        None => Ok(()),
    }
}
